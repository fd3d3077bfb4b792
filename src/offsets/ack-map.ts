import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { CHUNK_SEQUENCES, CHUNK_WORDS, firstClear, firstSet } from './bits.ts';
import type { OffsetMerger } from './offset-merger.ts';
import { mapFault, VarintReader, writeVarint } from './varint.ts';

const BITMAP_BYTES = CHUNK_SEQUENCES / 8;
const FORM_RUNS = 3;
const FORM_BITMAP = 2;
const FORM_DEFLATED = 4;
/** A chunk that takes less as runs is not compressed: there is little to win. */
const PLAIN_RUNS_BYTES = 512;

// ack-chunk := form:u8=3 (gap:varint length:varint)*   runs of acks, from the chunk's start on
//            | form:u8=2 bitmap(8192)                  bit i of byte i/8 is offset i of the chunk
//            | form:u8=4 deflate(bitmap)
// The smallest is taken, so none is longer than the bitmap and its form.

const scratch = Buffer.allocUnsafe(BITMAP_BYTES + 64);
const bitmap = Buffer.allocUnsafe(BITMAP_BYTES);

/** Encodes the bits of a chunk; *owned* by the caller. */
export function encodeAckChunk(words: Int32Array): Buffer {
  const runs = encodeRuns(words);
  if (runs > 0 && runs <= PLAIN_RUNS_BYTES) return Buffer.from(scratch.subarray(0, runs));
  // More runs than a bitmap has room for: there is no order that compression could find.
  const isDense = runs === 0;
  for (let i = 0; i < CHUNK_WORDS; i++) bitmap.writeInt32LE(words[i] ?? 0, i * 4);
  if (isDense) return withForm(FORM_BITMAP, bitmap);
  const deflated = deflateRawSync(bitmap, { level: 1 });
  const shortest = Math.min(runs, BITMAP_BYTES + 1);
  if (deflated.length + 1 < shortest) return withForm(FORM_DEFLATED, deflated);
  if (runs === shortest) return Buffer.from(scratch.subarray(0, runs));
  return withForm(FORM_BITMAP, bitmap);
}

/** Takes what is acked in a chunk into a merger. @throws MALFORMED_MAP */
export function loadAckChunk(bytes: Buffer, index: number, merger: OffsetMerger): void {
  const form = bytes[0];
  if (form === FORM_RUNS) {
    const reader = new VarintReader(bytes, 1);
    let at = 0;
    while (reader.at < reader.end) {
      const first = at + reader.next();
      at = first + reader.next();
      if (at > CHUNK_SEQUENCES) throw mapFault('a run ends beyond its chunk');
      merger.confirm(index * CHUNK_SEQUENCES + first, at - first);
    }
  } else if (form === FORM_BITMAP) loadBitmap(bytes.subarray(1), index, merger);
  else if (form === FORM_DEFLATED) loadBitmap(inflate(bytes.subarray(1)), index, merger);
  else throw mapFault(`form ${form}`);
}

/**
 * What is acked above the floor, as one row of runs: `(gap:varint length:varint)*`, counted from
 * the floor. Undefined when that takes more than `bytesMax`; *owned* by the caller.
 */
export function encodeInline(merger: OffsetMerger, bytesMax: number): Buffer | undefined {
  const bytes = Buffer.allocUnsafe(bytesMax + 16);
  let at = 0;
  let from = merger.floor;
  for (;;) {
    const first = merger.nextConfirmed(from);
    if (first < 0) return bytes.subarray(0, at);
    const end = merger.nextOpen(first);
    at = writeVarint(bytes, at, first - from);
    at = writeVarint(bytes, at, end - first);
    if (at > bytesMax) return undefined;
    from = end;
  }
}

/** Takes the runs of {@link encodeInline} in. @throws MALFORMED_MAP */
export function decodeInline(bytes: Uint8Array, merger: OffsetMerger): void {
  const reader = new VarintReader(bytes);
  let from = merger.floor;
  while (reader.at < reader.end) {
    const first = from + reader.next();
    const count = reader.next();
    if (count === 0 || first + count > Number.MAX_SAFE_INTEGER) throw mapFault('an empty run');
    if (first + count - merger.floor > SPAN_MAX) throw mapFault('a run too far above the floor');
    merger.confirm(first, count);
    from = first + count;
  }
}

/** Offsets that a map may reach above its floor: what the merger holds. */
export const SPAN_MAX = 2 ** 35;

function encodeRuns(words: Int32Array): number {
  scratch[0] = FORM_RUNS;
  let at = 1;
  let from = 0;
  for (let first = firstSet(words, 0); first < CHUNK_SEQUENCES; ) {
    if (at > BITMAP_BYTES) return 0;
    const end = firstClear(words, first);
    at = writeVarint(scratch, at, first - from);
    at = writeVarint(scratch, at, end - first);
    from = end;
    first = firstSet(words, end);
  }
  return at;
}

function loadBitmap(bytes: Buffer, index: number, merger: OffsetMerger): void {
  if (bytes.length !== BITMAP_BYTES) throw mapFault(`a bitmap of ${bytes.length} bytes`);
  const words = new Int32Array(CHUNK_WORDS);
  for (let i = 0; i < CHUNK_WORDS; i++) words[i] = bytes.readInt32LE(i * 4);
  merger.confirmWords(index, words);
}

function inflate(bytes: Buffer): Buffer {
  try {
    return inflateRawSync(bytes, { maxOutputLength: BITMAP_BYTES });
  } catch {
    throw mapFault('a chunk that cannot be inflated');
  }
}

function withForm(form: number, body: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(1 + body.length);
  bytes[0] = form;
  body.copy(bytes, 1);
  return bytes;
}
