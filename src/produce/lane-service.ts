import type { EmbeddedTopic } from '../backend/embedded/embedded-log.ts';
import type { LogCall, LogCalls } from '../backend/embedded/lane-control.ts';
import { sleep, systemClock } from '../base/clock.ts';
import { coded, codeOf, isDiskFull, messageOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { LaneService } from '../lanes/inline-lane.ts';
import type {
  AsideCall,
  LaneCallName,
  LaneDelay,
  LaneEvent,
  LaneMemory,
  LaneTopic,
  SendPlan,
} from '../lanes/lane-calls.ts';
import { answerOut } from '../lanes/out-of-service.ts';
import { crc32c, Doorbell } from '../native/addon.ts';
import { openLaneStore } from '../store/open-lane-store.ts';
import { laneState, stat } from './intake/lane-stats.ts';
import type { OpenSession, Producers } from './intake/producers.ts';
import type { LaneOptions } from './lane-options.ts';
import { LaneRoom } from './lane-room.ts';
import { LaneShell } from './lane-shell.ts';

/** Between two tries to open what cannot be opened yet. */
const OPEN_AGAIN_MS = 1_000;

/**
 * Opens a lane's store, proves it, and serves. @throws STORE_CORRUPT, STORE_LOCKED
 *
 * @param openStore another opener is for tests
 */
export async function createLaneService(
  options: LaneOptions,
  memory: LaneMemory,
  mainBell: number,
  onEvent: (event: LaneEvent) => void,
  openStore = openLaneStore,
): Promise<LaneService> {
  const host = new LaneHost(options, memory, mainBell, onEvent, openStore);
  await host.open();
  return host;
}

/**
 * A lane over the failures of its disk. What was being written when one came is `UNKNOWN`; the
 * store is closed, opened again (which writes what its log holds into a new, synced table),
 * proved, and carries on. A second failure soon after takes the lane out of service for good: a
 * disk that fails twice is not to be trusted, and other lanes and nodes serve.
 */
class LaneHost implements LaneService {
  private readonly shell: LaneShell;
  private readonly doorbell: Doorbell;
  private readonly openStore: typeof openLaneStore;
  /** Topics of the embedded log, which the main thread tells once. */
  private readonly logTopics = new Map<number, EmbeddedTopic>();
  private room: LaneRoom | undefined;
  private state: 'opening' | 'serving' | 'out' = 'opening';
  /** A failure that came while the store was being opened. */
  private doubt: unknown;
  private recovering: Promise<void> = Promise.resolve();
  private failedMs = Number.NEGATIVE_INFINITY;
  /** Where there is no room yet for it to open again: new connections are not kept waiting. */
  private waitsFor: 'on its disk' | 'in the Kafka producer' | undefined;
  private isSending = false;
  private isDraining = false;
  private isClosed = false;

  constructor(
    options: LaneOptions,
    memory: LaneMemory,
    mainBell: number,
    onEvent: (event: LaneEvent) => void,
    openStore: typeof openLaneStore,
  ) {
    this.openStore = openStore;
    const fail = (error: unknown): void => this.failed(error);
    // A connection that ends while there is no room is forgotten when there is one again.
    const isOpen = (session: number): boolean =>
      this.room === undefined || this.room.producers.session(session) !== undefined;
    this.shell = new LaneShell({ options, memory, mainBell, onEvent, fail, isOpen });
    this.doorbell = new Doorbell(() => this.wake());
    this.doorbell.ref();
  }

  get bell(): number {
    return this.doorbell.id;
  }

  async open(): Promise<void> {
    const room = await this.enter();
    room.wake();
  }

  async call(name: LaneCallName, args: readonly unknown[]): Promise<unknown> {
    const { shell } = this;
    switch (name) {
      case 'setTopic': {
        const topic = args[0] as LaneTopic;
        shell.setTopic(topic);
        this.room?.setTopic(topic);
        return undefined;
      }
      case 'setDelay':
        return shell.setDelay(args[0] as LaneDelay);
      case 'setPlan': {
        const plan = args[0] as SendPlan;
        shell.plan = plan;
        this.room?.setPlan(plan);
        return undefined;
      }
      case 'setMarks':
        Object.assign(shell.marks, args[0]);
        return undefined;
      case 'setLogLevel':
        shell.log.level = args[0] as string;
        return undefined;
      case 'refuseNew':
        this.isDraining = true;
        this.room?.refuseNew();
        return undefined;
      case 'close':
        return this.close();
      default:
        if (name === 'openSession' && this.waitsFor !== undefined) {
          throw coded('LANE_OUT', `lane ${shell.options.lane} waits for room ${this.waitsFor}`);
        }
        // What needs the store waits until it is open again; callers keep their order.
        await this.recovering;
        return this.room === undefined ? this.answerOut(name) : this.ask(this.room, name, args);
    }
  }

  private ask(room: LaneRoom, name: LaneCallName, args: readonly unknown[]): unknown {
    switch (name) {
      case 'openSession':
        return room.openSession(args[0] as OpenSession);
      case 'closeSession':
        room.closeSession(args[0] as number);
        this.shell.acker.forget(args[0] as number);
        return undefined;
      case 'startSending':
        this.isSending = true;
        return room.startSending('start');
      case 'log':
        return this.callLog(room, args[0] as LogCall, args[1]);
      case 'dropTopic':
        return room.dropTopic(args[0] as number);
      case 'aside':
        return room.callAside(args[0] as AsideCall);
      case 'drain':
        return room.drained();
      case 'flush':
        return room.flush(args[0] as number);
      default:
        throw coded('INTERNAL', `no call ${name}`);
    }
  }

  private answerOut(name: LaneCallName): unknown {
    const hint = 'its disk failed twice; look at the disk, then start the node again';
    return answerOut(name, `lane ${this.shell.options.lane}`, hint);
  }

  private callLog(room: LaneRoom, name: LogCall, args: unknown): Promise<unknown> {
    if (name === 'log.setTopics') {
      const { topics } = args as LogCalls['log.setTopics']['args'];
      for (const topic of topics) this.logTopics.set(topic.id, topic);
    }
    return room.callLog(name, args);
  }

  private wake(): void {
    if (this.room === undefined) this.shell.acker.flush();
    else this.room.wake();
  }

  /** Opens and proves the store, and makes the room on it. Nothing is left open when it rejects. */
  private async enter(before?: Producers): Promise<LaneRoom> {
    const { options, fail } = this.shell;
    this.doubt = undefined;
    const { folder, lane } = options;
    const store = await this.openStore({
      folder,
      lane,
      clock: systemClock,
      crc32c,
      onFailure: fail,
    });
    const room = new LaneRoom(this.shell, store);
    try {
      await room.open(before);
      if (this.logTopics.size > 0) {
        await room.callLog('log.setTopics', { topics: [...this.logTopics.values()] });
      }
      if (this.doubt !== undefined) throw this.doubt;
    } catch (error) {
      await room.abandon();
      throw error;
    }
    this.room = room;
    // In the turn from which on the room hears it itself: what was told meanwhile is in it too.
    for (const topic of this.shell.topics.values()) room.setTopic(topic);
    if (this.shell.plan !== undefined) room.setPlan(this.shell.plan);
    this.state = 'serving';
    this.shell.stats.set(stat.laneState, laneState.serving);
    return room;
  }

  private failed(error: unknown): void {
    if (this.isClosed) return;
    if (this.state !== 'serving') {
      this.doubt ??= error;
      return;
    }
    const { shell } = this;
    shell.stats.add(stat.storeFailures, 1);
    shell.stats.set(stat.laneState, laneState.reopening);
    const what = { code: codeOf(error), reason: messageOf(error) };
    shell.log.error(what, 'the store failed: it is opened again');
    this.state = 'opening';
    const now = systemClock.monotonic();
    const isFull = isDiskFull(error);
    const isAgain = !isFull && now - this.failedMs < limits.laneOutWithinMs;
    if (!isFull) this.failedMs = now;
    this.recovering = this.recover(error, isAgain);
  }

  private async recover(cause: unknown, isAgain: boolean): Promise<void> {
    const { room, shell } = this;
    this.room = undefined;
    await room?.abandon();
    if (isAgain) {
      this.leave(cause);
      return;
    }
    let opened: LaneRoom | undefined;
    while (opened === undefined) {
      try {
        opened = await this.enter(room?.producers);
      } catch (error) {
        const isFull = isDiskFull(error);
        // A node that ends does not wait: what waits here was not answered.
        if (!(isFull || isCrowded(error)) || this.isClosed || this.isDraining) {
          this.leave(error);
          return;
        }
        shell.stats.set(stat.laneState, isFull ? laneState.full : laneState.reopening);
        this.waitsFor = isFull ? 'on its disk' : 'in the Kafka producer';
        shell.log.error({ reason: messageOf(error) }, `the lane waits for room ${this.waitsFor}`);
        await sleep(systemClock, OPEN_AGAIN_MS);
      }
    }
    this.waitsFor = undefined;
    shell.log.warn('the store was opened again, proved, and serves');
    if (this.isDraining) opened.refuseNew();
    if (this.isSending) opened.startSending('reopened');
    opened.wake();
  }

  /** Out of service for good, until somebody has looked at the disk. */
  private leave(error: unknown): void {
    const { shell } = this;
    this.state = 'out';
    shell.stats.set(stat.laneState, laneState.out);
    const [code, message] = [codeOf(error), messageOf(error)];
    shell.log.fatal({ code, reason: message }, 'the lane is out of service');
    shell.onEvent({ kind: 'out', cause: 'disk', code, message });
  }

  private async close(): Promise<void> {
    if (this.isClosed) return;
    this.isClosed = true;
    await this.recovering;
    await this.room?.close();
    this.shell.resends.close();
    this.doorbell.close();
  }
}

/** So many former lanes wait for reports of a Kafka producer that it has no room: it will have. */
function isCrowded(error: unknown): boolean {
  return codeOf(error) === 'BACKEND_UNAVAILABLE';
}
