import assert from 'node:assert';
import { coded } from '../base/errors.ts';
import type { BatchChunk, BatchHeaderBuilder, Crc32c } from './batch-header.ts';
import { hex } from './batch-header.ts';
import type { KeyValueOp, KeyValueStore } from './key-value-store.ts';
import {
  kindRange,
  packU64,
  partitionKey,
  placeKey,
  placeOfKey,
  readU64,
  sealed,
  unsealed,
  writeU64,
} from './keys.ts';
import type {
  ChunkAppend,
  ChunkInfo,
  ChunkLog,
  ChunkRewrite,
  LogChunk,
  LogPartition,
  LogPosition,
} from './lane-store.ts';

const PREFIX_BYTES = 36;
const INDEX_BYTES = 24;
const ROW = 7;
/** Deleted records after which the freed range is compacted. */
const COMPACT_BYTES = 64 * 1024 * 1024;
const DELETE_STEP = 1024;

// chunk value := crc:u32 recordsCrc:u32 messages:u32 bytes:u32 topicId:u32 baseOffset:u64
//                timestampMs:u64 records
// index value := crc:u32 messages:u32 bytes:u32 timestampMs:u64 zero:u32 (sealed)
// partition value := crc:u32 startOffset:u64 nextOffset:u64 dropped:u64 (sealed)   (big-endian)
// A chunk's crc is over the rest of its prefix; recordsCrc is the one the addon made.

interface Partition {
  readonly topicId: number;
  readonly partition: number;
  startOffset: number;
  nextOffset: number;
  bytes: number;
  chunks: number;
}

/** The embedded log in a lane's store; chunks are written by the lane's append. */
export class KeyValueChunkLog implements ChunkLog {
  readonly #kv: KeyValueStore;
  readonly #lane: number;
  readonly #crc32c: Crc32c;
  readonly #partitions = new Map<string, Partition>();
  readonly #dropped = new Set<string>();
  #scratch = Buffer.alloc(64 * 1024);
  #deletedBytes = 0;
  /** Rises with every rewrite: what a reader found in the index may be gone from the log then. */
  #rewrites = 0;

  constructor(kv: KeyValueStore, lane: number, crc32c: Crc32c) {
    this.#kv = kv;
    this.#lane = lane;
    this.#crc32c = crc32c;
  }

