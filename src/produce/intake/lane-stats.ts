import { bucketOf } from '../../base/histogram.ts';

/** Names of a lane's counters and gauges: positions in the shared array. */
export const stat = {
  /** Messages made durable. */
  stored: 0,
  storedBytes: 1,
  batches: 2,
  /** Resends of something known. */
  duplicates: 3,
  refused: 4,
  /** Messages handed to the backend. */
  sent: 5,
  /** Messages the backend has confirmed. */
  confirmed: 6,
  undeliverable: 7,
  /** Messages sent again by the node after a start or a renewed producer. */
  resent: 8,
  /** Gauges. */
  outboxBytes: 9,
  outboxMessages: 10,
  outboxOldestMs: 11,
  producers: 12,
  sessions: 13,
  inFlight: 14,
  deferredTopics: 15,
  /** 0 none, 1 soft, 2 hard. */
  pressure: 16,
  undeliverableMessages: 17,
  /** Milliseconds that the lane's thread was busy, and since when it counts. */
  busyMs: 18,
  diskFreeBytes: 19,
  diskBytes: 20,
  fsyncCount: 21,
  fsyncSumMs: 22,
  forwardCount: 23,
  backlogReads: 24,
  generation: 25,
  /** Of the confirmed messages, those that the primary cluster has. */
  confirmedPrimary: 26,
  /** Time from the ring to the answers, over all micro-batches. */
  answerSumMs: 27,
  /** One of {@link laneState}. */
  laneState: 28,
  /** Failures of the store, after each of which it was opened again or given up. */
  storeFailures: 29,
  /** Gauges of what was put aside. */
  parkedMessages: 30,
  parkedBytes: 31,
  parkedTopics: 32,
  undeliverableBytes: 33,
  /** Messages moved to the parked log, and delivered out of it. */
  parked: 34,
  unparked: 35,
  /** Logs that have used up their quota: 1 undeliverable, 2 parked, 3 both. */
  asideFull: 36,
  /** The cluster in use: 0 primary, 1 backup. */
  cluster: 37,
  /** Of the confirmed messages, those that the backup cluster has. */
  confirmedBackup: 38,
  /** How fast the backlog may be sent while new messages come; 0: as fast as the backend takes. */
  drainBytesPerSecond: 39,
  /** Time from acceptance to the backend's verdict, over all that it has confirmed. */
  deliverySumMs: 40,
  /** Notes of resends that were not on the disk before the sending. */
  resendNotesLate: 41,
} as const;

/** What a lane does, as {@link stat.laneState} says it. */
export const laneState = {
  serving: 0,
  /** Its store is being opened again after a failure. */
  reopening: 1,
  /** Out of service until the node is started again. */
  out: 2,
  /** Its store cannot be opened again before there is room on its disk. */
  full: 3,
} as const;

/** Upper bounds of the histogram of write times, in ms; one more bucket follows for the rest. */
export const FSYNC_BUCKETS_MS = [0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 1000] as const;
/** Upper bounds of the histogram of messages per micro-batch; one more bucket for the rest. */
export const BATCH_BUCKETS = [1, 4, 16, 64, 256, 1024, 4096, 16_384] as const;

/** Upper bounds of the histogram of ways to the backend, in ms; one more bucket for the rest. */
export const DELIVERY_BUCKETS_MS = [
  ...[1, 2.5, 5, 10, 25, 50, 100, 250, 500],
  ...[1_000, 2_500, 10_000, 60_000, 600_000, 3_600_000],
] as const;

const GAUGES = 64;
const CODES = 128;
const FSYNC_AT = GAUGES + CODES;
const BATCH_AT = FSYNC_AT + FSYNC_BUCKETS_MS.length + 1;
const ANSWER_AT = BATCH_AT + BATCH_BUCKETS.length + 1;
const DELIVERY_AT = ANSWER_AT + FSYNC_BUCKETS_MS.length + 1;
const TOPICS_AT = DELIVERY_AT + DELIVERY_BUCKETS_MS.length + 1;
const TOPICS = 65_536;

/**
 * A lane's numbers in shared memory: the lane writes, the main thread reads for metrics and
 * status. Doubles are written whole on every platform that Node runs on, so a reader sees old or
 * new, never half.
 */
export class LaneStats {
  readonly memory: SharedArrayBuffer;
  private readonly values: Float64Array;

  constructor(memory = new SharedArrayBuffer((TOPICS_AT + TOPICS) * 8)) {
    this.memory = memory;
    this.values = new Float64Array(memory);
  }

  get(name: number): number {
    return this.values[name] as number;
  }

  set(name: number, value: number): void {
    this.values[name] = value;
  }

  add(name: number, value: number): void {
    this.values[name] = (this.values[name] as number) + value;
  }

  /** Counts refused messages by the protocol's error code. */
  refuse(code: number, count: number): void {
    this.add(stat.refused, count);
    this.add(GAUGES + (code & (CODES - 1)), count);
  }

  refusedBy(code: number): number {
    return this.values[GAUGES + (code & (CODES - 1))] as number;
  }

  /** Counts messages stored for a node topic id. */
  storeTopic(topic: number, count: number): void {
    this.add(TOPICS_AT + topic, count);
  }

  storedTopic(topic: number): number {
    return this.values[TOPICS_AT + topic] as number;
  }

  /** Notes one durable write. */
  write(elapsedMs: number, messages: number): void {
    this.add(stat.fsyncCount, 1);
    this.add(stat.fsyncSumMs, elapsedMs);
    this.add(FSYNC_AT + bucketOf(FSYNC_BUCKETS_MS, elapsedMs), 1);
    this.add(BATCH_AT + bucketOf(BATCH_BUCKETS, messages), 1);
  }

  /** Counts by bucket, as {@link FSYNC_BUCKETS_MS} names them, not cumulated. */
  fsyncBuckets(): Float64Array {
    return this.values.slice(FSYNC_AT, BATCH_AT);
  }

  /** Counts by bucket, as {@link BATCH_BUCKETS} names them, not cumulated. */
  batchBuckets(): Float64Array {
    return this.values.slice(BATCH_AT, ANSWER_AT);
  }

  /** Notes how long a micro-batch took from the ring to its answers. */
  answered(elapsedMs: number): void {
    this.add(stat.answerSumMs, elapsedMs);
    this.add(ANSWER_AT + bucketOf(FSYNC_BUCKETS_MS, elapsedMs), 1);
  }

  /** Counts by bucket, as {@link FSYNC_BUCKETS_MS} names them, not cumulated. */
  answerBuckets(): Float64Array {
    return this.values.slice(ANSWER_AT, DELIVERY_AT);
  }

  /** Notes how long messages took from their acceptance to the backend's verdict. */
  delivered(elapsedMs: number, messages: number): void {
    // The wall clock says when a message was accepted, also over a restart; it may step.
    const ms = Math.max(0, elapsedMs);
    this.add(stat.deliverySumMs, ms * messages);
    this.add(DELIVERY_AT + bucketOf(DELIVERY_BUCKETS_MS, ms), messages);
  }

  /** Counts by bucket, as {@link DELIVERY_BUCKETS_MS} names them, not cumulated. */
  deliveryBuckets(): Float64Array {
    return this.values.slice(DELIVERY_AT, TOPICS_AT);
  }
}
