import type { FetchedRecords } from '../../backend/consumer-port.ts';

/** Ids of a partition that are remembered. */
export const DEDUPE_IDS = 65_536;

const ID_FLAG = 0x40;
const FLAGS_AT = 20;
const ID_AT = 21;
const FIRST_CAPACITY = 1_024;

/** Of a fetch, what is looked at. */
export type NotedRecords = Pick<FetchedRecords, 'records' | 'starts' | 'offsets' | 'count'>;

/**
 * The last ids of a (group, topic, partition), each with the place where it was seen first: an id
 * that comes again at another place is a copy (a fail-over, a resend after a crash). Memory grows
 * with what is seen, to 24 bytes an id and 16 for finding it.
 */
export class DedupeWindow {
  #capacity = FIRST_CAPACITY;
  /** Four words of id for each entry, in a ring. */
  #ids = new Int32Array(FIRST_CAPACITY * 4);
  /** Offset, negative for the backup cluster. */
  #places = new Float64Array(FIRST_CAPACITY);
  /**
   * Open addressing: hash, and entry + 1 or 0 for none. With the hash beside it an id that is new,
   * which nearly all are, is told without a look at others: each would be a miss of the cache.
   */
  #table = new Int32Array(FIRST_CAPACITY * 4);
  #next = 0;
  #size = 0;

  /**
   * Notes the ids of a fetch. Answers how many of its messages are copies, marked in `drop`, which
   * has room for `batch.count` and is 0 throughout. With `attempts` a message is a copy of one that
   * had as many deliveries before: one that was put off again is none.
   */
  note(batch: NotedRecords, cluster: number, drop: Uint8Array, attempts?: Uint16Array): number {
    const { records, starts, offsets, count } = batch;
    const view = new DataView(records.buffer, records.byteOffset, records.length);
    let copies = 0;
    for (let i = 0; i < count; i++) {
      const start = starts[i] as number;
      if (((records[start + FLAGS_AT] as number) & ID_FLAG) === 0) continue;
      const offset = offsets[i] as number;
      const place = cluster === 0 ? offset : -1 - offset;
      if (!this.#isCopy(view, start + ID_AT, place, attempts?.[i])) continue;
      drop[i] = 1;
      copies++;
    }
    return copies;
  }

  #isCopy(bytes: DataView, at: number, place: number, attempts = 0): boolean {
    const a = bytes.getInt32(at) ^ Math.imul(attempts, 0x9e37_79b1);
    const b = bytes.getInt32(at + 4);
    const c = bytes.getInt32(at + 8);
    const d = bytes.getInt32(at + 12);
    const key = hash(a, b, c, d);
    const table = this.#table;
    const mask = table.length / 2 - 1;
    const ids = this.#ids;
    for (let slot = key & mask; ; slot = (slot + 1) & mask) {
      const entry = (table[2 * slot + 1] as number) - 1;
      if (entry < 0) break;
      if (table[2 * slot] !== key) continue;
      const e = entry * 4;
      if (ids[e + 3] === d && ids[e + 2] === c && ids[e + 1] === b && ids[e] === a) {
        return this.#places[entry] !== place;
      }
    }
    this.#add(a, b, c, d, place, key);
    return false;
  }

  /** Makes room for one more, and counts it: the oldest goes when there are enough. */
  #room(): number {
    if (this.#size === this.#capacity) {
      if (this.#capacity < DEDUPE_IDS) this.#grow();
      else this.#remove(this.#next);
    }
    const entry = this.#next;
    this.#next = (entry + 1) % this.#capacity;
    this.#size++;
    return entry;
  }

  #add(a: number, b: number, c: number, d: number, place: number, key: number): void {
    const entry = this.#room();
    const e = entry * 4;
    const ids = this.#ids;
    ids[e] = a;
    ids[e + 1] = b;
    ids[e + 2] = c;
    ids[e + 3] = d;
    this.#places[entry] = place;
    this.#enter(entry, key);
  }

  #enter(entry: number, key: number): void {
    const table = this.#table;
    const mask = table.length / 2 - 1;
    let slot = key & mask;
    while (table[2 * slot + 1] !== 0) slot = (slot + 1) & mask;
    table[2 * slot] = key;
    table[2 * slot + 1] = entry + 1;
  }

  /** Takes the oldest out, moving up those that its place had pushed on. */
  #remove(entry: number): void {
    const table = this.#table;
    const mask = table.length / 2 - 1;
    let slot = this.#hashOf(entry) & mask;
    while (table[2 * slot + 1] !== entry + 1) slot = (slot + 1) & mask;
    for (let next = (slot + 1) & mask; table[2 * next + 1] !== 0; next = (next + 1) & mask) {
      const home = (table[2 * next] as number) & mask;
      if (((next - home) & mask) < ((next - slot) & mask)) continue;
      table[2 * slot] = table[2 * next] as number;
      table[2 * slot + 1] = table[2 * next + 1] as number;
      slot = next;
    }
    table[2 * slot + 1] = 0;
    this.#size--;
  }

  #grow(): void {
    const ids = this.#ids;
    const places = this.#places;
    this.#capacity *= 4;
    this.#ids = new Int32Array(this.#capacity * 4);
    this.#ids.set(ids);
    this.#places = new Float64Array(this.#capacity);
    this.#places.set(places);
    this.#table = new Int32Array(this.#capacity * 4);
    this.#next = this.#size;
    for (let entry = 0; entry < this.#size; entry++) this.#enter(entry, this.#hashOf(entry));
  }

  #hashOf(entry: number): number {
    const e = entry * 4;
    const ids = this.#ids;
    return hash(ids[e] as number, ids[e + 1] as number, ids[e + 2] as number, ids[e + 3] as number);
  }
}

/**
 * Consecutive ids of a producer lie side by side, 32 of them, so that they share cache lines; where
 * such a group lies is spread over the whole table.
 */
function hash(a: number, b: number, c: number, d: number): number {
  let h = Math.imul(d >>> 5, 0x9e37_79b1) ^ Math.imul(c, 0x85eb_ca6b);
  h ^= Math.imul(a ^ Math.imul(b, 0x27d4_eb2f), 0xc2b2_ae35);
  h ^= h >>> 15;
  return ((Math.imul(h, 0x2c1b_3c6d) >>> 9) << 5) | (d & 31);
}
