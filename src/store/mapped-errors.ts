import { codeOf } from '../base/errors.ts';
import type {
  IterateOptions,
  KeyRange,
  KeyValueEntry,
  KeyValueOp,
  KeyValueStore,
} from './key-value-store.ts';

/** What is thrown in place of a binding's error. */
export interface ErrorMaps {
  read(error: unknown): unknown;
  /** Absent: thrown as it is. */
  write?(error: unknown): unknown;
}

/** A store whose errors are said in its owner's words. */
export class MappedErrors implements KeyValueStore {
  readonly #kv: KeyValueStore;
  readonly #maps: Required<ErrorMaps>;

  constructor(kv: KeyValueStore, { read, write = (error) => error }: ErrorMaps) {
    this.#kv = kv;
    this.#maps = { read, write };
  }

  get driver(): KeyValueStore['driver'] {
    return this.#kv.driver;
  }

  write(ops: readonly KeyValueOp[], options: { sync: boolean }): Promise<void> {
    return this.#writing(() => this.#kv.write(ops, options));
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    try {
      return await this.#kv.get(key);
    } catch (error) {
      throw this.#maps.read(error);
    }
  }

  async *iterate(range: KeyRange, options?: IterateOptions): AsyncGenerator<KeyValueEntry> {
    try {
      yield* this.#kv.iterate(range, options);
    } catch (error) {
      throw this.#maps.read(error);
    }
  }

  deleteRange(range: KeyRange): Promise<void> {
    return this.#writing(() => this.#kv.deleteRange(range));
  }

  compact(range: KeyRange): Promise<void> {
    return this.#writing(() => this.#kv.compact(range));
  }

  close(): Promise<void> {
    return this.#kv.close();
  }

  async #writing(task: () => Promise<void>): Promise<void> {
    try {
      await task();
    } catch (error) {
      throw this.#maps.write(error);
    }
  }
}

/** What is read is not what was written: by RocksDB's own word, or ours, also in a cause. */
export function isCorruption(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (codeOf(error) === 'STORE_CORRUPT') return true;
  return /^Corruption\b/.test(error.message) || isCorruption(error.cause);
}
