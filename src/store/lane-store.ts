import type { Clock } from '../base/clock.ts';
import type { CodedError } from '../base/errors.ts';
import type { BatchHeader, BatchHeaderBuilder, Crc32c } from './batch-header.ts';
import type { NoteConfirmed } from './batch-ledger.ts';
import type { DriverName } from './key-value-store.ts';

/** How a lane's store is opened; see `openLaneStore` in open-lane-store.ts. */
export interface LaneStoreOptions {
  /** `<dataDir>/lanes/<n>`; made when it is not there. */
  readonly folder: string;
  /** The lane's number, for messages. */
  readonly lane: number;
  readonly clock: Clock;
  /** The addon's `crc32c`. */
  readonly crc32c: Crc32c;
  /** Default: by the version of Node. */
  readonly driver?: DriverName;
  /** Called once when something behind the caller's back failed (mark, idle flush). */
  readonly onFailure?: (error: CodedError) => void;
  /** Batches after which {@link LaneStore.checkpointDue} turns true; default 1,000. */
  readonly checkpointBatches?: number;
  /** Bytes of deleted payload after which a drained outbox is compacted; default 256 MiB. */
  readonly compactBytes?: number;
}

/** Chunks of the embedded log, as the addon's `encodeChunks` leaves them. */
export interface ChunkAppend {
  /** Rows of 7: topicId, partition, baseOffset, messages, byteStart, byteLength, recordsCrc. */
  readonly table: Float64Array;
  /** Rows used. */
  readonly count: number;
  /** *Borrowed*: the store has copied it when `append` returns its promise. */
  readonly bytes: Uint8Array;
  readonly timestampMs: number;
}

/** A change of a producer's stored window. */
export interface WindowPut {
  /** Begins with the producer id as u64 big-endian, by which `relane` finds its lane. */
  readonly key: Buffer;
  /** Opaque to the store, owned until the append resolved; undefined: the window is dropped. */
  readonly value: Buffer | undefined;
}

/** One micro-batch. Either `payload` or `chunks`. */
export interface AppendRequest {
  /** Filled with accepted segments and topics; the store seals it. */
  readonly header: BatchHeaderBuilder;
  /** Outbox payload, *borrowed*: copied when `append` returns its promise. */
  readonly payload?: Uint8Array;
  readonly payloadCrc?: number;
  /** Embedded log: the batch is confirmed as soon as it is stored. */
  readonly chunks?: ChunkAppend;
  /**
   * The windows of all producers touched since the last checkpoint. Given only when
   * `checkpointDue`; folds every header before this batch. Whether this batch is already in the
   * windows does not matter: its header is handed back at open, and applying it is idempotent.
   */
  readonly windowPuts?: readonly WindowPut[];
}

/** A batch as it is read back for sending. */
export interface StoredBatch {
  readonly header: BatchHeader;
  /** The lane's sequence of the first message (as in the header). */
  readonly firstSequence: number;
  readonly messages: number;
  /** Outbox payload, owned by the caller. */
  readonly payload: Buffer;
  /** Messages of it that are confirmed already; ask `isConfirmed` which. */
  readonly confirmed: number;
}

/** What {@link LaneStore.readBatches} found. */
export interface BatchRead {
  readonly batches: readonly StoredBatch[];
  /** Where to go on; equal to `nextSequence` of the store when there was no more. */
  readonly nextSequence: number;
}

/** A message that the backend refused for good. */
export interface Refusal {
  /** The lane's sequence. */
  readonly sequence: number;
  /** Our code, such as `MESSAGE_TOO_LARGE`. */
  readonly code: string;
  /** The backend's words. */
  readonly reason: string;
}

/** A log beside the outbox: of what was refused for good, or waits for its topic. */
export type AsideName = 'undeliverable' | 'parked';

/** Where an entry stands in its log. */
export interface AsidePlace {
  readonly topic: string;
  /** The lane's sequence. */
  readonly sequence: number;
}

