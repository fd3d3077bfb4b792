import type {
  IterateOptions,
  KeyRange,
  KeyValueEntry,
  KeyValueOp,
  KeyValueStore,
} from './key-value-store.ts';

/**
 * A store that makes one write at a time, and none after one that failed. RocksDB gives a write
 * that waits behind a failed one the same sequence numbers, and both are in its log: read back,
 * the log then shows the first only in part.
 */
export class WriteQueue implements KeyValueStore {
  readonly #kv: KeyValueStore;
  #last: Promise<void> | undefined;

  constructor(kv: KeyValueStore) {
    this.#kv = kv;
  }

  get driver(): KeyValueStore['driver'] {
    return this.#kv.driver;
  }

  /** Rejects with the error of the write before, if that failed: then nothing was written. */
  write(ops: readonly KeyValueOp[], options: { sync: boolean }): Promise<void> {
    const before = this.#last;
    const turn =
      before === undefined ? this.#kv.write(ops, options) : this.#after(before, ops, options);
    this.#last = turn;
    turn.then(
      () => {
        if (this.#last === turn) this.#last = undefined;
      },
      // A failed one stays: it is what all later ones wait for.
      () => {},
    );
    return turn;
  }

  get(key: Buffer): Promise<Buffer | undefined> {
    return this.#kv.get(key);
  }

  iterate(range: KeyRange, options?: IterateOptions): AsyncGenerator<KeyValueEntry> {
    return this.#kv.iterate(range, options);
  }

  compact(range: KeyRange): Promise<void> {
    return this.#kv.compact(range);
  }

  close(): Promise<void> {
    return this.#kv.close();
  }

  async #after(
    before: Promise<void>,
    ops: readonly KeyValueOp[],
    options: { sync: boolean },
  ): Promise<void> {
    // What was lent to us is ours before we wait.
    const own = ops.map(({ key, value }) => ({
      key: Buffer.from(key),
      value: value === undefined ? undefined : Buffer.from(value),
    }));
    await before;
    await this.#kv.write(own, options);
  }
}
