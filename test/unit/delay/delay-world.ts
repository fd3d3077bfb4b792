import { setImmediate } from 'node:timers/promises';
import { delayIdOfKey, delayIdOfMessage } from '../../../protocol/src/delay-id.ts';
import { encodeDelayTarget } from '../../../protocol/src/delay-target.ts';
import { formatMessageId } from '../../../protocol/src/message-id.ts';
import { decodeMqHeader, encodeMqHeader } from '../../../protocol/src/mq-header.ts';
import type { Cluster } from '../../../src/backend/consumer-port.ts';
import type {
  Publisher,
  PublishRecord,
  PublishResult,
} from '../../../src/backend/publisher-port.ts';
import type { Clock, Timer } from '../../../src/base/clock.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { systemRandom } from '../../../src/base/random.ts';
import { DelayCluster } from '../../../src/delay/delay-cluster.ts';
import { DelayCommands } from '../../../src/delay/delay-commands.ts';
import { DelayIndex } from '../../../src/delay/delay-index.ts';
import { tailHeader } from '../../../src/delay/delay-record.ts';
import { delayTopic } from '../../../src/delay/delay-topic.ts';
import type { WindowLimits } from '../../../src/delay/due-window.ts';
import { SeriesCommands } from '../../../src/delay/series-commands.ts';
import { DelayLog } from './delay-log.ts';
import { MemoryStore } from './memory-store.ts';

/** A clock that jumps: timers that have passed fire once, in their order. */
export class JumpClock implements Clock {
  nowMs = 1_700_000_000_000;
  /** Beside the wall clock, which may be stepped. */
  steadyMs = 0;
  #timers = new Set<{ atMs: number; fn: () => void }>();

  now(): number {
    return this.nowMs;
  }

  monotonic(): number {
    return this.steadyMs;
  }

