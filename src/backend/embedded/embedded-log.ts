import assert from 'node:assert';
import type { Clock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import { type BatchBuilder, CHUNK_COLUMNS, chunkColumn } from '../../native/batch-builder.ts';
import type { ChunkAppend, ChunkLog, LogChunk } from '../../store/lane-store.ts';
import { type PartitionOffsets, type TailRequest, type TailResult, tailFrom } from '../port.ts';
import { ChunkRests } from './chunk-rests.ts';
import { Compaction, type CompactionLimits } from './compaction.ts';
import { offsetAtTime } from './offset-search.ts';
import type { OwnReserved } from './own-records.ts';
import { PartitionLog, type PartitionStart } from './partition-log.ts';
import { type RecordSlice, sliceRecords } from './record-slice.ts';
import { Retention, type RetentionLimits } from './retention.ts';

/** How an {@link EmbeddedLog} is opened. */
export interface EmbeddedLogOptions {
  /** The chunks of the lane's store. */
  readonly chunks: ChunkLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Of topics that say nothing themselves. */
  readonly retention: RetentionLimits;
  /** Between two looks for what retention may free, in ms; default 5,000. */
  readonly sweepMs?: number;
  /** Retention failed, which means that the disk did. */
  readonly onFailure: (error: unknown) => void;
}

/** A topic as the log must know it before a message for it comes. */
export interface EmbeddedTopic {
  /** The node's number for it. */
  readonly id: number;
  readonly name: string;
  readonly partitions: number;
  /** The topic's own limits; what is absent comes from the log's. */
  readonly retention?: Partial<RetentionLimits>;
  /** Absent: its records are not compacted. */
  readonly compaction?: CompactionLimits;
}

/** Who sent what is in the builder. */
export interface BatchOrigin {
  /** 16 bytes for each accepted segment, big-endian: producerId u64, epoch u16, sequence u48. */
  readonly ids: Uint8Array;
  /** Messages of each accepted segment. */
  readonly acceptedSegments: Int32Array;
}

/** Numbers for status and metrics. */
export interface EmbeddedLogStats {
  readonly topics: number;
  readonly partitions: number;
  /** Bytes of all records. */
  readonly bytes: number;
  /** Readers that wait for a message. */
  readonly waiting: number;
}

interface Topic {
  readonly id: number;
  readonly name: string;
  readonly logs: readonly PartitionLog[];
  readonly retention: RetentionLimits;
  readonly compaction: CompactionLimits | undefined;
}

const restBytesMax = 16 * 1024 * 1024;
const waitingMax = 65_536;

/**
 * The log broker of a lane without Kafka: it gives partitions and offsets to the messages of a
 * micro-batch, whose chunks lie in the lane's own store and share its fsync, and reads them back.
 *
 * For each micro-batch: `plan`, the store's append with the plan, `stored`. Only the last makes
 * the messages visible, and wakes who waits for them.
 */
export class EmbeddedLog {
  readonly #chunks: ChunkLog;
  readonly #clock: Clock;
  readonly #defaults: RetentionLimits;
  readonly #retention: Retention;
  readonly #compaction: Compaction;
  readonly #topics = new Map<string, Topic>();
  readonly #byId = new Map<number, Topic>();
  /** Partitions found in the store, until their topic is named. */
  readonly #found = new Map<string, PartitionStart>();
  readonly #rests = new ChunkRests(restBytesMax);
  #partitionCounts = new Int32Array(64);
  #nextOffsets = new Float64Array(256);
  #sticky = 0;
  #waiting = 0;
  #closed = false;

  private constructor(options: EmbeddedLogOptions, found: readonly PartitionStart[]) {
    this.#chunks = options.chunks;
    this.#clock = options.clock;
    this.#defaults = options.retention;
    for (const start of found) this.#found.set(`${start.topicId}/${start.partition}`, start);
    this.#compaction = new Compaction({
      ...options,
      isClosed: () => this.#closed,
    });
    this.#retention = new Retention({
      chunks: options.chunks,
      clock: options.clock,
      sweepMs: options.sweepMs ?? 5_000,
      partitions: () => this.#partitions(),
      compact: (log) => this.#compact(log),
      onFailure: options.onFailure,
    });
  }

  /** Finds out where every partition of the store begins and ends. */
  static async open(options: EmbeddedLogOptions): Promise<EmbeddedLog> {
    return new EmbeddedLog(options, await options.chunks.partitions());
  }

  /** Makes a topic known. Again with the same id: more partitions, or another retention. */
  setTopic(topic: EmbeddedTopic): void {
    const known = this.#byId.get(topic.id)?.logs ?? [];
    assert(topic.partitions >= known.length, 'a topic never loses partitions');
    const logs = Array.from(
      { length: topic.partitions },
      (_, partition) => known[partition] ?? this.#openPartition(topic.id, partition),
    );
    const own = topic.retention ?? {};
    const retention: RetentionLimits = {
      ms: 'ms' in own ? own.ms : this.#defaults.ms,
      bytes: 'bytes' in own ? own.bytes : this.#defaults.bytes,
    };
    const { id, name, compaction } = topic;
    const entry: Topic = { id, name, logs, retention, compaction };
    this.#topics.set(topic.name, entry);
    this.#byId.set(topic.id, entry);
  }

  /** A partition that the store has, as `<topic id>/<partition>`, and no topic that was named. */
  get unnamed(): string | undefined {
    return this.#found.keys().next().value;
  }

  /**
   * Gives the builder's accepted messages their partitions and offsets, and encodes them. Every
   * topic of the scan must be known. `builder.places` then says where each message goes.
   *
   * @returns what the store appends; its bytes are *borrowed until the builder's next call*. When
   * the append fails, the log is of no more use: its offsets are ahead of the disk.
   */
  plan(builder: BatchBuilder, origin: BatchOrigin): ChunkAppend {
    const topicCount = builder.topicCount;
    const timestampMs = this.#clock.now();
    const used = this.#gather(builder.topics, topicCount);
    this.#sticky = (this.#sticky + 1) >>> 0;
    const count = builder.encodeChunks({
      ids: origin.ids,
      acceptedSegments: origin.acceptedSegments,
      partitions: this.#partitionCounts.subarray(0, topicCount),
      nextOffsets: this.#nextOffsets.subarray(0, used),
      sticky: this.#sticky,
      timestampMs,
    });
    // A copy, since the builder may be scanning the next batch when this one is stored.
    const table = builder.chunkTable.slice(0, count * CHUNK_COLUMNS);
    for (let row = 0; row < table.length; row += CHUNK_COLUMNS) {
      this.#logOf(table, row).plan(cell(table, row + chunkColumn.messages));
    }
    return { table, count, bytes: builder.chunkBytes, timestampMs };
  }

  /** Notes that a plan is on the disk; in the order of the plans. */
  stored(plan: ChunkAppend): void {
    const { table, timestampMs } = plan;
    for (let row = 0; row < table.length; row += CHUNK_COLUMNS) {
      const log = this.#logOf(table, row);
      const baseOffset = cell(table, row + chunkColumn.baseOffset);
      assert.equal(baseOffset, log.endOffset, 'chunks become visible in the order of offsets');
      log.stored({
        baseOffset,
        messages: cell(table, row + chunkColumn.messages),
        bytes: cell(table, row + chunkColumn.byteLength),
        timestampMs,
      });
      const topic = this.#byId.get(log.topicId);
      if (topic !== undefined) this.#retention.noticed(log, topic.retention);
    }
  }

  /**
   * Reads a partition, waiting up to `waitMs` for a first record. The records are owned by the
   * caller and alone in their ArrayBuffer, so they may be transferred.
   *
   * @throws UNKNOWN_TOPIC, UNKNOWN_PARTITION, OFFSET_OUT_OF_RANGE; RETRY_LATER when too many wait.
   */
  async read(request: TailRequest): Promise<TailResult> {
    const log = this.#log(request.topic, request.partition);
    const offset = await this.#begin(log, request);
    if (offset < log.startOffset || offset > log.endOffset) {
      const where = `offset ${offset} of ${request.topic}, partition ${request.partition}`;
      const words = `${where} is not within ${log.startOffset} to ${log.endOffset}`;
      throw coded('OFFSET_OUT_OF_RANGE', words);
    }
    if (offset === log.endOffset && request.waitMs > 0) await this.#wait(log, request);
    if (offset === log.endOffset || request.signal?.aborted === true) {
      return result(log, { nextOffset: offset, count: 0, records: Buffer.allocUnsafeSlow(0) });
    }
    const bytesMax = Math.min(Math.max(request.bytesMax, 1), limits.tailBytesMax);
    return this.#take(log, offset, bytesMax);
  }

  /** @throws UNKNOWN_TOPIC */
  offsets(topic: string): PartitionOffsets[] {
    return this.#topic(topic).logs.map(({ partition, startOffset, endOffset }) => ({
      partition,
      startOffset,
      endOffset,
    }));
  }

  /** Takes the offsets of records that the node itself writes; `stored` follows. */
  reserve(topic: string, partition: number, messages: number): OwnReserved {
    const log = this.#log(topic, partition);
    const baseOffset = log.plannedOffset;
    log.plan(messages);
    return { topicId: log.topicId, baseOffset };
  }

  /** The first offset written at `timeMs` or later. @throws UNKNOWN_TOPIC, UNKNOWN_PARTITION */
  offsetAt(topic: string, partition: number, timeMs: number): Promise<number> {
    return offsetAtTime(this.#chunks, this.#log(topic, partition), timeMs);
  }

  /** Frees the chunks that lie before an offset. @throws UNKNOWN_TOPIC, UNKNOWN_PARTITION */
  async deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<void> {
    await this.#retention.free(this.#log(topic, partition), beforeOffset);
  }

  /** Frees now what retention may free; it happens by itself every few seconds. */
  sweep(): Promise<void> {
    return this.#retention.sweep();
  }

  stats(): EmbeddedLogStats {
    let partitions = 0;
    let bytes = 0;
    for (const [log] of this.#partitions()) {
      partitions += 1;
      bytes += log.bytes;
    }
    return { topics: this.#byId.size, partitions, bytes, waiting: this.#waiting };
  }

  /** Answers all that wait, and ends retention. The store is closed by its owner, afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const [log] of this.#partitions()) log.wake();
    await this.#retention.close();
  }

  *#partitions(): Generator<readonly [PartitionLog, RetentionLimits]> {
    for (const topic of this.#byId.values()) {
      for (const log of topic.logs) yield [log, topic.retention];
    }
  }

  async #compact(log: PartitionLog): Promise<void> {
    const { name, compaction } = this.#byId.get(log.topicId) ?? {};
    if (name === undefined || compaction === undefined) return;
    await this.#compaction.sweep(name, log, compaction);
  }

  #openPartition(topicId: number, partition: number): PartitionLog {
    const key = `${topicId}/${partition}`;
    const start = this.#found.get(key);
    this.#found.delete(key);
    return new PartitionLog(
      start ?? { topicId, partition, startOffset: 0, nextOffset: 0, bytes: 0 },
    );
  }

  /** Fills partition counts and next offsets of the batch's topics; returns how many offsets. */
  #gather(topics: Int32Array, topicCount: number): number {
    if (topicCount > this.#partitionCounts.length) {
      this.#partitionCounts = new Int32Array(topicCount * 2);
    }
    let used = 0;
    for (let i = 0; i < topicCount; i++) {
      const topic = this.#byId.get(topics[i] ?? 0);
      assert(topic !== undefined, 'a message is accepted only for a topic the log knows');
      const { logs } = topic;
      this.#partitionCounts[i] = logs.length;
      if (used + logs.length > this.#nextOffsets.length) {
        const grown = new Float64Array((used + logs.length) * 2);
        grown.set(this.#nextOffsets.subarray(0, used));
        this.#nextOffsets = grown;
      }
      for (let j = 0; j < logs.length; j++) {
        this.#nextOffsets[used + j] = logs[j]?.plannedOffset ?? 0;
      }
      used += logs.length;
    }
    return used;
  }

  #logOf(table: Float64Array, row: number): PartitionLog {
    const topic = this.#byId.get(cell(table, row + chunkColumn.topic));
    const log = topic?.logs[cell(table, row + chunkColumn.partition)];
    assert(log !== undefined);
    return log;
  }

  #topic(name: string): Topic {
    const topic = this.#topics.get(name);
    if (topic === undefined) throw coded('UNKNOWN_TOPIC', `there is no topic ${name}`);
    return topic;
  }

  #log(name: string, partition: number): PartitionLog {
    const { logs } = this.#topic(name);
    const log = logs[partition];
    if (log === undefined) {
      const words = `topic ${name} has partitions 0 to ${logs.length - 1}, not ${partition}`;
      throw coded('UNKNOWN_PARTITION', words);
    }
    return log;
  }

  async #begin(log: PartitionLog, request: TailRequest): Promise<number> {
    switch (request.from) {
      case tailFrom.beginning:
        return log.startOffset;
      case tailFrom.end:
        return log.endOffset;
      case tailFrom.time:
        return offsetAtTime(this.#chunks, log, request.position);
      default:
        return request.position;
    }
  }

  async #wait(log: PartitionLog, request: TailRequest): Promise<void> {
    if (this.#closed) return;
    if (this.#waiting >= waitingMax) {
      const words = `${waitingMax} readers are waiting already`;
      throw coded('RETRY_LATER', words, { retryAfterMs: 1000 });
    }
    const waitMs = Math.min(request.waitMs, limits.tailWaitMsMax);
    this.#waiting += 1;
    try {
      await log.wait({ waitMs, clock: this.#clock, signal: request.signal });
    } finally {
      this.#waiting -= 1;
    }
  }

  async #take(log: PartitionLog, from: number, bytesMax: number): Promise<TailResult> {
    const { topicId, partition } = log;
    let offset = from;
    for (;;) {
      const rest = this.#rests.take({ topicId, partition, offset });
      const chunks = rest === undefined ? await this.#fetch(log, offset, bytesMax) : [rest];
      const slice = sliceRecords(chunks, { offset, endOffset: log.endOffset, bytesMax });
      if (slice.rest !== undefined) {
        this.#rests.put({ topicId, partition, offset: slice.nextOffset }, slice.rest);
      }
      // Where compaction left nothing, reading goes on.
      if (slice.count > 0 || slice.nextOffset >= log.endOffset) return result(log, slice);
      offset = slice.nextOffset;
    }
  }

  async #fetch(log: PartitionLog, offset: number, bytesMax: number): Promise<LogChunk[]> {
    const { topicId, partition } = log;
    const chunks = await this.#chunks.read({ topicId, partition, offset }, bytesMax);
    const first = chunks[0];
    if (first !== undefined && first.baseOffset <= offset) return chunks;
    if (offset < log.startOffset) {
      const words = `offset ${offset} was freed; the log now begins at ${log.startOffset}`;
      throw coded('OFFSET_OUT_OF_RANGE', words);
    }
    throw coded(
      'STORE_CORRUPT',
      `topic ${topicId} partition ${partition}: expected offset ${offset} ` +
        `between ${log.startOffset} and ${log.endOffset}, found none`,
    );
  }
}

function cell(table: Float64Array, index: number): number {
  const value = table[index];
  assert(value !== undefined);
  return value;
}

function result(log: PartitionLog, slice: Omit<RecordSlice, 'rest'>): TailResult {
  const { nextOffset, count, records } = slice;
  const { partition, startOffset, endOffset } = log;
  return { partition, startOffset, endOffset, nextOffset, count, records };
}
