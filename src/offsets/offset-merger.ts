import assert from 'node:assert';
import {
  bitCount,
  CHUNK_SEQUENCES,
  CHUNK_WORDS,
  countRange,
  firstClear,
  firstSet,
  setRange,
} from './bits.ts';
import { decodeChunk, encodeChunk } from './chunk-encoding.ts';

/** Chunks from the floor to the highest confirmed: 2^20 of them are 64 Gi messages. */
const CHUNKS_MAX = 1 << 20;
const POOL_MAX = 64;

/** What every chunk whose bits are all set has for words: it costs nothing. */
const FULL_WORDS = new Int32Array(CHUNK_WORDS).fill(-1);

interface Chunk {
  words: Int32Array;
  /** Bits that are set. */
  count: number;
  /** Changed since it was last taken. */
  dirty: boolean;
  /** Its encoding was taken once, so the taker holds it. */
  taken: boolean;
}

/** A chunk to be stored, or, with `bytes` undefined, to be forgotten. */
export interface ChunkChange {
  /** Number of the chunk: its first sequence is `chunk * CHUNK_SEQUENCES`. */
  readonly chunk: number;
  readonly bytes: Buffer | undefined;
}

/**
 * What is confirmed of a gap-free sequence, in whatever order it comes: a floor, before which
 * everything is, and a sparse rest in chunks of 64 Ki bits. Pure; `confirm` allocates only when
 * it reaches a new chunk. Sequences are below 2^53.
 */
export class OffsetMerger {
  #floor: number;
  /** Chunks by their number modulo the length, which is a power of two. */
  #slots: (Chunk | undefined)[] = new Array<Chunk | undefined>(16).fill(undefined);
  #mask = 15;
  #floorChunk: number;
  #pool: Chunk[] = [];
  /** Words that are all 0. */
  #spare: Int32Array[] = [];
  #dirty: number[] = [];
  #forgotten: number[] = [];
  #above = 0;

  constructor(floor: number) {
    this.#floor = floor;
    this.#floorChunk = Math.floor(floor / CHUNK_SEQUENCES);
  }

  /** Everything before it is confirmed, itself is not. */
  get floor(): number {
    return this.#floor;
  }

  /** How many are confirmed above the floor. */
  get confirmedAbove(): number {
    return this.#above;
  }

