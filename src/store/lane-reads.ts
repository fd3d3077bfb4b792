import type {
  IterateOptions,
  KeyRange,
  KeyValueEntry,
  KeyValueOp,
  KeyValueStore,
} from './key-value-store.ts';
import { asCorrupt } from './recovery.ts';

/**
 * A lane's store whose reads say `STORE_CORRUPT`, with the lane, where the binding finds a block
 * that is not what was written. One binding checks blocks whenever it reads, the other leaves it to
 * the records' own checksums.
 */
export class LaneReads implements KeyValueStore {
  readonly #kv: KeyValueStore;
  readonly #lane: number;

  constructor(kv: KeyValueStore, lane: number) {
    this.#kv = kv;
    this.#lane = lane;
  }

  get driver(): KeyValueStore['driver'] {
    return this.#kv.driver;
  }

  write(ops: readonly KeyValueOp[], options: { sync: boolean }): Promise<void> {
    return this.#kv.write(ops, options);
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    try {
      return await this.#kv.get(key);
    } catch (error) {
      throw this.#named(error);
    }
  }

  async *iterate(range: KeyRange, options?: IterateOptions): AsyncGenerator<KeyValueEntry> {
    try {
      yield* this.#kv.iterate(range, options);
    } catch (error) {
      throw this.#named(error);
    }
  }

  deleteRange(range: KeyRange): Promise<void> {
    return this.#kv.deleteRange(range);
  }

  compact(range: KeyRange): Promise<void> {
    return this.#kv.compact(range);
  }

  close(): Promise<void> {
    return this.#kv.close();
  }

  #named(error: unknown): unknown {
    return isCorruption(error) ? asCorrupt(this.#lane, error) : error;
  }
}

/** RocksDB's own word, in an error or in what caused it. */
function isCorruption(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return /^Corruption\b/.test(error.message) || isCorruption(error.cause);
}
