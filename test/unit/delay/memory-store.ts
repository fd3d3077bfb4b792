import { setImmediate } from 'node:timers/promises';
import type {
  IterateOptions,
  KeyRange,
  KeyValueEntry,
  KeyValueOp,
  KeyValueStore,
} from '../../../src/store/key-value-store.ts';

/** A store in memory: sorted when it is iterated. */
export class MemoryStore implements KeyValueStore {
  readonly driver = 'rocksdb';
  readonly #entries = new Map<string, Buffer>();
  /** Each entry that is iterated takes a turn of the loop. */
  isSlow = false;

  get size(): number {
    return this.#entries.size;
  }

  async write(ops: readonly KeyValueOp[]): Promise<void> {
    for (const { key, value } of ops) {
      if (value === undefined) this.#entries.delete(key.toString('latin1'));
      else this.#entries.set(key.toString('latin1'), Buffer.from(value));
    }
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    return this.#entries.get(key.toString('latin1'));
  }

  async *iterate(range: KeyRange, options: IterateOptions = {}): AsyncGenerator<KeyValueEntry> {
    const from = range.from.toString('latin1');
    const to = range.to.toString('latin1');
    const keys = [...this.#entries.keys()].filter((key) => key >= from && key < to).sort();
    if (options.reverse === true) keys.reverse();
    const entries = keys
      .slice(0, options.limit ?? keys.length)
      .map((key) => ({ key: Buffer.from(key, 'latin1'), value: this.#entries.get(key) as Buffer }));
    for (const entry of entries) {
      if (this.isSlow) await setImmediate();
      yield entry;
    }
  }

  async compact(): Promise<void> {}
  async close(): Promise<void> {}
}
