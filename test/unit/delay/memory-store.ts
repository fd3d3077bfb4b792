import { setImmediate } from 'node:timers/promises';
import type {
  IterateOptions,
  KeyRange,
  KeyValueEntry,
  KeyValueOp,
  KeyValueStore,
} from '../../../src/store/key-value-store.ts';

/** Entries in the order of their keys; never changed, so that an iterator keeps what it saw. */
interface Page {
  readonly keys: readonly string[];
  readonly values: readonly Buffer[];
}

const PAGE_MAX = 64;
const EMPTY: Page = { keys: [], values: [] };

/** A store in memory, ordered, and quick enough for millions of entries. */
export class MemoryStore implements KeyValueStore {
  readonly driver = 'rocksdb';
  #pages: Page[];
  #size: number;
  /** Values that were asked for. */
  gets = 0;
  /** The next value asked for is as it is now, and given when this resolves. */
  nextGet: Promise<void> | undefined;
  /** Each entry that is iterated takes a turn of the loop. */
  isSlow = false;

  constructor(from?: MemoryStore) {
    this.#pages = from === undefined ? [EMPTY] : from.#pages.slice();
    this.#size = from?.size ?? 0;
  }

  get size(): number {
    return this.#size;
  }

  async write(ops: readonly KeyValueOp[]): Promise<void> {
    for (const { key, value } of ops) this.#set(key.toString('latin1'), value);
  }

  async get(key: Buffer): Promise<Buffer | undefined> {
    this.gets++;
    const name = key.toString('latin1');
    const { keys, values } = this.#pages[this.#pageOf(name)] as Page;
    const at = firstFrom(keys, name);
    const late = this.nextGet;
    this.nextGet = undefined;
    await late;
    return keys[at] === name ? values[at] : undefined;
  }

  async *iterate(range: KeyRange, options: IterateOptions = {}): AsyncGenerator<KeyValueEntry> {
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    for (const [key, value] of this.#between(range, options.reverse === true)) {
      if (left-- === 0) return;
      if (this.isSlow) await setImmediate();
      yield { key: Buffer.from(key, 'latin1'), value };
    }
  }

  async compact(): Promise<void> {}
  async close(): Promise<void> {}

  *#between(range: KeyRange, isReverse: boolean): Generator<[string, Buffer]> {
    const pages = this.#pages.slice();
    const from = range.from.toString('latin1');
    const to = range.to.toString('latin1');
    const first = this.#pageOf(from);
    const last = this.#pageOf(to);
    for (let i = 0; i <= last - first; i++) {
      const { keys, values } = pages[isReverse ? last - i : first + i] as Page;
      const begin = firstFrom(keys, from);
      const end = firstFrom(keys, to);
      for (let j = 0; j < end - begin; j++) {
        const at = isReverse ? end - 1 - j : begin + j;
        yield [keys[at] as string, values[at] as Buffer];
      }
    }
  }

  #set(key: string, value: Buffer | undefined): void {
    const place = this.#pageOf(key);
    const page = this.#pages[place] as Page;
    const at = firstFrom(page.keys, key);
    const had = page.keys[at] === key ? 1 : 0;
    const has = value === undefined ? 0 : 1;
    if (had + has === 0) return;
    const keys = page.keys.slice();
    const values = page.values.slice();
    if (value === undefined) {
      keys.splice(at, 1);
      values.splice(at, 1);
    } else {
      keys.splice(at, had, key);
      values.splice(at, had, Buffer.from(value));
    }
    this.#size += has - had;
    this.#pages.splice(place, 1, ...halves({ keys, values }, this.#pages.length));
  }

  /** The last page that begins at or before the key. */
  #pageOf(key: string): number {
    let low = 0;
    let high = this.#pages.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (((this.#pages[middle] as Page).keys[0] as string) <= key) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

/** What takes the place of a page that changed: two of a long one, none of an empty one. */
function halves(page: Page, pages: number): Page[] {
  const { keys, values } = page;
  if (keys.length === 0 && pages > 1) return [];
  if (keys.length <= PAGE_MAX) return [page];
  const cut = keys.length >>> 1;
  return [
    { keys: keys.slice(0, cut), values: values.slice(0, cut) },
    { keys: keys.slice(cut), values: values.slice(cut) },
  ];
}

/** The place of the first key that is not before another. */
function firstFrom(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
