import type { BatchTopic } from '../../store/batch-header.ts';
import type { ArraySlab } from './array-slab.ts';
import type { ProducerSession } from './producer-session.ts';

/** Numbers of a row of {@link MicroBatch.rows}. */
export const ROW_COLUMNS = 7;
/** What stands in each column of a row. */
export const row = {
  /** The session that sent it; -1 when the batch was read back from the store. */
  session: 0,
  /** Correlation id of its first message. */
  correlationId: 1,
  /** Position of its first message among the accepted ones of the batch. */
  ordinal: 2,
  count: 3,
  /** The producer's sequence of its first message. */
  sequence: 4,
  /** 1 when the client asked for `replicated`. */
  replicated: 5,
  /** 1 when they are delayed. */
  due: 6,
} as const;

/** Bytes of one segment's id: producerId u64, epoch u16, sequence u48, big-endian. */
export const SEGMENT_ID_BYTES = 16;
/** Bytes that a segment takes in all arrays: a row, an id, a count and a flag. */
const SEGMENT_BYTES = ROW_COLUMNS * 8 + SEGMENT_ID_BYTES + 4 + 1;

/**
 * What became durable in one write: the accepted messages of a scan, by segments (consecutive
 * messages of one session with rising sequence and correlation id).
 */
export interface MicroBatch {
  /** The lane's sequence of the first message. */
  firstSequence: number;
  messages: number;
  acceptedMs: number;
  /**
   * Its messages as the outbox holds them, from `encode` to `forward`; *borrowed* from the journal.
   */
  payload: Buffer | undefined;
  /** Segments; the arrays below have an entry (or row, or 16 bytes) for each. */
  segments: number;
  rows: Float64Array;
  producers: ProducerSession[];
  ids: Uint8Array;
  counts: Int32Array;
  /** By segment: 1 when its verdicts carry partition and offset. */
  flags: Uint8Array;
  topics: BatchTopic[];
  /** Some client waits for the backend's verdict. */
  hasReplicated: boolean;
  /** Messages that are known already and are answered once this batch is durable. */
  duplicates: DuplicateRun[];
  /** Refused for good in ordered sessions, which go on behind them once that is durable. */
  passes: PassedRun[];
}

/** Messages that were refused for good: answered when the gap that they leave is durable. */
export interface PassedRun {
  readonly session: number;
  readonly correlationId: number;
  readonly count: number;
  readonly producer: ProducerSession;
  readonly sequence: number;
  readonly code: number;
}

/** A resend of something known: answered like the first time, stored never. */
export interface DuplicateRun {
  readonly session: number;
  readonly correlationId: number;
  readonly count: number;
  readonly producer: ProducerSession;
  readonly sequence: number;
  readonly replicated: boolean;
  /** The node topic id that all of them have, or -1. */
  readonly topic: number;
}

/** A batch to be filled, its arrays in `slab`; it grows by doubling. */
export function emptyMicroBatch(acceptedMs: number, segments: number, slab: ArraySlab): MicroBatch {
  const { buffer, offset } = slab.take(segments * SEGMENT_BYTES);
  const idsAt = offset + segments * ROW_COLUMNS * 8;
  const countsAt = idsAt + segments * SEGMENT_ID_BYTES;
  return {
    firstSequence: 0,
    messages: 0,
    acceptedMs,
    payload: undefined,
    segments: 0,
    rows: new Float64Array(buffer, offset, segments * ROW_COLUMNS),
    producers: [],
    ids: new Uint8Array(buffer, idsAt, segments * SEGMENT_ID_BYTES),
    counts: new Int32Array(buffer, countsAt, segments),
    flags: new Uint8Array(buffer, countsAt + segments * 4, segments),
    topics: [],
    hasReplicated: false,
    duplicates: [],
    passes: [],
  };
}

/** A segment to be added. */
export interface SegmentInput {
  readonly session: number;
  readonly correlationId: number;
  readonly count: number;
  readonly sequence: number;
  readonly replicated: boolean;
  readonly due: boolean;
  readonly producer: ProducerSession;
}

/** Appends accepted messages to a batch. */
export function addSegment(batch: MicroBatch, segment: SegmentInput): void {
  const index = batch.segments;
  if (index === batch.counts.length) growBatch(batch);
  const { rows, ids } = batch;
  const at = index * ROW_COLUMNS;
  rows[at + row.session] = segment.session;
  rows[at + row.correlationId] = segment.correlationId;
  rows[at + row.ordinal] = batch.messages;
  rows[at + row.count] = segment.count;
  rows[at + row.sequence] = segment.sequence;
  rows[at + row.replicated] = segment.replicated ? 1 : 0;
  rows[at + row.due] = segment.due ? 1 : 0;
  ids.set(segment.producer.idBytes, index * SEGMENT_ID_BYTES);
  writeU48(ids, index * SEGMENT_ID_BYTES + 10, segment.sequence);
  batch.counts[index] = segment.count;
  batch.flags[index] = segment.replicated ? 1 : 0;
  batch.producers.push(segment.producer);
  batch.hasReplicated ||= segment.replicated;
  batch.segments = index + 1;
  batch.messages += segment.count;
}

function growBatch(batch: MicroBatch): void {
  const segments = Math.max(16, batch.counts.length * 2);
  const rows = new Float64Array(segments * ROW_COLUMNS);
  rows.set(batch.rows);
  batch.rows = rows;
  const ids = new Uint8Array(segments * SEGMENT_ID_BYTES);
  ids.set(batch.ids);
  batch.ids = ids;
  const counts = new Int32Array(segments);
  counts.set(batch.counts);
  batch.counts = counts;
  const flags = new Uint8Array(segments);
  flags.set(batch.flags);
  batch.flags = flags;
}

/** Writes a u48, big-endian. */
export function writeU48(bytes: Uint8Array, at: number, value: number): void {
  const high = Math.floor(value / 4_294_967_296);
  const low = value >>> 0;
  bytes[at] = high >>> 8;
  bytes[at + 1] = high & 0xff;
  bytes[at + 2] = low >>> 24;
  bytes[at + 3] = (low >>> 16) & 0xff;
  bytes[at + 4] = (low >>> 8) & 0xff;
  bytes[at + 5] = low & 0xff;
}
