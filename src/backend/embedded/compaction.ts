import type { Clock } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { ChunkLog, LogChunk } from '../../store/lane-store.ts';
import type { PartitionLog } from './partition-log.ts';

/** When and how a partition is compacted. */
export interface CompactionLimits {
  /** How long a tombstone stays, so that every reader can meet it, in ms. */
  readonly tombstoneMs: number;
  /** Share of the partition's bytes that must be new before it is worth a pass, 0 to 1. */
  readonly dirtyRatio: number;
  /** Older new records are compacted whatever their share, in ms; undefined: no such bound. */
  readonly lagMs: number | undefined;
}

/** What a {@link Compaction} needs. */
export interface CompactionOptions {
  readonly chunks: ChunkLog;
  readonly clock: Clock;
  readonly log: Logger;
  /** Keys that a pass remembers; what is beyond waits for the next. Default 250,000. */
  readonly keysMax?: number;
  /** Their bytes, likewise; default 32 MiB. */
  readonly keyBytesMax?: number;
  /** Bytes read at a time: the lane does nothing else while they are looked through. */
  readonly sliceBytes?: number;
  /** True: the log is being closed, and a pass ends early. */
  readonly isClosed: () => boolean;
}

interface Progress {
  /** Before it every key stands once. */
  cleanedOffset: number;
  /** Bytes before `cleanedOffset`. */
  cleanBytes: number;
  /** When the first record behind it was met by a sweep. */
  dirtyFromMs: number | undefined;
  /** Of the oldest tombstone that was kept. */
  tombstoneMs: number | undefined;
}

/** The newest offset of each key in what is new of a partition. */
class Newest {
  readonly offsets = new Map<string, number>();
  /** Of the keys. */
  bytes = 0;
}

interface Kept {
  readonly parts: Buffer[];
  bytes: number;
}

/** Not worth a pass below it, in bytes. */
const dirtyBytesMin = 64 * 1024;
/** Chunks of a slice from which on they are made one, though nothing of them goes. */
const joinFrom = 4;
const TWO_32 = 0x1_0000_0000;

/**
 * Keeps the newest record of each key. A pass reads what is new and remembers the newest offset of
 * each key in it; then it goes over the log from its start, slice by slice, and puts one chunk with
 * what is kept in the place of the slice's. Records without a key stay. A tombstone goes once it is
 * older than the limit, in a pass that has seen all before it. A partition with a damaged chunk is
 * left alone from then on: who reads the chunk is told, and nobody else need be.
 */
export class Compaction {
  readonly #options: CompactionOptions;
  readonly #progress = new WeakMap<PartitionLog, Progress>();
  readonly #damaged = new WeakSet<PartitionLog>();

  constructor(options: CompactionOptions) {
    this.#options = options;
  }

  /**
   * Compacts a partition of a topic if it is worth it. Not to run beside a deletion of the
   * partition. Rejects with what the disk said of a write.
   */
  async sweep(topic: string, log: PartitionLog, limits: CompactionLimits): Promise<void> {
    if (this.#damaged.has(log)) return;
    try {
      await this.#compact(log, limits);
    } catch (error) {
      if (codeOf(error) !== 'STORE_CORRUPT') throw error;
      this.#damaged.add(log);
      const words = `not compacted until the next start: ${messageOf(error)}`;
      this.#options.log.error({ topic, partition: log.partition }, words);
    }
  }

  async #compact(log: PartitionLog, limits: CompactionLimits): Promise<void> {
    const nowMs = this.#options.clock.now();
    const progress = this.#progress.get(log) ?? fresh(log);
    this.#progress.set(log, progress);
    if (!isDue(log, limits, progress, nowMs)) return;
    const { newest, end } = await this.#readNew(log, progress.cleanedOffset);
    const pass = new Pass(newest.offsets, nowMs - limits.tombstoneMs);
    let offset = log.startOffset;
    while (offset < end && !this.#options.isClosed()) {
      offset = await this.#rewriteSlice(log, { offset, end }, pass);
    }
    if (offset < end) return;
    progress.cleanedOffset = end;
    progress.cleanBytes = pass.keptBytes;
    progress.dirtyFromMs = undefined;
    progress.tombstoneMs = pass.tombstoneMs;
  }

