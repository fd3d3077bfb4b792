import { DEFERRED_COLUMNS, type KafkaProducer } from '../../native/kafka.ts';
import type { PublishRecord, PublishResult } from '../publisher-port.ts';
import { encodePayload } from './publish-payload.ts';

/** What is known of a record that was handed to the native producer. */
export type PublishVerdict = PublishResult & {
  /** The broker judged more than this record: sent alone it may pass. */
  readonly suspect?: true;
};

/** What a {@link PublishCall} is made of. */
export interface PublishCallOptions {
  readonly records: readonly PublishRecord[];
  /** The native producer's ids of the records' topics. */
  readonly topics: Uint16Array;
  /** The native producer's sequence of the first record. */
  readonly firstSequence: number;
  /** Spreads the records without a key: those of one call lie together. */
  readonly spread: number;
  readonly nowMs: number;
  /** Until every record was handed over. */
  readonly timeoutMs: number;
}

const waits = 0;
const sent = 1;
const settled = 2;
const noNode = Buffer.alloc(8);

/** The records of one call on their way, and what became of each. */
export class PublishCall {
  readonly firstSequence: number;
  readonly count: number;
  readonly startedMs: number;
  readonly deadlineMs: number;
  readonly done: Promise<readonly PublishVerdict[]>;
  readonly #payload: Buffer;
  readonly #ids = Buffer.alloc(16);
  readonly #topics: Uint16Array;
  readonly #state: Uint8Array;
  readonly #verdicts: PublishVerdict[];
  #left: number;
  /** Records that were not handed over. */
  #waits: number;
  #resolve: (verdicts: readonly PublishVerdict[]) => void = () => undefined;

  constructor(options: PublishCallOptions) {
    const { records, topics, firstSequence, spread, nowMs, timeoutMs } = options;
    this.firstSequence = firstSequence;
    this.count = records.length;
    this.startedMs = nowMs;
    this.deadlineMs = nowMs + timeoutMs;
    this.#topics = topics;
    this.#payload = encodePayload(records, topics);
    this.#ids.writeUInt32BE(spread >>> 0, 4);
    this.#state = new Uint8Array(records.length);
    this.#verdicts = new Array(records.length);
    this.#left = records.length;
    this.#waits = records.length;
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  get isDone(): boolean {
    return this.#left === 0;
  }

  /** Records of it were not handed over. */
  get isWaiting(): boolean {
    return this.#waits > 0;
  }

  /** Topics of which records were not handed over. */
  waiting(): Set<number> {
    const topics = new Set<number>();
    if (this.#waits === 0) return topics;
    for (let i = 0; i < this.count; i++) {
      if (this.#state[i] === waits) topics.add(this.#topics[i] as number);
    }
    return topics;
  }

  /**
   * Hands over what waits, without the topics that `blocked` names, of which earlier records wait.
   * Adds to it the topics of which records still wait. Returns false when the instance is dead.
   */
  send(producer: KafkaProducer, blocked: Uint8Array): boolean {
    const skip = new Uint8Array(this.count);
    for (let i = 0; i < this.count; i++) skip[i] = this.#state[i] === waits ? 0 : 1;
    const result = producer.produce({
      payload: this.#payload,
      firstSequence: this.firstSequence,
      skip,
      ids: this.#ids,
      segmentCounts: Int32Array.of(this.count),
      segmentFlags: Uint8Array.of(1),
      originNode: noNode,
      acceptedMs: 0,
      topicsBlocked: blocked,
    });
    const from = new Map<number, number>();
    for (let row = 0; row < result.deferred.length; row += DEFERRED_COLUMNS) {
      const topic = result.deferred[row] as number;
      from.set(topic, (result.deferred[row + 1] as number) - this.firstSequence);
      blocked[topic] = 1;
    }
    for (let i = 0; i < result.nextOrdinal; i++) {
      if (this.#state[i] !== waits) continue;
      const deferred = from.get(this.#topics[i] as number);
      if (deferred !== undefined && i >= deferred) continue;
      this.#state[i] = sent;
      this.#waits -= 1;
    }
    // The queue is full: the rest keeps its order behind what waits.
    for (let i = result.nextOrdinal; i < this.count; i++) blocked[this.#topics[i] as number] = 1;
    return !result.fatal;
  }

  settle(ordinal: number, verdict: PublishVerdict): void {
    if (this.#state[ordinal] === settled) return;
    if (this.#state[ordinal] === waits) this.#waits -= 1;
    this.#state[ordinal] = settled;
    this.#verdicts[ordinal] = verdict;
    this.#left -= 1;
    if (this.#left === 0) this.#resolve(this.#verdicts);
  }

  /** Gives up what was not handed over of a topic. */
  giveUpTopic(topic: number, verdict: PublishVerdict): void {
    for (let i = 0; i < this.count; i++) {
      if (this.#state[i] === waits && this.#topics[i] === topic) this.settle(i, verdict);
    }
  }

  /** Gives up all that has no verdict; one that comes later is not looked at. */
  giveUp(verdict: PublishVerdict): void {
    for (let i = 0; i < this.count; i++) this.settle(i, verdict);
  }
}
