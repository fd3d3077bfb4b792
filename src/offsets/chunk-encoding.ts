import { coded } from '../base/errors.ts';
import { CHUNK_SEQUENCES, CHUNK_WORDS, firstClear, firstSet } from './bits.ts';

const BITMAP_BYTES = CHUNK_WORDS * 4;
const FORM_RUNS = 1;
const FORM_BITMAP = 2;
const RUN_BYTES = 4;
/**
 * Encodings are written here and copied out: mostly a few runs, while room for the longest of each
 * would be 8 KiB outside V8's heap a write, which its collector answers with a full collection.
 */
const scratch = Buffer.alloc(1 + BITMAP_BYTES);

// chunk  := form:u8=1 run*  |  form:u8=2 bitmap(8192)
// run    := first:u16 length-1:u16          (little-endian, ascending, never touching)
// bitmap := bit i of byte i/8 is sequence i
// Bits below the floor are left out of runs; the smaller form is taken.

/** The outbox's form of a chunk; undefined when no bit at or after `from` is set. */
export function encodeChunk(words: Int32Array, from: number): Buffer | undefined {
  const runs = scratch;
  let at = 1;
  runs[0] = FORM_RUNS;
  for (let first = firstSet(words, from); first < CHUNK_SEQUENCES; ) {
    if (at + RUN_BYTES > runs.length) return encodeBitmap(words, runs);
    const end = firstClear(words, first);
    runs.writeUInt16LE(first, at);
    runs.writeUInt16LE(end - first - 1, at + 2);
    at += RUN_BYTES;
    first = firstSet(words, end);
  }
  return at === 1 ? undefined : Buffer.from(runs.subarray(0, at));
}

function encodeBitmap(words: Int32Array, out: Buffer): Buffer {
  out[0] = FORM_BITMAP;
  for (let i = 0; i < CHUNK_WORDS; i++) out.writeInt32LE(words[i] ?? 0, 1 + i * 4);
  return Buffer.from(out);
}

/** Calls `run` for each run. Throws `STORE_CORRUPT` when it is not an encoding. */
export function decodeChunk(bytes: Buffer, run: (first: number, count: number) => void): void {
  if (bytes[0] === FORM_RUNS && bytes.length % RUN_BYTES === 1) {
    for (let at = 1; at < bytes.length; at += RUN_BYTES) {
      run(bytes.readUInt16LE(at), bytes.readUInt16LE(at + 2) + 1);
    }
  } else if (bytes[0] === FORM_BITMAP && bytes.length === 1 + BITMAP_BYTES) {
    const words = new Int32Array(CHUNK_WORDS);
    for (let i = 0; i < CHUNK_WORDS; i++) words[i] = bytes.readInt32LE(1 + i * 4);
    for (let first = firstSet(words, 0); first < CHUNK_SEQUENCES; ) {
      const end = firstClear(words, first);
      run(first, end - first);
      first = firstSet(words, end);
    }
  } else {
    const what = `form ${bytes[0]}, ${bytes.length} bytes`;
    throw coded('STORE_CORRUPT', `expected the encoding of a confirmed chunk, found ${what}`);
  }
}
