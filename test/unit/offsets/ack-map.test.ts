import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeInline,
  encodeAckChunk,
  encodeInline,
  loadAckChunk,
} from '../../../src/offsets/ack-map.ts';
import { CHUNK_SEQUENCES } from '../../../src/offsets/bits.ts';
import { OffsetMerger } from '../../../src/offsets/offset-merger.ts';
import { fc } from '../../support/fast-check.ts';

const seed = Number(process.env.MQPROXY_SEED ?? Math.trunc(performance.timeOrigin % 2 ** 31));
console.log(`seed=${seed}`);

/** A small generator of its own, so that the sizes below do not depend on chance. */
function lcg(from: number): () => number {
  let state = from;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

function chunksOf(merger: OffsetMerger, chunks: number): Buffer[] {
  return Array.from({ length: chunks }, (_, i) => {
    const words = merger.wordsOf(i);
    return words === undefined ? Buffer.alloc(0) : encodeAckChunk(words);
  });
}

function sizeOf(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, chunk) => sum + chunk.length, 0);
}

/** Acks `count` different offsets of `[1, span)`; 0 stays open, so that the floor stays. */
function randomAcks(count: number, span: number): OffsetMerger {
  const merger = new OffsetMerger(0);
  const random = lcg(7);
  for (let acked = 0; acked < count; )
    acked += merger.confirm(1 + Math.floor(random() * (span - 1)), 1);
  return merger;
}

test('a chunk comes back as it was, whatever is acked in it', () => {
  const runs = fc.array(fc.tuple(fc.nat(CHUNK_SEQUENCES - 1), fc.integer({ min: 1, max: 3_000 })));
  fc.assert(
    fc.property(runs, fc.nat(64), (some, every) => {
      const merger = new OffsetMerger(0);
      for (const [first, count] of some) {
        const from = Math.max(1, first);
        const most = Math.min(count, CHUNK_SEQUENCES - from);
        if (most > 0) merger.confirm(from, most);
      }
      if (every > 1) for (let i = every; i < CHUNK_SEQUENCES; i += every) merger.confirm(i, 1);
      const words = merger.wordsOf(0);
      if (words === undefined) return;
      const bytes = encodeAckChunk(words);
      assert(bytes.length <= CHUNK_SEQUENCES / 8 + 64);
      const again = new OffsetMerger(0);
      loadAckChunk(bytes, 0, again);
      assert.deepEqual(again.wordsOf(0), words);
    }),
    { seed, numRuns: 60 },
  );
});

/** `count` runs with a gap before each, of up to so many offsets, and their mean half of it. */
function randomRuns(count: number, { length, gap }: { length: number; gap: number }): OffsetMerger {
  const merger = new OffsetMerger(0);
  const random = lcg(3);
  for (let i = 0, at = 1; i < count; i++) {
    const acked = 1 + Math.floor(random() * length);
    merger.confirm(at, acked);
    at += acked + 1 + Math.floor(random() * gap);
  }
  return merger;
}

test('the sizes stay within what a commit and a record can carry', () => {
  // 1 KB is 1,000 bytes here, the smaller of both readings.
  assert(sizeOf(chunksOf(randomAcks(100_000, 131_072), 2)) <= 16_500);
  assert(sizeOf(chunksOf(randomAcks(100_000, 1_000_000), 16)) <= 132_000);
  const near = randomRuns(1_000, { length: 64, gap: 60 });
  assert(sizeOf(chunksOf(near, 2)) <= 4_000);
  assert((encodeInline(near, 4_096)?.length ?? Infinity) <= 4_000);
});

test('1,000 runs over a million offsets take 4,000 bytes at most, be they long or short', () => {
  for (const [length, gap] of [
    [64, 1_900],
    [1_000, 1_000],
    [1_900, 64],
  ] as const) {
    const runs = randomRuns(1_000, { length, gap });
    const chunks = chunksOf(runs, 17);
    assert(sizeOf(chunks) <= 4_000, `${sizeOf(chunks)} bytes`);
    assert((encodeInline(runs, 4_096)?.length ?? Infinity) <= 4_000);
    const again = new OffsetMerger(0);
    chunks.forEach((bytes, i) => {
      if (bytes.length > 0) loadAckChunk(bytes, i, again);
    });
    assert.equal(again.confirmedAbove, runs.confirmedAbove);
  }
});

test('a row of runs comes back as the same merger, or is not given when it is too long', () => {
  const run = fc.tuple(fc.integer({ min: 1, max: 100_000 }), fc.integer({ min: 1, max: 90_000 }));
  fc.assert(
    fc.property(fc.nat(2 ** 40), fc.array(run, { maxLength: 60 }), (floor, steps) => {
      const merger = new OffsetMerger(floor);
      let at = floor + 1;
      for (const [gap, count] of steps) {
        merger.confirm(at + gap, count);
        at += gap + count;
      }
      const bytes = encodeInline(merger, 2_000);
      assert(bytes !== undefined);
      const again = new OffsetMerger(floor);
      decodeInline(bytes, again);
      assert.equal(again.floor, merger.floor);
      assert.equal(again.confirmedAbove, merger.confirmedAbove);
      assert.deepEqual(encodeInline(again, 2_000), bytes);
      if (steps.length > 10) assert.equal(encodeInline(merger, 10), undefined);
    }),
    { seed, numRuns: 100 },
  );
});

test('damaged maps are refused, and build nothing large', () => {
  const merger = new OffsetMerger(5);
  assert.throws(() => loadAckChunk(Buffer.from([9]), 0, merger), { code: 'MALFORMED_MAP' });
  assert.throws(() => loadAckChunk(Buffer.from([2, 0]), 0, merger), { code: 'MALFORMED_MAP' });
  assert.throws(() => loadAckChunk(Buffer.from([4, 1, 2]), 0, merger), { code: 'MALFORMED_MAP' });
  assert.throws(() => loadAckChunk(Buffer.from([3, 1, 0xff, 0xff, 0x7f]), 0, merger), {
    code: 'MALFORMED_MAP',
  });
  assert.throws(() => decodeInline(Buffer.from([1]), merger), { code: 'MALFORMED_MAP' });
  const far = Buffer.from([1, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
  assert.throws(() => decodeInline(far, merger), { code: 'MALFORMED_MAP' });
});
