import { rm } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { DELAY_ID_BYTES } from '../../protocol/src/delay-id.ts';
import { coded, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { KeyRange, KeyValueOp, KeyValueStore } from '../store/key-value-store.ts';
import { MappedErrors } from '../store/mapped-errors.ts';
import { CHANGED_KEPT_MS } from './changed-names.ts';

// key   := 'd' due:u64 id:24      → the record as it lies in the log, crc32:u32 of key and record
//        | 'i' id:24              → due:u64 offset:u64
//        | 'e' id:24              → offset:u64 timestampMs:u64       of its end or its move
//        | 'p' partition:u8       → applied:u64 pending:u64 [heardMs:u64]
//                                   the offset after the last applied; until when none was missed
//        | 'v'                    → version:u8                      (big-endian: ordered bytewise)

const VERSION = 2;
/** Of a delay id. */
const ID_VERSION = 1;
const DUE_KEY_BYTES = 1 + 8 + DELAY_ID_BYTES;
const VERSION_KEY = Buffer.from('v');
const IDS = 0x69;
const ENDS = 0x65;
const CRC_BYTES = 4;
const TWO_32 = 0x1_0000_0000;
/** Finished dues are given back when so many were deleted. */
const COMPACT_EVERY = 200_000;

const FIND_AT_ONCE = 256;
/** Changes of one write of a partition that is forgotten. */
const FORGET_AT_ONCE = 20_000;

/** Opens the folder's store. */
export type OpenStore = (folder: string) => Promise<KeyValueStore>;

/** Where a delayed message stands. */
export interface DelayPlace {
  readonly dueMs: number;
  /** Of its record in the delay log. */
  readonly offset: number;
}

/** How far a partition of the delay log is applied. */
export interface PartitionProgress {
  /** The offset after the last applied; 0 for none. */
  readonly applied: number;
  /** Messages that wait. */
  readonly pending: number;
  /** Nothing of the log up to then was missed, in unix ms; undefined: nobody noted it. */
  readonly heardMs?: number;
}

/** A line of the index in the order of due times. Owned by the caller. */
export interface IndexedDelay {
  readonly id: Buffer;
  readonly dueMs: number;
  readonly bytes: Buffer;
}

/**
 * What is pending of one cluster's delay log, ordered by due time: a copy that can be rebuilt.
 *
 * Every method throws RETRY_LATER when the disk fails or a block is damaged, once it has told
 * {@link onFailed}: what is applied is not certain then, until it has been opened again.
 */
export class DelayIndex {
  onFailed: (error: unknown) => void = () => {};
  readonly #kv: KeyValueStore;
  #deleted = 0;
  #deletedUpTo = 0;
  #endsForgottenMs = 0;

  private constructor(kv: KeyValueStore) {
    this.#kv = new MappedErrors(kv, (cause) => this.#failed(cause));
  }

  /** Opens it, or, when it cannot be read, begins a new one: the log has everything. */
  static async open(folder: string, openStore: OpenStore, log: Logger): Promise<DelayIndex> {
    let opened: KeyValueStore | undefined;
    try {
      const kv = await openStore(folder);
      opened = kv;
      const version = await kv.get(VERSION_KEY);
      if (version === undefined) {
        await kv.write([{ key: VERSION_KEY, value: Buffer.of(VERSION) }], { sync: true });
        return new DelayIndex(kv);
      }
      if (version[0] === VERSION) return new DelayIndex(kv);
    } catch (error) {
      log.warn({ folder, error: messageOf(error) }, 'the delay index is rebuilt from the log');
    }
    // It may have been opened and not be readable; open, it keeps its lock.
    await opened?.close();
    await rm(folder, { recursive: true, force: true });
    const kv = await openStore(folder);
    await kv.write([{ key: VERSION_KEY, value: Buffer.of(VERSION) }], { sync: true });
    return new DelayIndex(kv);
  }

  async progress(partition: number): Promise<PartitionProgress> {
    const value = await this.#kv.get(partitionKey(partition));
    if (value === undefined) return { applied: 0, pending: 0 };
    const heard = value.length < 24 ? {} : { heardMs: u64(value, 16) };
    return { applied: u64(value, 0), pending: u64(value, 8), ...heard };
  }

  async find(id: Buffer): Promise<DelayPlace | undefined> {
    const value = await this.#kv.get(idKey(id));
    return value === undefined ? undefined : placeOf(value);
  }

  /** Where several stand, in their order. */
  async findAll(ids: readonly Buffer[]): Promise<(DelayPlace | undefined)[]> {
    const places: (DelayPlace | undefined)[] = [];
    for (let i = 0; i < ids.length; i += FIND_AT_ONCE) {
      const some = ids.slice(i, i + FIND_AT_ONCE);
      places.push(...(await Promise.all(some.map((id) => this.find(id)))));
    }
    return places;
  }

  /** The offset at which a series ended, or a message was cancelled or moved, of the last day. */
  async endedAt(id: Buffer): Promise<number | undefined> {
    const value = await this.#kv.get(endKey(id));
    return value === undefined ? undefined : u64(value, 0);
  }

  /** The record of a message, by where it stands. */
  async record(id: Buffer, dueMs: number): Promise<Buffer | undefined> {
    const key = dueKey(dueMs, id);
    const value = await this.#kv.get(key);
    return value === undefined ? undefined : this.#checked(key, value);
  }

  /** Not synced: what a crash takes away is applied again from the log. */
  async write(changes: IndexChanges): Promise<void> {
    if (changes.ops.length === 0) return;
    await this.#kv.write(changes.ops, { sync: false });
    this.#deleted += changes.deleted;
    this.#deletedUpTo = Math.max(this.#deletedUpTo, changes.deletedUpTo);
  }

  /** What is pending in a range of {@link dueKey}s, by due time, ids among the same. */
  async *between(range: KeyRange, limit?: number): AsyncGenerator<IndexedDelay> {
    for await (const { key, value } of this.#kv.iterate(range, limit ? { limit } : {})) {
      const bytes = this.#checked(key, value);
      yield { id: key.subarray(9), dueMs: u64(key, 1), bytes };
    }
  }

  /** What is pending of a partition with ids of one kind, after an id, in the order of ids. */
  async *ofKind(partition: number, kind: number, after?: Buffer): AsyncGenerator<IndexedDelay> {
    const prefix = (last: number) => Buffer.of(IDS, ID_VERSION, partition, last);
    const from = after === undefined ? prefix(kind) : Buffer.concat([idKey(after), Buffer.of(0)]);
    for await (const { key, value } of this.#kv.iterate({ from, to: prefix(kind + 1) })) {
      const id = key.subarray(1);
      let place: DelayPlace | undefined = placeOf(value);
      let bytes = await this.record(id, place.dueMs);
      // The iterator says where it stood: a series that fired since stands elsewhere.
      if (bytes === undefined) {
        place = await this.find(id);
        bytes = place && (await this.record(id, place.dueMs));
      }
      if (place !== undefined && bytes !== undefined) yield { id, dueMs: place.dueMs, bytes };
    }
  }

  /** The ids of what is pending of a partition, as it is when the first is asked for. */
  async *idsOf(partition: number): AsyncGenerator<Buffer, undefined> {
    const range = rangeOf(IDS, partition);
    for await (const { key } of this.#kv.iterate(range, { keysOnly: true })) yield key.subarray(1);
    return undefined;
  }

  /** What a partition remembers of ends and moves, and when they were. */
  async *endsOf(partition: number): AsyncGenerator<{ id: Buffer; atMs: number }> {
    for await (const { key, value } of this.#kv.iterate(rangeOf(ENDS, partition)))
      yield { id: key.subarray(1), atMs: u64(value, 8) };
  }

  /**
   * Forgets a partition, some of its lines at a time: its log is another one than was applied, or
   * has forgotten what this index missed. Whoever opens it in between finds the partition heard of
   * in 1970, and forgets it again.
   */
  async forget(partition: number): Promise<void> {
    let changes = new IndexChanges();
    changes.progress(partition, { ...(await this.progress(partition)), heardMs: 0 });
    const writeIfMany = async () => {
      if (changes.ops.length < FORGET_AT_ONCE) return;
      await this.write(changes);
      changes = new IndexChanges();
    };
    for await (const { key, value } of this.#kv.iterate(rangeOf(IDS, partition))) {
      changes.remove(key.subarray(1), u64(value, 0), true);
      await writeIfMany();
    }
    for await (const { id } of this.endsOf(partition)) {
      changes.ops.push({ key: endKey(id), value: undefined });
      await writeIfMany();
    }
    changes.progress(partition, { applied: 0, pending: 0 });
    await this.write(changes);
  }

  /**
   * Gives back the space of dues before `beforeMs`, when it is worth it, and forgets what is
   * remembered of ends and moves of a day before.
   */
  async tidy(beforeMs: number): Promise<void> {
    const isWorthIt = this.#deleted >= COMPACT_EVERY && this.#deletedUpTo >= beforeMs;
    // Once a day and at a start too: a node may be started anew before so many were deleted.
    if (isWorthIt || beforeMs >= this.#endsForgottenMs + CHANGED_KEPT_MS) {
      this.#endsForgottenMs = beforeMs;
      await this.#forgetEnds(beforeMs - CHANGED_KEPT_MS);
    }
    if (!isWorthIt) return;
    this.#deleted = 0;
    await this.#kv.compact({ from: dueKey(0, undefined), to: dueKey(beforeMs, undefined) });
  }

  async #forgetEnds(beforeMs: number): Promise<void> {
    const ops: KeyValueOp[] = [];
    const all = { from: Buffer.of(ENDS), to: Buffer.of(ENDS + 1) };
    for await (const { key, value } of this.#kv.iterate(all)) {
      if (u64(value, 8) < beforeMs) ops.push({ key, value: undefined });
    }
    if (ops.length > 0) await this.#kv.write(ops, { sync: false });
  }

  close(): Promise<void> {
    return this.#kv.close();
  }

  /** The record of a line. The iterators of `rocksdb` 5 do not look at RocksDB's own checksums. */
  #checked(key: Buffer, value: Buffer): Buffer {
    const end = value.length - CRC_BYTES;
    const record = value.subarray(0, Math.max(0, end));
    if (end >= 0 && value.readUInt32BE(end) === crcOf(key, record)) return record;
    throw this.#failed(coded('STORE_CORRUPT', 'a record of the delay index is damaged'));
  }

  #failed(cause: unknown): Error {
    this.onFailed(cause);
    const words = 'the index of delayed messages failed, and is opened again';
    return coded('RETRY_LATER', words, { cause });
  }
}