/** An entry of such a log: whole, so that it can be exported or sent again. */
export interface AsideEntry extends Refusal {
  /** When it was put aside. */
  readonly failedMs: number;
  readonly acceptedMs: number;
  readonly producerId: bigint;
  readonly epoch: number;
  /** The producer's own sequence. */
  readonly producerSequence: number;
  readonly topic: string;
  /** Wire flags: KEY, HEADERS, PARTITION, NULL_VALUE. */
  readonly flags: number;
  /** Wire body without its sequence. */
  readonly body: Buffer;
}

/** Messages of one topic that were put aside. */
export interface AsideCount {
  messages: number;
  bytes: number;
  /** When the first of them was put aside, as far as this process knows. */
  sinceMs: number;
}

/**
 * What left the outbox without having been delivered: the undeliverable log (refused for good) and
 * the parked log (waiting for its topic, by topic in order). Each step is one synced write, so a
 * message is in exactly one place, and its entry counts as its confirmation.
 */
export interface AsideLog {
  /** Messages and bytes of a log by topic. */
  topics(log: AsideName): ReadonlyMap<string, Readonly<AsideCount>>;
  messages(log: AsideName): number;
  /** What counts against the log's quota. */
  bytes(log: AsideName): number;
  /**
   * Moves messages out of the outbox into a log, and confirms them; what is confirmed already is
   * left alone. Answers the entries that it wrote, their bodies *borrowed* from what was read.
   * @throws STORE_FAILED, STORE_CORRUPT
   */
  put(log: AsideName, refusals: readonly Refusal[]): Promise<readonly AsideEntry[]>;
  /** Entries of a log; of a topic from a sequence on, in order. */
  entries(log: AsideName, from?: AsidePlace): AsyncGenerator<AsideEntry>;
  /** Entries of the undeliverable log, the newest first, at most `countMax`. */
  newest(countMax: number): AsyncGenerator<AsideEntry>;
  /** Forgets entries: they were delivered, or are given up. Answers how many were there. */
  remove(log: AsideName, places: readonly AsidePlace[]): Promise<number>;
  /** Moves entries from one log to the other. */
  move(from: AsideName, to: AsideName, entries: readonly AsideEntry[]): Promise<void>;
}

/** Numbers for quota, metrics and status. */
export interface LaneStats {
  /** Headers and payloads that are not deleted yet (the embedded log is not in it). */
  readonly liveBytes: number;
  /** Batches that hold a message to be confirmed. */
  readonly batches: number;
  readonly unconfirmedMessages: number;
  /** When the oldest unconfirmed batch was accepted; undefined: there is none. */
  readonly oldestAcceptedMs: number | undefined;
  readonly nextSequence: number;
  /** Every message before it is confirmed. */
  readonly floor: number;
}

/** The volume on which a folder lies. */
export interface VolumeSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
}

/** A chunk of the embedded log without its records. */
export interface ChunkInfo {
  readonly topicId: number;
  readonly partition: number;
  readonly baseOffset: number;
  /** Offsets that the chunk spans; of its records some may be gone by compaction. */
  readonly messages: number;
  /** Length of the records. */
  readonly bytes: number;
  readonly timestampMs: number;
}

/** A chunk with its records (TAIL wire records, back to back), owned by the caller. */
export interface LogChunk extends ChunkInfo {
  readonly records: Buffer;
}

/** What is known of a partition of the embedded log at open. */
export interface LogPartition {
  readonly topicId: number;
  readonly partition: number;
  /** First offset that is kept. */
  readonly startOffset: number;
  readonly nextOffset: number;
  /** Records of all chunks. */
  readonly bytes: number;
  readonly chunks: number;
}

/** A place in a partition. */
export interface LogPosition {
  readonly topicId: number;
  readonly partition: number;
  readonly offset: number;
}

/** A group's commit of one partition, by the topic's name. */
export interface GroupCommit {
  readonly topic: string;
  readonly partition: number;
  /** The next offset to be read. */
  readonly offset: number;
  readonly metadata: string;
}

