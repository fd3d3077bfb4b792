import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunSet } from '../../../../src/produce/sending/run-set.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

const operation = fc.record({
  kind: fc.constantFrom('add', 'drop', 'move'),
  first: fc.integer({ min: 1, max: 60 }),
  count: fc.integer({ min: 1, max: 8 }),
});

test('a set of runs holds what a plain set holds', async () => {
  await check(
    fc.property(fc.array(operation, { maxLength: 40 }), (operations) => {
      let runs = new RunSet();
      const plain = new Set<number>();
      for (const { kind, first, count } of operations) {
        if (kind === 'add') {
          runs.add(first, count);
          for (let s = first; s < first + count; s++) plain.add(s);
        } else if (kind === 'drop') {
          runs.dropBelow(first);
          for (const s of plain) if (s < first) plain.delete(s);
        } else {
          const moved = new RunSet();
          runs.moveTo(moved);
          assert.ok(runs.isEmpty);
          runs = moved;
        }
        assert.equal(runs.first, Math.min(Number.POSITIVE_INFINITY, ...plain));
        assert.equal(runs.isEmpty, plain.size === 0);
      }
      assert.equal(runs.count, plain.size);
      for (let s = 0; s < 80; s++) assert.equal(runs.has(s), plain.has(s), `${s}`);
    }),
    500,
  );
});