/** What one batch of the log changes, written together with its offset. */
export class IndexChanges {
  readonly ops: KeyValueOp[] = [];
  deleted = 0;
  deletedUpTo = 0;

  put(id: Buffer, dueMs: number, offset: number, bytes: Buffer): void {
    const place = Buffer.allocUnsafe(16);
    writeU64(place, dueMs, 0);
    writeU64(place, offset, 8);
    const key = dueKey(dueMs, id);
    const value = Buffer.allocUnsafe(bytes.length + CRC_BYTES);
    bytes.copy(value);
    value.writeUInt32BE(crcOf(key, bytes), bytes.length);
    this.ops.push({ key, value }, { key: idKey(id), value: place });
  }

  /** The message stands at `dueMs` no more; `gone`: nowhere any more. */
  remove(id: Buffer, dueMs: number, gone: boolean): void {
    this.ops.push({ key: dueKey(dueMs, id), value: undefined });
    if (gone) this.ops.push({ key: idKey(id), value: undefined });
    this.deleted++;
    this.deletedUpTo = Math.max(this.deletedUpTo, dueMs);
  }

  /**
   * A series ended, or a message was cancelled or moved; `deleted` counts it, so that what is
   * remembered of it is tidied away.
   */
  ended(id: Buffer, offset: number, timestampMs: number): void {
    const value = Buffer.allocUnsafe(16);
    writeU64(value, offset, 0);
    writeU64(value, timestampMs, 8);
    this.ops.push({ key: endKey(id), value });
    this.deleted++;
  }