  /** Reads the index and proves that every partition is whole. Throws `STORE_CORRUPT`. */
  async prove(): Promise<void> {
    const known = new Map<string, { start: number; next: number }>();
    for await (const { key, value } of this.#kv.iterate(kindRange('p'))) {
      const body = unsealed(key, value, this.#crc32c);
      const at = { topicId: key.readUInt32BE(1), partition: key.readUInt32BE(5) };
      const name = nameOf(at.topicId, at.partition);
      if (readU64(body, 16) === 1) {
        this.#dropped.add(name);
        continue;
      }
      const [startOffset, nextOffset] = [readU64(body, 0), readU64(body, 8)];
      known.set(name, { start: startOffset, next: nextOffset });
      this.#partitions.set(name, { ...at, startOffset, nextOffset, bytes: 0, chunks: 0 });
    }
    for await (const { key, value } of this.#kv.iterate(kindRange('d'))) {
      const info = this.#decodeIndex(key, value);
      const name = nameOf(info.topicId, info.partition);
      const before = this.#partitions.get(name);
      const expected =
        before === undefined || before.chunks === 0 ? before?.startOffset : before.nextOffset;
      if (expected !== undefined && expected !== info.baseOffset) this.#hole(info, expected);
      if (before === undefined && info.baseOffset !== 0 && !this.#dropped.has(name)) {
        this.#hole(info, 0);
      }
      this.#count(info);
    }
    for (const [name, { next, start }] of known) {
      const partition = this.#partitions.get(name);
      if (partition !== undefined && partition.chunks === 0 && start !== next) {
        const { topicId, partition: number } = partition;
        this.#hole({ topicId, partition: number, baseOffset: next }, start);
      }
    }
  }

  /** Proves that a chunk which a header names was kept or deleted on purpose. */
  proveNamed(chunk: BatchChunk): void {
    const name = nameOf(chunk.topicId, chunk.partition);
    if (this.#dropped.has(name)) return;
    const next = this.#partitions.get(name)?.nextOffset ?? 0;
    if (chunk.baseOffset + chunk.messages > next)
      this.#hole({ ...chunk, baseOffset: next }, chunk.baseOffset);
  }

  /**
   * Adds the writes of a batch's chunks, and names them in its header. The values lie in scratch
   * memory that is *borrowed until the next call*.
   */
  stage(append: ChunkAppend, header: BatchHeaderBuilder, ops: KeyValueOp[]): void {
    const { table, count, bytes, timestampMs } = append;
    let room = count * PREFIX_BYTES;
    for (let i = 0; i < count; i++) room += table[i * ROW + 5] ?? 0;
    if (this.#scratch.length < room) this.#scratch = Buffer.alloc(room * 2);
    let at = 0;
    for (let i = 0; i < count; i++) {
      const row = table.subarray(i * ROW, i * ROW + ROW);
      const [topicId = 0, partition = 0, baseOffset = 0, messages = 0] = row;
      const [, , , , byteStart = 0, byteLength = 0, recordsCrc = 0] = row;
      const info = { topicId, partition, baseOffset, messages, bytes: byteLength, timestampMs };
      const value = this.#scratch.subarray(at, at + PREFIX_BYTES + byteLength);
      this.#writePrefix(value, info, recordsCrc);
      value.set(bytes.subarray(byteStart, byteStart + byteLength), PREFIX_BYTES);
      at += value.length;
      ops.push({ key: placeKey('c', info), value }, this.#index(info));
      header.addChunk({ topicId, partition, baseOffset, messages, bytes: byteLength, recordsCrc });
    }
  }

  /** Counts the chunks of a batch that is on the disk. */
  stored(append: ChunkAppend): void {
    for (let i = 0; i < append.count; i++) {
      const [topicId = 0, partition = 0, baseOffset = 0, messages = 0] = append.table.subarray(
        i * ROW,
      );
      const bytes = append.table[i * ROW + 5] ?? 0;
      this.#count({ topicId, partition, baseOffset, messages, bytes });
    }
  }

  async partitions(): Promise<LogPartition[]> {
    return [...this.#partitions.values()].map((partition) => ({ ...partition }));
  }

  async *infos(from: LogPosition): AsyncGenerator<ChunkInfo> {
    const first = await this.#chunkOf(from);
    for await (const { key, value } of this.#kv.iterate({
      from: placeKey('d', { ...from, baseOffset: first }),
      to: partitionEnd('d', from),
    })) {
      yield this.#decodeIndex(key, value);
    }
  }

  async read(from: LogPosition, bytesMax: number): Promise<LogChunk[]> {
    for (;;) {
      const rewrites = this.#rewrites;
      try {
        return await this.#read(from, bytesMax);
      } catch (error) {
        if (rewrites === this.#rewrites) throw error;
      }
    }
  }

  async #read(from: LogPosition, bytesMax: number): Promise<LogChunk[]> {
    const first = await this.#chunkOf(from);
    const chunks: LogChunk[] = [];
    let bytes = 0;
    let expected: number | undefined;
    for await (const { key, value } of this.#kv.iterate(
      { from: placeKey('c', { ...from, baseOffset: first }), to: partitionEnd('c', from) },
      { readAheadBytes: Math.min(bytesMax, 1024 * 1024) },
    )) {
      const chunk = this.#decodeChunk(key, value);
      if (expected !== undefined && chunk.baseOffset !== expected) this.#hole(chunk, expected);
      if (chunks.length > 0 && bytes + chunk.bytes > bytesMax) break;
      chunks.push(chunk);
      bytes += chunk.bytes;
      expected = chunk.baseOffset + chunk.messages;
      if (bytes >= bytesMax) break;
    }
    const [head] = chunks;
    const known = this.#partitions.get(nameOf(from.topicId, from.partition));
    const wanted = known === undefined ? 0 : Math.max(known.startOffset, from.offset);
    if (
      known !== undefined &&
      wanted < known.nextOffset &&
      (head?.baseOffset ?? wanted + 1) > wanted
    ) {
      this.#hole(head ?? { ...from, baseOffset: known.nextOffset }, wanted);
    }
    return chunks;
  }

  async deleteBefore(position: LogPosition): Promise<void> {
    const known = this.#partitions.get(nameOf(position.topicId, position.partition));
    if (known === undefined) return;
    for (;;) {
      const ops: KeyValueOp[] = [];
      let bytes = 0;
      let start = known.startOffset;
      for await (const info of this.infos({ ...position, offset: start })) {
        const end = info.baseOffset + info.messages;
        if (end > position.offset || ops.length >= 2 * DELETE_STEP) break;
        ops.push({ key: placeKey('c', info), value: undefined });
        ops.push({ key: placeKey('d', info), value: undefined });
        bytes += info.bytes;
        start = end;
      }
      if (ops.length === 0) break;
      const deleted = ops.length / 2;
      ops.push(this.#mark({ ...known, startOffset: start }, false));
      // First: a read beside it must not take a deleted chunk for a hole.
      known.startOffset = start;
      await this.#kv.write(ops, { sync: false });
      known.bytes -= bytes;
      known.chunks -= deleted;
      await this.#freed(bytes, known);
    }
  }

  async rewrite({ from, records, timestampMs }: ChunkRewrite): Promise<void> {
    const [first] = from;
    const last = from.at(-1);
    assert(first !== undefined && last !== undefined);
    const { topicId, partition, baseOffset } = first;
    const known = this.#partitions.get(nameOf(topicId, partition));
    assert(known !== undefined && known.startOffset <= baseOffset);
    const messages = last.baseOffset + last.messages - baseOffset;
    const bytes = records.length;
    const info = { topicId, partition, baseOffset, messages, bytes, timestampMs };
    const value = Buffer.allocUnsafe(PREFIX_BYTES + bytes);
    this.#writePrefix(value, info, this.#crc32c(records));
    value.set(records, PREFIX_BYTES);
    const ops: KeyValueOp[] = [{ key: placeKey('c', info), value }, this.#index(info)];
    for (const old of from.slice(1)) {
      ops.push({ key: placeKey('c', old), value: undefined });
      ops.push({ key: placeKey('d', old), value: undefined });
    }
    this.#rewrites++;
    await this.#kv.write(ops, { sync: false });
    this.#rewrites++;
    const before = from.reduce((sum, old) => sum + old.bytes, 0);
    known.bytes += bytes - before;
    known.chunks -= from.length - 1;
  }

  async drop(topicId: number, partition: number): Promise<void> {
    const known = this.#partitions.get(nameOf(topicId, partition));
    if (known === undefined) return;
    await this.deleteBefore({ topicId, partition, offset: known.nextOffset });
    await this.#kv.write([this.#mark(known, true)], { sync: true });
    this.#partitions.delete(nameOf(topicId, partition));
    this.#dropped.add(nameOf(topicId, partition));
  }

  async #freed(bytes: number, partition: Partition): Promise<void> {
    this.#deletedBytes += bytes;
    if (this.#deletedBytes < COMPACT_BYTES) return;
    this.#deletedBytes = 0;
    const { topicId, partition: number, startOffset } = partition;
    const at = { topicId, partition: number, baseOffset: 0 };
    await this.#kv.compact({
      from: placeKey('c', at),
      to: placeKey('c', { ...at, baseOffset: startOffset }),
    });
  }

  /** The base offset of the chunk that contains an offset; the offset itself when none does. */
  async #chunkOf(position: LogPosition): Promise<number> {
    const at = { topicId: position.topicId, partition: position.partition };
    for await (const { key, value } of this.#kv.iterate(
      {
        from: placeKey('d', { ...at, baseOffset: 0 }),
        to: placeKey('d', { ...at, baseOffset: position.offset + 1 }),
      },
      { reverse: true, limit: 1 },
    )) {
      const info = this.#decodeIndex(key, value);
      if (info.baseOffset + info.messages > position.offset) return info.baseOffset;
    }
    return position.offset;
  }