  setTimer(fn: () => void, delayMs: number): Timer {
    const timer = { atMs: this.steadyMs + Math.max(0, delayMs), fn };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  jump(byMs: number): void {
    this.nowMs += byMs;
    this.steadyMs += byMs;
  }

  /** The wall clock alone. */
  step(byMs: number): void {
    this.nowMs += byMs;
  }

  /** Who set timers is gone. */
  forget(): void {
    this.#timers.clear();
  }

  /** Fires what has passed; false when there was nothing. */
  fire(): boolean {
    const due = [...this.#timers].filter(({ atMs }) => atMs <= this.steadyMs);
    for (const timer of due.sort((a, b) => a.atMs - b.atMs)) {
      if (this.#timers.delete(timer)) timer.fn();
    }
    return due.length > 0;
  }

  /** The next timer's time is made the present. */
  skip(): void {
    const next = Math.min(...[...this.#timers].map(({ atMs }) => atMs));
    if (Number.isFinite(next)) this.jump(Math.max(0, next - this.steadyMs));
  }
}

/** What was published to a target topic. */
export interface Fired {
  readonly topic: string;
  readonly value: string;
  readonly atMs: number;
  /** Of the `mq` header: message id and due time. */
  readonly id: string;
  readonly dueMs: number;
  /** Names and values of all headers but `mq`. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Takes the calls of a topic in their order, as publishers do. */
class MemoryPublisher implements Publisher {
  readonly cluster = 0;
  readonly inFlightBytes = 0;
  readonly world: DelayWorld;
  /** By topic: settles when its calls so far have ended. */
  readonly #before = new Map<string, Promise<unknown>>();

  constructor(world: DelayWorld) {
    this.world = world;
  }

  publish(records: readonly PublishRecord[]): Promise<readonly PublishResult[]> {
    const topics = new Set(records.map(({ topic }) => topic));
    const before = Promise.all([...topics].map((topic) => this.#before.get(topic)));
    const results = this.#take(records, before);
    for (const topic of topics) this.#before.set(topic, results);
    return results;
  }

  async #take(records: readonly PublishRecord[], before: Promise<unknown>) {
    while (records.some(({ topic }) => this.world.frozen.has(topic))) await setImmediate();
    for (let i = 0; i < this.world.publishTurns; i++) await setImmediate();
    await before;
    return records.map((record) => this.world.take(record));
  }

  async close(): Promise<void> {}
}

/** A log, an index, a clock, and the node that is or is not running on them. */
export class DelayWorld {
  readonly clock = new JumpClock();
  readonly log = new DelayLog();
  /** What the cluster is asked by. */
  readonly consumers = this.log.backend;
  readonly fired: Fired[] = [];
  store = new MemoryStore();
  cluster!: DelayCluster;
  commands!: DelayCommands;
  series!: SeriesCommands;
  /** What the node says. */
  logger = silentLogger();
  /** The delay log takes nothing. */
  logIsAway = false;
  /** The delay log does not say where it has what it takes. */
  isPlaceUntold = false;
  /** A partition of the delay log that takes nothing. */
  leaderless: number | undefined;
  /** Turns of the loop that a call to the cluster takes. */
  publishTurns = 1;
  /** Topics that say nothing. */
  readonly frozen = new Set<string>();
  /** What may be near; default: as much as in a node. */
  near: WindowLimits | undefined;
  /** What fired is ended at once, for time stands still; else as long after it as in a node. */
  endsTurnMs = 0;
  /** Topics that refuse. */
  readonly refusing = new Set<string>();
  /** Of its cluster. */
  readonly number: Cluster;
  #running = false;
  #sequence = 0;
  #last: PublishRecord | undefined;

  constructor(number: Cluster = 0) {
    this.number = number;
  }

  /** @param rounds of {@link settle} */
  async start(rounds?: number): Promise<void> {
    const { clock } = this;
    const index = await DelayIndex.open('', async () => this.store, silentLogger());
    this.#running = true;
    this.cluster = new DelayCluster({
      consumers: this.consumers,
      publisher: new MemoryPublisher(this),
      index,
      clock,
      log: this.logger,
      clientId: 'node',
      onFailed: (error) => {
        throw error;
      },
      loop: {
        endsTurnMs: this.endsTurnMs,
        ...(this.near === undefined ? {} : { near: this.near }),
      },
    });
    this.commands = new DelayCommands(this.cluster, clock, this.number);
    const { cluster } = this;
    this.series = new SeriesCommands({ cluster, clock, random: systemRandom, nodeId: 7n });
    this.cluster.start();
    await this.settle(rounds);
  }

  async stop(): Promise<void> {
    await this.cluster.close();
    this.#running = false;
  }

  /** The node is gone between two turns of its loop, and nothing of it goes on. */
  kill(): void {
    this.clock.forget();
    this.log.forgetMember();
    this.#running = false;
  }

  take(record: PublishRecord): PublishResult {
    const { topic } = record;
    if (this.refusing.has(topic)) return { code: 'UNKNOWN_TOPIC', message: 'no', retriable: true };
    if (topic !== delayTopic) {
      this.fired.push(firedOf(record, this.clock.nowMs));
      return { partition: 0, offset: this.fired.length };
    }
    if (this.logIsAway || record.partition === this.leaderless)
      return { code: 'BACKEND_UNAVAILABLE', message: 'away', retriable: true };
    const taken = this.log.append(record, this.clock.nowMs);
    return this.isPlaceUntold ? { ...taken, offset: -1 } : taken;
  }

  /** A command, and all that happens meanwhile; time goes on when it waits for that. */
  async does<T>(work: Promise<T>): Promise<T> {
    let isDone = false;
    const done = work.finally(() => {
      isDone = true;
    });
    done.catch(() => {});
    for (await this.settle(); !isDone; await this.settle()) this.clock.jump(10);
    return done;
  }

  /** What a node's lane would have stored; the delay id. */
  schedule(options: {
    topic: string;
    value: string;
    dueMs: number;
    unique?: string;
    ifAbsent?: boolean;
    /** Of the delay log, for a message without a name of its own; default: what the id says. */
    partition?: number;
    /** The message of before, as another node accepted it. */
    isCopy?: boolean;
  }): Buffer {
    const { topic, value, dueMs, unique, ifAbsent = false, partition, isCopy } = options;
    if (isCopy !== true) this.#sequence++;
    const message = { producerId: 7n, epoch: 1, sequence: this.#sequence };
    while (partition !== undefined && delayIdOfMessage(message)[1] !== partition) {
      message.sequence = ++this.#sequence;
    }
    const mq = encodeMqHeader({
      ...message,
      originNode: 1n,
      acceptedMs: this.clock.nowMs,
      dueMs: Math.max(0, dueMs),
    });
    const key = unique === undefined ? undefined : Buffer.from(unique);
    const id = key === undefined ? delayIdOfMessage(message) : delayIdOfKey(topic, key);
    const target = { topic, partition: undefined, key, nullValue: false, ifAbsent, mq };
    this.#last = {
      topic: delayTopic,
      partition: id[1] as number,
      key: id,
      value: Buffer.from(value),
      headers: tailHeader('mq-to', encodeDelayTarget(target)),
    };
    this.take(this.#last);
    return id;
  }

  /** What was scheduled last comes again, as a node sends it after a crash. */
  resend(): void {
    if (this.#last !== undefined) this.take(this.#last);
  }

  /** Lets everything happen that can at this moment. */
  async settle(rounds = 60): Promise<void> {
    let quiet = 0;
    for (let i = 0; quiet < rounds && i < 20_000; i++) {
      quiet = this.clock.fire() ? 0 : quiet + 1;
      await setImmediate();
      if (
        this.#running &&
        this.cluster.loop.queued > 0 &&
        this.refusing.size + this.frozen.size === 0
      )
        quiet = 0;
    }
  }

  /** Turns of the loop, without a timer. */
  async turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await setImmediate();
  }

  /** Time goes on, and all that is due by then happens. */
  async jump(byMs: number): Promise<void> {
    this.clock.jump(byMs);
    await this.settle();
  }
}

/** What a reader of the target topic sees. */
function firedOf({ topic, value, headers }: PublishRecord, atMs: number): Fired {
  const bytes = Buffer.from(headers);
  const named: Record<string, string> = {};
  let mq: Buffer = bytes;
  for (let at = 0; at < bytes.length; ) {
    const nameEnd = at + 2 + bytes.readUInt16BE(at);
    const end = nameEnd + 4 + bytes.readUInt32BE(nameEnd);
    const name = bytes.toString('utf8', at + 2, nameEnd);
    if (name === 'mq') mq = bytes.subarray(nameEnd + 4, end);
    else named[name] = bytes.toString('utf8', nameEnd + 4, end);
    at = end;
  }
  const id = decodeMqHeader(mq);
  return {
    topic,
    value: Buffer.from(value ?? '').toString(),
    atMs,
    id: formatMessageId(id),
    dueMs: id.dueMs ?? 0,
    headers: named,
  };
}