  progress(partition: number, { applied, pending, heardMs }: PartitionProgress): void {
    const value = Buffer.allocUnsafe(heardMs === undefined ? 16 : 24);
    writeU64(value, applied, 0);
    writeU64(value, Math.max(0, pending), 8);
    if (heardMs !== undefined) writeU64(value, Math.max(0, Math.floor(heardMs)), 16);
    this.ops.push({ key: partitionKey(partition), value });
  }
}

/** The place of a message in the order of due times; without an id: before all of that time. */
export function dueKey(dueMs: number, id: Buffer | undefined): Buffer {
  const key = Buffer.allocUnsafe(id === undefined ? 9 : DUE_KEY_BYTES);
  key[0] = 0x64;
  writeU64(key, dueMs, 1);
  id?.copy(key, 9);
  return key;
}

/** The place after that of a message. */
export function afterKey(dueMs: number, id: Buffer): Buffer {
  return Buffer.concat([dueKey(dueMs, id), Buffer.of(0)]);
}

/** The lines of one kind of a partition. */
function rangeOf(kind: number, partition: number): KeyRange {
  const from = Buffer.of(kind, ID_VERSION, partition);
  return { from, to: Buffer.of(kind, ID_VERSION, partition + 1) };
}

function idKey(id: Buffer): Buffer {
  const key = Buffer.allocUnsafe(1 + DELAY_ID_BYTES);
  key[0] = IDS;
  id.copy(key, 1);
  return key;
}

function endKey(id: Buffer): Buffer {
  return Buffer.concat([Buffer.of(ENDS), id]);
}

function partitionKey(partition: number): Buffer {
  return Buffer.of(0x70, partition);
}

function crcOf(key: Buffer, record: Buffer): number {
  return crc32(record, crc32(key));
}

function placeOf(value: Buffer): DelayPlace {
  return { dueMs: u64(value, 0), offset: u64(value, 8) };
}

function u64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4);
}

function writeU64(bytes: Buffer, value: number, at: number): void {
  bytes.writeUInt32BE(Math.floor(value / TWO_32), at);
  bytes.writeUInt32BE(value >>> 0, at + 4);
}