/** What groups have committed. Calls may run beside an append. */
export interface GroupOffsets {
  /** All or nothing; resolves after the fsync. @throws STORE_FAILED */
  commit(group: string, commits: readonly GroupCommit[]): Promise<void>;
  /** All commits of a group; none when there is no such group. */
  read(group: string): Promise<GroupCommit[]>;
  /** Every group with a commit, by name. */
  groups(): Promise<string[]>;
  /** Forgets a group and its commits. */
  drop(group: string): Promise<void>;
}

/** Consecutive chunks as compaction leaves them: one in the place of all. */
export interface ChunkRewrite {
  /** The chunks that are replaced, in order and without a gap between them. */
  readonly from: readonly ChunkInfo[];
  /** The records that are kept. May be empty: the span of offsets stays. */
  readonly records: Uint8Array;
  /** Of the new chunk: the newest of `from`. */
  readonly timestampMs: number;
}

/**
 * The embedded log of a lane. Reads may run beside an append. A chunk that was compacted spans
 * more offsets than it has records.
 */
export interface ChunkLog {
  /** Every partition that ever held a chunk; from the index, without reading records. */
  partitions(): Promise<LogPartition[]>;
  /** Chunks from the one that contains `offset` (or the next after it), without records. */
  infos(from: LogPosition): AsyncGenerator<ChunkInfo>;
  /**
   * Chunks with records from the one that contains `offset` (or the next after it), until
   * `bytesMax` is reached; at least one if there is one. Throws `STORE_CORRUPT`.
   */
  read(from: LogPosition, bytesMax: number): Promise<LogChunk[]>;
  /**
   * Deletes the chunks that end at or before `offset` and notes the new start. What it frees is
   * given back to the disk by compaction, at once when it is much.
   */
  deleteBefore(position: LogPosition): Promise<void>;
  /**
   * Puts one chunk in the place of several, which spans their offsets. Not synced: after a crash
   * either the old ones or the new one are there. Not to run beside `deleteBefore`.
   */
  rewrite(rewrite: ChunkRewrite): Promise<void>;
  /** Forgets a partition altogether (a deleted topic). */
  drop(topicId: number, partition: number): Promise<void>;
}

/**
 * The durable memory of a lane: outbox, confirmed state, windows, undeliverables, embedded log.
 * One append is in flight at a time. Errors: `STORE_FAILED` when the disk failed (the store then
 * refuses everything: its outcome is unknown), `STORE_CORRUPT` when what was read is not what was
 * written.
 */
export interface LaneStore {
  /** The lane's sequence that the next appended message gets; from 1. */
  readonly nextSequence: number;
  /** Every message before it is confirmed. */
  readonly floor: number;
  /** Stored messages that are not confirmed. */
  readonly unconfirmedMessages: number;
  /** The next append should bring `windowPuts`. */
  readonly checkpointDue: boolean;
  readonly chunks: ChunkLog;
  readonly groups: GroupOffsets;

  /** Stored windows, as of the last checkpoint. To be read once, before the first append. */
  windows(): AsyncGenerator<{ key: Buffer; value: Buffer }>;
  /** Headers since the last checkpoint, in order: they bring the windows up to date. */
  headersSinceCheckpoint(): AsyncGenerator<BatchHeader>;

  /** Resolves when the batch is on the disk (fsync). Its sequence is `nextSequence` as it was. */
  append(request: AppendRequest): Promise<void>;
  /**
   * Notes that messages are confirmed; it rides in the next write. Returns how many were not.
   * `note` hears when these were accepted, batch by batch, as far as memory knows the batches.
   */
  confirm(firstSequence: number, count: number, note?: NoteConfirmed): number;
  isConfirmed(sequence: number): boolean;
  /**
   * Batches with unconfirmed messages in order, from the one that contains `fromSequence`, until
   * `bytesMax` of payload is reached; at least one if there is one.
   */
  readBatches(fromSequence: number, bytesMax: number): Promise<BatchRead>;
  /** What left the outbox without having been delivered. */
  readonly aside: AsideLog;

  stats(): LaneStats;
  volume(): Promise<VolumeSpace>;
  /** Bytes of the store's files. */
  diskBytes(): Promise<number>;
  /** Writes confirmed state and mark, synced, and closes. */
  close(): Promise<void>;
}
