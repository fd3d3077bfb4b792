/** Sequences per chunk of the sparse map. */
export const CHUNK_SEQUENCES = 65_536;

/** Words of a chunk's bitmap. */
export const CHUNK_WORDS = CHUNK_SEQUENCES / 32;

const FULL = 0xffff_ffff;

/** Sets bits `[from, to)`; returns how many were clear. */
export function setRange(words: Int32Array, from: number, to: number): number {
  let fresh = 0;
  for (let at = from; at < to; ) {
    const word = at >>> 5;
    const mask = wordMask(at & 31, to - (word << 5));
    const old = words[word] ?? 0;
    if ((old & mask) !== mask) {
      fresh += bitCount(mask & ~old);
      words[word] = old | mask;
    }
    at = (word + 1) << 5;
  }
  return fresh;
}

export function countRange(words: Int32Array, from: number, to: number): number {
  let found = 0;
  for (let at = from; at < to; ) {
    const word = at >>> 5;
    found += bitCount((words[word] ?? 0) & wordMask(at & 31, to - (word << 5)));
    at = (word + 1) << 5;
  }
  return found;
}

/** Bits `[from, to)` of a word; `to` may lie beyond it. */
function wordMask(from: number, to: number): number {
  const upper = to >= 32 ? FULL : (1 << to) - 1;
  return upper & (FULL << from);
}

/** How many bits of a word are set. */
export function bitCount(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

/** The first clear bit at or after `from`, CHUNK_SEQUENCES when there is none. */
export function firstClear(words: Int32Array, from: number): number {
  let word = from >>> 5;
  let clear = ~(words[word] ?? 0) & (FULL << (from & 31));
  while (clear === 0) {
    word++;
    if (word === CHUNK_WORDS) return CHUNK_SEQUENCES;
    clear = ~(words[word] ?? 0);
  }
  return (word << 5) + 31 - Math.clz32(clear & -clear);
}

/** The first set bit at or after `from`, CHUNK_SEQUENCES when there is none. */
export function firstSet(words: Int32Array, from: number): number {
  if (from >= CHUNK_SEQUENCES) return CHUNK_SEQUENCES;
  let word = from >>> 5;
  let set = (words[word] ?? 0) & (FULL << (from & 31));
  while (set === 0) {
    word++;
    if (word === CHUNK_WORDS) return CHUNK_SEQUENCES;
    set = words[word] ?? 0;
  }
  return (word << 5) + 31 - Math.clz32(set & -set);
}