  async #readNew(log: PartitionLog, from: number): Promise<{ newest: Newest; end: number }> {
    const { keysMax = 250_000, keyBytesMax = 32 * 1024 * 1024, isClosed } = this.#options;
    const newest = new Newest();
    const isFull = () => newest.offsets.size >= keysMax || newest.bytes >= keyBytesMax;
    const end = log.endOffset;
    let offset = Math.max(from, log.startOffset);
    while (offset < end && !isFull() && !isClosed()) {
      for (const chunk of await this.#read(log, offset, end)) {
        noteKeys(chunk, newest);
        offset = chunk.baseOffset + chunk.messages;
        if (isFull()) break;
      }
    }
    return { newest, end: offset };
  }

  async #rewriteSlice(
    log: PartitionLog,
    range: { readonly offset: number; readonly end: number },
    pass: Pass,
  ): Promise<number> {
    const slice = await this.#read(log, range.offset, range.end);
    const last = slice.at(-1);
    if (last === undefined) return range.end;
    const kept = pass.filter(slice);
    const before = slice.reduce((sum, chunk) => sum + chunk.bytes, 0);
    if (kept.bytes < before || slice.length >= joinFrom) {
      const records = Buffer.concat(kept.parts);
      await this.#options.chunks.rewrite({ from: slice, records, timestampMs: last.timestampMs });
      log.shrink(before - kept.bytes);
    }
    return last.baseOffset + last.messages;
  }

  async #read(log: PartitionLog, offset: number, end: number): Promise<LogChunk[]> {
    const { topicId, partition } = log;
    const { sliceBytes = 128 * 1024 } = this.#options;
    const chunks = await this.#options.chunks.read({ topicId, partition, offset }, sliceBytes);
    return chunks.filter((chunk) => chunk.baseOffset < end);
  }
}

function fresh(log: PartitionLog): Progress {
  return {
    cleanedOffset: log.startOffset,
    cleanBytes: 0,
    dirtyFromMs: undefined,
    tombstoneMs: undefined,
  };
}

function isDue(
  log: PartitionLog,
  limits: CompactionLimits,
  progress: Progress,
  nowMs: number,
): boolean {
  const { tombstoneMs } = progress;
  if (tombstoneMs !== undefined && nowMs - tombstoneMs > limits.tombstoneMs) return true;
  if (log.endOffset <= progress.cleanedOffset) return false;
  progress.dirtyFromMs ??= nowMs;
  if (limits.lagMs !== undefined && nowMs - progress.dirtyFromMs >= limits.lagMs) return true;
  const dirtyBytes = log.bytes - progress.cleanBytes;
  return dirtyBytes >= dirtyBytesMin && dirtyBytes >= limits.dirtyRatio * log.bytes;
}

/** One pass over a partition: what is kept of each slice. */
class Pass {
  readonly #newest: ReadonlyMap<string, number>;
  readonly #tombstonesBeforeMs: number;
  keptBytes = 0;
  tombstoneMs: number | undefined;

  constructor(newest: ReadonlyMap<string, number>, tombstonesBeforeMs: number) {
    this.#newest = newest;
    this.#tombstonesBeforeMs = tombstonesBeforeMs;
  }

  filter(slice: readonly LogChunk[]): Kept {
    const kept: Kept = { parts: [], bytes: 0 };
    for (const { records } of slice) {
      let from = 0;
      let at = 0;
      while (at < records.length) {
        const end = at + 4 + records.readUInt32BE(at);
        if (!this.#keeps(records, at, end)) {
          keep(kept, records, from, at);
          from = end;
        }
        at = end;
      }
      keep(kept, records, from, at);
    }
    this.keptBytes += kept.bytes;
    return kept;
  }

  #keeps(records: Buffer, at: number, end: number): boolean {
    const key = keyOf(records, at, end);
    if (key === undefined) return true;
    const newest = this.#newest.get(key);
    if (newest !== undefined && newest > u64(records, at + 4)) return false;
    if (((records[at + 20] as number) & nullValue) === 0) return true;
    const writtenMs = u64(records, at + 12);
    if (writtenMs < this.#tombstonesBeforeMs) return false;
    this.tombstoneMs = Math.min(this.tombstoneMs ?? writtenMs, writtenMs);
    return true;
  }
}

function keep(kept: Kept, records: Buffer, from: number, to: number): void {
  if (to === from) return;
  kept.parts.push(records.subarray(from, to));
  kept.bytes += to - from;
}

function noteKeys({ records }: LogChunk, newest: Newest): void {
  const { offsets } = newest;
  for (let at = 0; at < records.length; ) {
    const end = at + 4 + records.readUInt32BE(at);
    const key = keyOf(records, at, end);
    if (key !== undefined) {
      if (!offsets.has(key)) newest.bytes += key.length;
      offsets.set(key, u64(records, at + 4));
    }
    at = end;
  }
}

const hasKey = 0x01;
const nullValue = 0x08;
const hasId = 0x40;

// record := length:u32 offset:u64 timestampMs:u64 flags:u8 [id:16] [keyLength:u32 key] …
function keyOf(records: Buffer, at: number, end: number): string | undefined {
  const flags = records[at + 20] as number;
  if ((flags & hasKey) === 0) return undefined;
  const from = at + 21 + ((flags & hasId) === 0 ? 0 : 16);
  return records.toString('latin1', from + 4, Math.min(end, from + 4 + records.readUInt32BE(from)));
}

function u64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4);
}
