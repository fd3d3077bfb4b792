import { codeOf } from '../base/errors.ts';
import type {
  IterateOptions,
  KeyRange,
  KeyValueEntry,
  KeyValueOp,
  KeyValueStore,
} from './key-value-store.ts';

/** A store whose errors are said in its owner's words: `words` gives what is thrown in place. */
export class MappedErrors implements KeyValueStore {
  readonly #kv: KeyValueStore;
  readonly #words: (error: unknown) => unknown;

  constructor(kv: KeyValueStore, words: (error: unknown) => unknown) {
    this.#kv = kv;
    this.#words = words;
  }

  get driver(): KeyValueStore['driver'] {
    return this.#kv.driver;
  }

  write(ops: readonly KeyValueOp[], options: { sync: boolean }): Promise<void> {
    return this.#call(() => this.#kv.write(ops, options));
  }

  get(key: Buffer): Promise<Buffer | undefined> {
    return this.#call(() => this.#kv.get(key));
  }

  async *iterate(range: KeyRange, options?: IterateOptions): AsyncGenerator<KeyValueEntry> {
    try {
      yield* this.#kv.iterate(range, options);
    } catch (error) {
      throw this.#words(error);
    }
  }

  compact(range: KeyRange): Promise<void> {
    return this.#call(() => this.#kv.compact(range));
  }

  close(): Promise<void> {
    return this.#kv.close();
  }

  async #call<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      throw this.#words(error);
    }
  }
}

/** What is read is not what was written: by RocksDB's own word, or ours, also in a cause. */
export function isCorruption(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (codeOf(error) === 'STORE_CORRUPT') return true;
  return /^Corruption\b/.test(error.message) || isCorruption(error.cause);
}
