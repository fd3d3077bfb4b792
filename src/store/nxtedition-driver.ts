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

/** What we use of `@nxtedition/rocksdb` 12, which ships no types. */
interface Binding {
  open(options: object): Promise<void>;
  close(): Promise<void>;
  getMany(keys: Buffer[], options: object): Promise<(Buffer | undefined)[]>;
  batch(): BindingBatch;
  iterator(options: object): BindingIterator;
  clear(options: object): Promise<void>;
}

interface BindingBatch {
  put(key: Buffer, value: Buffer): void;
  del(key: Buffer): void;
  write(options: { sync: boolean }): Promise<void>;
}

interface BindingIterator {
  nextv(count: number): Promise<[Buffer, Buffer | undefined][]>;
  close(): Promise<void>;
}

interface BindingModule {
  readonly RocksLevel: new (folder: string, options: object) => Binding;
}

const require = createRequire(import.meta.url);
const EMPTY = Buffer.alloc(0);
// With `compaction: 'level'` a memtable has a quarter of it: 16 MiB.
const MEMTABLES_BYTES = 64 * 1024 * 1024;
const STEP_ENTRIES = 1024;

/**
 * Opens a store by `@nxtedition/rocksdb` (RocksDB 10). Its writes, the fdatasync included, run on
 * the calling thread: a lane that uses it belongs into a worker.
 */
export async function openNxtedition(options: KeyValueOpenOptions): Promise<KeyValueStore> {
  const { RocksLevel } = require('@nxtedition/rocksdb') as BindingModule;
  const db = new RocksLevel(options.folder, { keyEncoding: 'buffer', valueEncoding: 'buffer' });
  await db.open({
    createIfMissing: options.createIfMissing,
    compression: false,
    walCompression: false,
    compaction: 'level',
    compactionPriority: 'byCompensatedSize',
    memtableMemoryBudget: MEMTABLES_BYTES,
  });
  return new NxteditionStore(db);
}

class NxteditionStore implements KeyValueStore {
  readonly driver = 'nxtedition';
  readonly #db: Binding;
  readonly #calls = new OpenCalls();

  constructor(db: Binding) {
    this.#db = db;
  }

  write(ops: readonly KeyValueOp[], options: { sync: boolean }): Promise<void> {
    const batch = this.#db.batch();
    for (const op of ops) {
      if (op.value === undefined) batch.del(op.key);
      else batch.put(op.key, op.value);
    }
    return this.#calls.run(() => batch.write(options));
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    const get = () => this.#db.getMany([key], { fillCache: false });
    const [value] = await this.#calls.run(get);
    return value;
  }

  iterate(range: KeyRange, options: IterateOptions = {}): AsyncGenerator<KeyValueEntry> {
    return this.#calls.entries(() => {
      const iterator = this.#db.iterator({
        gte: range.from,
        lt: range.to,
        values: options.keysOnly !== true,
        reverse: options.reverse === true,
        limit: options.limit ?? -1,
        highWaterMarkBytes: options.readAheadBytes ?? 1024 * 1024,
      });
      return { next: () => step(iterator), end: () => iterator.close() };
    });
  }

  deleteRange(range: KeyRange): Promise<void> {
    return this.#calls.run(() => this.#db.clear({ gte: range.from, lt: range.to }));
  }

  /** The binding has no call for it; its compaction runs by itself when deletions weigh. */
  async compact(): Promise<void> {}

  async close(): Promise<void> {
    await this.#calls.close();
    await this.#db.close();
  }
}

async function step(iterator: BindingIterator): Promise<readonly KeyValueEntry[]> {
  const entries = await iterator.nextv(STEP_ENTRIES);
  return entries.map(([key, value]) => ({ key, value: value ?? EMPTY }));
}
