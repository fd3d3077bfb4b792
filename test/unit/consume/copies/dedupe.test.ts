import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DEDUPE_IDS, DedupeWindow } from '../../../../src/consume/copies/dedupe.ts';
import { fc } from '../../../support/fast-check.ts';
import { fetched } from '../../../support/fetched.ts';

const seed = Number(process.env.MQPROXY_SEED ?? Math.trunc(performance.timeOrigin % 2 ** 31));
console.log(`seed=${seed}`);
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';

function idOf(producer: number, sequence: number): Buffer {
  const id = Buffer.alloc(16);
  id.writeBigUInt64BE(BigInt(producer), 0);
  id.writeUIntBE(sequence, 10, 6);
  return id;
}

test('an id that comes again at another place is a copy, as a map of the last ids says', () => {
  const run = fc.tuple(fc.nat(5), fc.nat(200_000), fc.integer({ min: 1, max: 30_000 }));
  fc.assert(
    fc.property(fc.array(run, { minLength: 1, maxLength: 12 }), (runs) => {
      const window = new DedupeWindow();
      const seen = new Map<string, number>();
      let offset = 0;
      for (const [producer, first, count] of runs) {
        const records = Array.from({ length: count }, (_, i) => ({
          offset: offset + i,
          id: idOf(producer, first + i),
        }));
        const drop = new Uint8Array(count);
        let copies = 0;
        const copied = window.note(fetched(records), 0, drop);
        for (const [i, { id }] of records.entries()) {
          const key = id.toString('latin1');
          const isCopy = seen.has(key);
          if (isCopy) copies++;
          else {
            seen.set(key, offset + i);
            if (seen.size > DEDUPE_IDS) seen.delete(seen.keys().next().value as string);
          }
          if ((drop[i] === 1) !== isCopy) assert.fail(`record ${i}: a copy? ${isCopy}`);
        }
        assert.equal(copied, copies);
        offset += count;
      }
    }),
    { seed, numRuns: isLong ? 20 : 3 },
  );
});

test('the same place read again is no copy, the same offset of another cluster is', () => {
  const window = new DedupeWindow();
  const batch = fetched([{ offset: 4, id: idOf(1, 9) }, { offset: 5 }]);
  assert.equal(window.note(batch, 0, new Uint8Array(2)), 0);
  assert.equal(window.note(batch, 0, new Uint8Array(2)), 0);
  const drop = new Uint8Array(2);
  assert.equal(window.note(batch, 1, drop), 1);
  assert.deepEqual([...drop], [1, 0]);
});