  #count(info: Omit<ChunkInfo, 'timestampMs'>): void {
    const name = nameOf(info.topicId, info.partition);
    let partition = this.#partitions.get(name);
    if (partition === undefined) {
      const { topicId, partition: number, baseOffset } = info;
      partition = {
        topicId,
        partition: number,
        startOffset: baseOffset,
        nextOffset: 0,
        bytes: 0,
        chunks: 0,
      };
      this.#partitions.set(name, partition);
    }
    partition.nextOffset = info.baseOffset + info.messages;
    partition.bytes += info.bytes;
    partition.chunks++;
  }

  #index(info: ChunkInfo): KeyValueOp {
    const body = Buffer.alloc(INDEX_BYTES - 4);
    body.writeUInt32BE(info.messages, 0);
    body.writeUInt32BE(info.bytes, 4);
    writeU64(body, info.timestampMs, 8);
    return sealed(placeKey('d', info), body, this.#crc32c);
  }

  #decodeIndex(key: Buffer, value: Buffer): ChunkInfo {
    const body = unsealed(key, value, this.#crc32c);
    return {
      ...placeOfKey(key),
      messages: body.readUInt32BE(0),
      bytes: body.readUInt32BE(4),
      timestampMs: readU64(body, 8),
    };
  }

  #mark(partition: Partition, dropped: boolean): KeyValueOp {
    const { topicId, partition: number, startOffset, nextOffset } = partition;
    const body = packU64(startOffset, nextOffset, dropped ? 1 : 0);
    return sealed(partitionKey(topicId, number), body, this.#crc32c);
  }

  #writePrefix(out: Buffer, info: ChunkInfo, recordsCrc: number): void {
    out.writeUInt32BE(recordsCrc, 4);
    out.writeUInt32BE(info.messages, 8);
    out.writeUInt32BE(info.bytes, 12);
    out.writeUInt32BE(info.topicId, 16);
    writeU64(out, info.baseOffset, 20);
    writeU64(out, info.timestampMs, 28);
    out.writeUInt32BE(this.#crc32c(out.subarray(4, PREFIX_BYTES), info.partition), 0);
  }

  #decodeChunk(key: Buffer, value: Buffer): LogChunk {
    const place = placeOfKey(key);
    const where = `lane ${this.#lane}: topic ${place.topicId} partition ${place.partition}`;
    const records = value.subarray(PREFIX_BYTES);
    const whole =
      value.length >= PREFIX_BYTES &&
      value.readUInt32BE(0) === this.#crc32c(value.subarray(4, PREFIX_BYTES), place.partition) &&
      value.readUInt32BE(16) === place.topicId &&
      readU64(value, 20) === place.baseOffset &&
      value.readUInt32BE(12) === records.length;
    if (!whole) {
      const message = `${where}: the chunk at offset ${place.baseOffset} has a damaged prefix`;
      throw coded('STORE_CORRUPT', message);
    }
    const expected = value.readUInt32BE(4);
    const found = this.#crc32c(records);
    if (found !== expected) {
      const message = `${where}: expected the CRC ${hex(expected)} for the chunk at offset`;
      throw coded('STORE_CORRUPT', `${message} ${place.baseOffset}, found ${hex(found)}`);
    }
    return {
      ...place,
      messages: value.readUInt32BE(8),
      bytes: records.length,
      timestampMs: readU64(value, 28),
      records,
    };
  }

  #hole(
    found: { topicId: number; partition: number; baseOffset: number },
    expected: number,
  ): never {
    throw coded(
      'STORE_CORRUPT',
      `lane ${this.#lane}: topic ${found.topicId} partition ${found.partition}: ` +
        `expected the chunk at offset ${expected}, found the log going on at ${found.baseOffset}`,
    );
  }
}

function nameOf(topicId: number, partition: number): string {
  return `${topicId}/${partition}`;
}

function partitionEnd(kind: 'c' | 'd', at: LogPosition): Buffer {
  return placeKey(kind, { topicId: at.topicId, partition: at.partition + 1, baseOffset: 0 });
}
