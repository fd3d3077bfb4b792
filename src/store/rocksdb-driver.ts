import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import type {
  IterateOptions,
  KeyRange,
  KeyValueEntry,
  KeyValueOp,
  KeyValueOpenOptions,
  KeyValueStore,
} from './key-value-store.ts';
import { OpenCalls } from './open-calls.ts';
import { checkTables, tablesIn } from './table-check.ts';

type Done<T = void> = (error: Error | null | undefined, value?: T) => void;

/** What we use of the npm package `rocksdb` 5 (RocksDB 6.17), which ships no types. */
interface Binding {
  open(options: object, done: Done): void;
  close(done: Done): void;
  get(key: Buffer, options: object, done: Done<Buffer>): void;
  /**
   * The public `batch` copies each operation. The chained form takes them one by one, at a third of
   * the cost, but is an object with a finalizer.
   */
  batch(): BindingBatch;
  _batch(ops: readonly BindingOp[], options: { sync: boolean }, done: Done): void;
  iterator(options: object): BindingIterator;
  compactRange(from: Buffer, to: Buffer, done: Done): void;
}

interface BindingBatch {
  _put(key: Buffer, value: Buffer): void;
  _del(key: Buffer): void;
  _write(options: { sync: boolean }, done: Done): void;
}

type BindingOp =
  | { readonly type: 'put'; readonly key: Buffer; readonly value: Buffer }
  | { readonly type: 'del'; readonly key: Buffer };

interface BindingIterator {
  /** What it has read ahead, from the end: value, key, value, key. */
  readonly cache: Buffer[] | null;
  next(done: (error: Error | null | undefined, key?: Buffer, value?: Buffer) => void): void;
  end(done: Done): void;
}

const require = createRequire(import.meta.url);
const EMPTY = Buffer.alloc(0);
const MEMTABLE_BYTES = 16 * 1024 * 1024;
/** From so many operations on a chained batch costs less than its finalizer. */
const CHAINED_FROM = 64;

/** Opens a store by `rocksdb`: for Node below 22 only, its prebuilt binary aborts a newer one. */
export async function openRocksdb(options: KeyValueOpenOptions): Promise<KeyValueStore> {
  const open = require('rocksdb') as (folder: string) => Binding;
  if (options.createIfMissing) await mkdir(options.folder, { recursive: true, mode: 0o700 });
  // Before the opening: what a compaction then writes is not whole yet.
  const tables = await tablesIn(options.folder);
  const db = open(options.folder);
  await call((done) =>
    db.open(
      {
        createIfMissing: options.createIfMissing,
        compression: false,
        writeBufferSize: MEMTABLE_BYTES,
      },
      done,
    ),
  );
  try {
    await checkTables(options.folder, tables, options.unproven);
  } catch (error) {
    await call((done) => db.close(done));
    throw error;
  }
  return new RocksdbStore(db);
}

class RocksdbStore implements KeyValueStore {
  readonly driver = 'rocksdb';
  readonly #db: Binding;
  readonly #calls = new OpenCalls();

  constructor(db: Binding) {
    this.#db = db;
  }

  write(ops: readonly KeyValueOp[], options: { sync: boolean }): Promise<void> {
    // The binding copies what it is given before the call returns.
    if (ops.length >= CHAINED_FROM) {
      const chained = this.#chained(ops);
      return this.#calls.run(() => call((done) => chained._write(options, done)));
    }
    const batch = ops.map(bindingOp);
    return this.#calls.run(() => call((done) => this.#db._batch(batch, options, done)));
  }

  #chained(ops: readonly KeyValueOp[]): BindingBatch {
    const batch = this.#db.batch();
    for (const { key, value } of ops) {
      if (value === undefined) batch._del(key);
      else batch._put(key, value);
    }
    return batch;
  }

  get(key: Buffer): Promise<Buffer | undefined> {
    return this.#calls.run(
      () =>
        new Promise((resolve, reject) => {
          this.#db.get(key, { fillCache: false }, (error, value) => {
            if (error === null || error === undefined) resolve(value);
            else if (/^NotFound/i.test(error.message)) resolve(undefined);
            else reject(error);
          });
        }),
    );
  }

  iterate(range: KeyRange, options: IterateOptions = {}): AsyncGenerator<KeyValueEntry> {
    return this.#calls.entries(() => {
      const iterator = this.#db.iterator({
        gte: range.from,
        lt: range.to,
        values: options.keysOnly !== true,
        reverse: options.reverse === true,
        limit: options.limit ?? -1,
        highWaterMark: options.readAheadBytes ?? 1024 * 1024,
      });
      return { next: () => step(iterator), end: () => call((done) => iterator.end(done)) };
    });
  }

  compact(range: KeyRange): Promise<void> {
    return this.#calls.run(() => call((done) => this.#db.compactRange(range.from, range.to, done)));
  }

  async close(): Promise<void> {
    await this.#calls.close();
    await call((done) => this.#db.close(done));
  }
}

function bindingOp({ key, value }: KeyValueOp): BindingOp {
  return value === undefined ? { type: 'del', key } : { type: 'put', key, value };
}

function step(iterator: BindingIterator): Promise<readonly KeyValueEntry[]> {
  return new Promise((resolve, reject) => {
    iterator.next((error, key, value) => {
      if (error !== null && error !== undefined) reject(error);
      else if (key === undefined) resolve([]);
      else {
        const entries = [entryOf(key, value)];
        // Asked one by one, each would cost a turn of the event loop.
        const { cache } = iterator;
        while (cache?.length) entries.push(entryOf(cache.pop() as Buffer, cache.pop()));
        resolve(entries);
      }
    });
  });
}

function entryOf(key: Buffer, value: Buffer | undefined): KeyValueEntry {
  return { key, value: Buffer.isBuffer(value) ? value : EMPTY };
}

function call(start: (done: Done) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    start((error) => {
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}