  /** Notes a run; returns how many of it were not confirmed before. */
  confirm(first: number, count: number): number {
    if (count === 1) {
      if (first < this.#floor) return 0;
      return this.#setOne(first);
    }
    const end = first + count;
    let at = Math.max(first, this.#floor);
    let fresh = 0;
    while (at < end) {
      const index = Math.floor(at / CHUNK_SEQUENCES);
      const base = index * CHUNK_SEQUENCES;
      const to = Math.min(end - base, CHUNK_SEQUENCES);
      const chunk = this.#chunkAt(index);
      const set = setRange(chunk.words, at - base, to);
      if (set > 0) {
        if (!chunk.dirty) this.#markDirty(chunk, index);
        fresh += set;
        chunk.count += set;
        if (chunk.count === CHUNK_SEQUENCES) this.#fill(chunk);
      }
      at = base + to;
    }
    this.#above += fresh;
    if (first <= this.#floor && end > this.#floor) this.#advance();
    return fresh;
  }

  /** Notes all bits of a chunk at once. */
  confirmWords(index: number, words: Int32Array): void {
    if (index < this.#floorChunk) return;
    const chunk = this.#chunkAt(index);
    const base = index * CHUNK_SEQUENCES;
    const from = Math.max(0, this.#floor - base);
    let fresh = 0;
    for (let i = from >>> 5; i < CHUNK_WORDS; i++) {
      const old = chunk.words[i] ?? 0;
      const more = (words[i] ?? 0) & ~old & (i === from >>> 5 ? -1 << (from & 31) : -1);
      if (more === 0) continue;
      chunk.words[i] = old | more;
      fresh += bitCount(more);
    }
    if (fresh === 0) return;
    if (!chunk.dirty) this.#markDirty(chunk, index);
    chunk.count += fresh;
    this.#above += fresh;
    if (chunk.count === CHUNK_SEQUENCES) this.#fill(chunk);
    if (base <= this.#floor) this.#advance();
  }

  isConfirmed(sequence: number): boolean {
    if (sequence < this.#floor) return true;
    const index = Math.floor(sequence / CHUNK_SEQUENCES);
    if (index - this.#floorChunk > this.#mask) return false;
    const chunk = this.#slots[index & this.#mask];
    if (chunk === undefined) return false;
    const bit = sequence - index * CHUNK_SEQUENCES;
    return (((chunk.words[bit >>> 5] ?? 0) >>> (bit & 31)) & 1) === 1;
  }

  /** How many of a run are confirmed. */
  countConfirmed(first: number, count: number): number {
    const end = first + count;
    if (end <= this.#floor) return count;
    let at = Math.max(first, this.#floor);
    let found = at - first;
    while (at < end) {
      const index = Math.floor(at / CHUNK_SEQUENCES);
      const base = index * CHUNK_SEQUENCES;
      const to = Math.min(end - base, CHUNK_SEQUENCES);
      if (index - this.#floorChunk > this.#mask) break;
      const chunk = this.#slots[index & this.#mask];
      if (chunk !== undefined) found += countRange(chunk.words, at - base, to);
      at = base + to;
    }
    return found;
  }

  /** What changed since the last call: to be stored together with the floor. */
  takeChanges(): ChunkChange[] {
    const changes: ChunkChange[] = [];
    for (const chunk of this.#forgotten) changes.push({ chunk, bytes: undefined });
    this.#forgotten = [];
    for (const index of this.#dirty) {
      const chunk = index < this.#floorChunk ? undefined : this.#slots[index & this.#mask];
      if (chunk === undefined) continue;
      chunk.dirty = false;
      const from = Math.max(0, this.#floor - index * CHUNK_SEQUENCES);
      const bytes = encodeChunk(chunk.words, from);
      if (bytes !== undefined || chunk.taken) changes.push({ chunk: index, bytes });
      chunk.taken = bytes !== undefined;
    }
    this.#dirty = [];
    return changes;
  }

  /** Takes in a chunk that was stored. Throws `STORE_CORRUPT` when it is not an encoding. */
  load(index: number, bytes: Buffer): void {
    const chunk = this.#chunkAt(index);
    decodeChunk(bytes, (first, count) => {
      this.confirm(index * CHUNK_SEQUENCES + first, count);
    });
    // A confirm that moved the floor over the chunk's end has put it into the pool.
    if (this.#floorChunk > index) this.#forgotten.push(index);
    else chunk.taken = true;
  }

  /** The first sequence at or after `from` that is not confirmed. */
  nextOpen(from: number): number {
    let at = Math.max(from, this.#floor);
    for (;;) {
      const index = Math.floor(at / CHUNK_SEQUENCES);
      const chunk = this.#peek(index);
      if (chunk === undefined) return at;
      const base = index * CHUNK_SEQUENCES;
      if (chunk.count < CHUNK_SEQUENCES) {
        const next = firstClear(chunk.words, at - base);
        if (next < CHUNK_SEQUENCES) return base + next;
      }
      at = base + CHUNK_SEQUENCES;
    }
  }

  /** The first sequence at or after `from`, above the floor, that is; -1 when there is none. */
  nextConfirmed(from: number): number {
    let at = Math.max(from, this.#floor);
    for (;;) {
      const index = Math.floor(at / CHUNK_SEQUENCES);
      if (index - this.#floorChunk > this.#mask) return -1;
      const chunk = this.#slots[index & this.#mask];
      const base = index * CHUNK_SEQUENCES;
      if (chunk !== undefined && chunk.count > 0) {
        const next = firstSet(chunk.words, at - base);
        if (next < CHUNK_SEQUENCES) return base + next;
      }
      at = base + CHUNK_SEQUENCES;
    }
  }

  /** Numbers of the chunks that changed since the last call, in no order; owned by the caller. */
  takeDirty(): number[] {
    const changed: number[] = [];
    for (const index of this.#dirty) {
      const chunk = this.#peek(index);
      if (chunk?.dirty !== true) continue;
      chunk.dirty = false;
      changed.push(index);
    }
    this.#dirty = [];
    this.#forgotten = [];
    return changed;
  }

  /** The bits of a chunk, *borrowed* until the next confirm; undefined when none is set. */
  wordsOf(index: number): Int32Array | undefined {
    const chunk = this.#peek(index);
    return chunk === undefined || chunk.count === 0 ? undefined : chunk.words;
  }

  /** Whether every sequence of a chunk at or above the floor is confirmed. */
  isFull(index: number): boolean {
    return this.#peek(index)?.count === CHUNK_SEQUENCES;
  }

  #peek(index: number): Chunk | undefined {
    if (index < this.#floorChunk || index - this.#floorChunk > this.#mask) return undefined;
    return this.#slots[index & this.#mask];
  }

  #setOne(sequence: number): number {
    const index = Math.floor(sequence / CHUNK_SEQUENCES);
    const chunk =
      index - this.#floorChunk <= this.#mask
        ? (this.#slots[index & this.#mask] ?? this.#chunkAt(index))
        : this.#chunkAt(index);
    const bit = sequence - index * CHUNK_SEQUENCES;
    const word = chunk.words[bit >>> 5] ?? 0;
    const mask = 1 << (bit & 31);
    if ((word & mask) !== 0) return 0;
    chunk.words[bit >>> 5] = word | mask;
    this.#above++;
    if (++chunk.count === CHUNK_SEQUENCES) this.#fill(chunk);
    if (!chunk.dirty) this.#markDirty(chunk, index);
    if (sequence === this.#floor) this.#advance();
    return 1;
  }

  #markDirty(chunk: Chunk, index: number): void {
    chunk.dirty = true;
    this.#dirty.push(index);
  }

  #chunkAt(index: number): Chunk {
    assert(index >= this.#floorChunk, 'a chunk below the floor');
    if (index - this.#floorChunk > this.#mask) this.#grow(index - this.#floorChunk + 1);
    const found = this.#slots[index & this.#mask];
    if (found !== undefined) return found;
    const chunk = this.#pool.pop() ?? {
      words: new Int32Array(CHUNK_WORDS),
      count: 0,
      dirty: false,
      taken: false,
    };
    this.#slots[index & this.#mask] = chunk;
    return chunk;
  }

  #grow(chunks: number): void {
    assert(chunks <= CHUNKS_MAX, 'confirmed too far above the floor');
    let length = this.#slots.length;
    while (length < chunks) length *= 2;
    const slots = new Array<Chunk | undefined>(length).fill(undefined);
    for (let i = 0; i <= this.#mask; i++) {
      const index = this.#floorChunk + i;
      slots[index & (length - 1)] = this.#slots[index & this.#mask];
    }
    this.#slots = slots;
    this.#mask = length - 1;
  }

  /** Moves the floor to the first sequence that is not confirmed. */
  #advance(): void {
    for (;;) {
      const chunk = this.#slots[this.#floorChunk & this.#mask];
      if (chunk === undefined) return;
      const base = this.#floorChunk * CHUNK_SEQUENCES;
      const next = firstClear(chunk.words, this.#floor - base);
      this.#above -= base + next - this.#floor;
      this.#floor = base + next;
      if (next < CHUNK_SEQUENCES) return;
      this.#release(chunk);
    }
  }

  /** All bits are set: the words are shared, and its own can be used again. */
  #fill(chunk: Chunk): void {
    if (this.#spare.length < POOL_MAX) this.#spare.push(chunk.words.fill(0));
    chunk.words = FULL_WORDS;
  }

  #release(chunk: Chunk): void {
    this.#slots[this.#floorChunk & this.#mask] = undefined;
    if (chunk.taken) this.#forgotten.push(this.#floorChunk);
    this.#floorChunk++;
    if (this.#pool.length >= POOL_MAX) return;
    chunk.words = this.#spare.pop() ?? new Int32Array(CHUNK_WORDS);
    chunk.count = 0;
    chunk.dirty = false;
    chunk.taken = false;
    this.#pool.push(chunk);
  }
}
