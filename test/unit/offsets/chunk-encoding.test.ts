import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_WORDS } from '../../../src/offsets/bits.ts';
import { decodeChunk, encodeChunk } from '../../../src/offsets/chunk-encoding.ts';

/** The words of a chunk in which every `step`-th bit from `first` is set. */
function words(first: number, step: number): Int32Array {
  const out = new Int32Array(CHUNK_WORDS);
  for (let bit = first; bit < CHUNK_WORDS * 32; bit += step) {
    out[bit >>> 5] = (out[bit >>> 5] as number) | (1 << (bit & 31));
  }
  return out;
}

function bitsOf(bytes: Buffer | undefined): number[] {
  const bits: number[] = [];
  decodeChunk(bytes as Buffer, (first, count) => {
    for (let i = 0; i < count; i++) bits.push(first + i);
  });
  return bits;
}

test('an encoding is its own: the next one does not change it', () => {
  const runs = encodeChunk(words(3, 20_000), 0);
  const bitmap = encodeChunk(words(1, 2), 0);
  const others = encodeChunk(words(5, 30_000), 0);
  assert.deepEqual(bitsOf(runs), [3, 20_003, 40_003, 60_003]);
  assert.deepEqual(bitsOf(others), [5, 30_005, 60_005]);
  assert.equal(bitsOf(bitmap).length, 32_768);
});

test('an encoding of a few runs holds no memory for the longest', () => {
  for (let i = 0; i < 100; i++) {
    const bytes = encodeChunk(words(i, 9_000), 0) as Buffer;
    assert(bytes.buffer.byteLength <= Buffer.poolSize, `${bytes.buffer.byteLength} bytes`);
  }
});
