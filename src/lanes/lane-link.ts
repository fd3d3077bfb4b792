import { coded } from '../base/errors.ts';
import { Doorbell, ringDoorbell } from '../native/addon.ts';
import type {
  LaneCallName,
  LaneCalls,
  LaneEvent,
  LaneHandle,
  LaneMemory,
  StartLane,
} from './lane-calls.ts';
import { createRingMemory, RingReader, RingWriter } from './ring.ts';

/** What a {@link LaneLink} tells its owner. */
export interface LaneLinkHooks {
  /**
   * Answers for one session: whole PRODUCED frames at `bytes[start, end)`, *borrowed* until the
   * hook returns, and how many messages they answer.
   */
  onAnswers(session: number, messages: number, bytes: Buffer, start: number, end: number): void;
  /** Frames are taken again. */
  onRoom(): void;
  onEvent(event: LaneEvent): void;
}

/**
 * The main thread's end of a lane: frames go in through the ring, answers come back through
 * another, and a doorbell wakes whoever sleeps.
 */
export class LaneLink {
  readonly memory: LaneMemory;
  private readonly writer: RingWriter;
  private readonly answers: RingReader;
  private readonly bell: Doorbell;
  private readonly hooks: LaneLinkHooks;
  private handle: LaneHandle | undefined;
  private full = false;
  private held = false;

  /** @param allStats the numbers of all lanes of the node, its own among them */
  constructor(
    ringBytes: number,
    stats: SharedArrayBuffer,
    hooks: LaneLinkHooks,
    allStats: readonly SharedArrayBuffer[] = [stats],
  ) {
    this.hooks = hooks;
    this.memory = {
      requests: createRingMemory(ringBytes),
      answers: createRingMemory(Math.max(ringBytes / 2, 4 * 1024 * 1024)),
      stats,
      allStats,
    };
    this.writer = new RingWriter(this.memory.requests);
    this.answers = new RingReader(this.memory.answers);
    this.bell = new Doorbell(() => this.rung());
    this.bell.ref();
  }

  /** Starts the lane; resolves when its store is open and proved. */
  async start(startLane: StartLane): Promise<void> {
    this.handle = await startLane(this.memory, this.bell.id, (event) => {
      // Answers that were given before the event must reach the socket before it.
      this.rung();
      this.hooks.onEvent(event);
    });
    this.answers.trySleep();
  }

  /** Asks the lane; see {@link LaneHandle.call}. Rejects with DRAINING when it is not open. */
  async call<N extends LaneCallName>(
    name: N,
    ...args: Parameters<LaneCalls[N]>
  ): Promise<ReturnType<LaneCalls[N]>> {
    if (this.handle === undefined) throw coded('DRAINING', 'the lane is closed, or not open yet');
    return this.handle.call(name, ...args);
  }

  /**
   * Copies frames (topic ids already node-wide) of one session into the ring. False when it is
   * full, or held: nothing was taken, and `onRoom` follows.
   */
  offer(session: number, messages: number, frames: Buffer, start: number, end: number): boolean {
    if (this.held) return false;
    const at = this.writer.reserve(end - start);
    if (at < 0) {
      this.full = true;
      return false;
    }
    frames.copy(this.writer.bytes, at, start, end);
    if (this.writer.publish(session, messages, end - start) && this.handle !== undefined) {
      ringDoorbell(this.handle.bell);
    }
    return true;
  }

  /** While it is held nothing more comes into the ring; what is in it goes on. */
  setHeld(isHeld: boolean): void {
    const isFreed = this.held && !isHeld;
    this.held = isHeld;
    if (isFreed) this.hooks.onRoom();
  }

  /** Closes the lane's store and ends its thread. */
  async close(): Promise<void> {
    const { handle } = this;
    this.handle = undefined;
    try {
      await handle?.call('close');
      await handle?.stop();
    } finally {
      this.bell.close();
    }
  }

  private rung(): void {
    const { answers, hooks } = this;
    do {
      while (answers.next()) {
        const { payloadStart, payloadBytes } = answers;
        const end = payloadStart + payloadBytes;
        hooks.onAnswers(answers.session, answers.messages, answers.bytes, payloadStart, end);
      }
      if (answers.release() && this.handle !== undefined) ringDoorbell(this.handle.bell);
    } while (!answers.trySleep());
    if (this.full) {
      this.full = false;
      hooks.onRoom();
    }
  }
}
