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
  batch(): BindingBatch;
  iterator(options: object): BindingIterator;
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

  /**
   * An iterator of one step: the binding's own calls for a key throw what RocksDB says of a damaged
   * block out of their completion, where nobody can catch it, and are never answered.
   */
  async get(key: Buffer): Promise<Buffer | undefined> {
    const range = { from: key, to: Buffer.concat([key, Buffer.alloc(1)]) };
    for await (const { value } of this.iterate(range, { limit: 1 })) return value;
    return undefined;
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
