import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHUNK_SEQUENCES } from '../../../src/offsets/bits.ts';
import { OffsetMerger } from '../../../src/offsets/offset-merger.ts';
import { fc } from '../../support/fast-check.ts';

/** The naive twin: a set of numbers. */
class NaiveMerger {
  floor: number;
  readonly confirmed = new Set<number>();

  constructor(floor: number) {
    this.floor = floor;
  }

  confirm(first: number, count: number): number {
    let fresh = 0;
    for (let sequence = first; sequence < first + count; sequence++) {
      if (sequence < this.floor || this.confirmed.has(sequence)) continue;
      this.confirmed.add(sequence);
      fresh++;
    }
    while (this.confirmed.delete(this.floor)) this.floor++;
    return fresh;
  }
}

const seed = Number(process.env.MQPROXY_SEED ?? Math.trunc(performance.timeOrigin % 2 ** 31));
console.log(`seed=${seed}`);

const step = fc.oneof(
  fc.record({
    kind: fc.constant('confirm' as const),
    ahead: fc.oneof(fc.nat(300), fc.nat(3 * CHUNK_SEQUENCES)),
    count: fc.oneof(
      fc.constant(1),
      fc.integer({ min: 1, max: 200 }),
      fc.integer({ min: 1, max: 90_000 }),
    ),
  }),
  fc.record({ kind: fc.constant('fillHead' as const), count: fc.integer({ min: 1, max: 70_000 }) }),
  fc.record({ kind: fc.constant('reload' as const) }),
);

test('it agrees with a set of numbers, through any steps and reloads', () => {
  fc.assert(
    fc.property(fc.nat(2 ** 40), fc.array(step, { maxLength: 25 }), (start, steps) => {
      const naive = new NaiveMerger(start);
      let merger = new OffsetMerger(start);
      const stored = new Map<number, Buffer>();
      for (const s of steps) {
        if (s.kind === 'reload') {
          for (const { chunk, bytes } of merger.takeChanges()) {
            if (bytes === undefined) assert(stored.delete(chunk), 'forgets only what it had given');
            else stored.set(chunk, bytes);
          }
          merger = new OffsetMerger(merger.floor);
          for (const [chunk, bytes] of stored) merger.load(chunk, bytes);
        } else {
          const first =
            s.kind === 'fillHead' ? naive.floor : Math.max(0, naive.floor - 50) + s.ahead;
          assert.equal(merger.confirm(first, s.count), naive.confirm(first, s.count));
        }
        assert.equal(merger.floor, naive.floor);
        assert.equal(merger.confirmedAbove, naive.confirmed.size);
      }
      for (const sequence of naive.confirmed) assert(merger.isConfirmed(sequence));
      const span = 4 * CHUNK_SEQUENCES;
      const from = Math.max(0, naive.floor - 100);
      const below = naive.floor - from;
      let within = 0;
      for (const sequence of naive.confirmed) if (sequence < from + span) within++;
      assert.equal(merger.countConfirmed(from, span), below + within);
    }),
    { seed, numRuns: 60 },
  );
});

test('a chunk that was given is given again as forgotten once the floor passed it', () => {
  const merger = new OffsetMerger(1);
  merger.confirm(5, 1);
  const [given] = merger.takeChanges();
  assert.equal(given?.chunk, 0);
  assert.equal(given?.bytes?.length, 5);
  merger.confirm(1, CHUNK_SEQUENCES);
  assert.equal(merger.floor, CHUNK_SEQUENCES + 1);
  assert.deepEqual(merger.takeChanges(), [{ chunk: 0, bytes: undefined }]);
  assert.deepEqual(merger.takeChanges(), []);
});

test('a chunk with every second bit takes the bitmap form', () => {
  const merger = new OffsetMerger(0);
  for (let i = 1; i < CHUNK_SEQUENCES; i += 2) merger.confirm(i, 1);
  const [change] = merger.takeChanges();
  assert.equal(change?.bytes?.length, 1 + CHUNK_SEQUENCES / 8);
  const again = new OffsetMerger(0);
  again.load(0, change?.bytes ?? Buffer.alloc(0));
  assert.equal(again.confirmedAbove, CHUNK_SEQUENCES / 2);
  assert.throws(() => again.load(0, Buffer.from([9])), { code: 'STORE_CORRUPT' });
});

test('chunks far above the floor are kept apart from those near it', () => {
  const merger = new OffsetMerger(3);
  merger.confirm(3 + 40 * CHUNK_SEQUENCES, 1);
  assert.equal(merger.isConfirmed(3 + 8 * CHUNK_SEQUENCES), false);
  assert.equal(merger.isConfirmed(3 + 40 * CHUNK_SEQUENCES), true);
  assert.equal(merger.isConfirmed(3 + 104 * CHUNK_SEQUENCES), false);
});
