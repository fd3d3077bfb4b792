import assert from 'node:assert/strict';
import { test } from 'node:test';
import { dueSpanOf } from '../../../../src/cli/load/due-span.ts';

test('a range says over how long messages fall due, where nothing else does', () => {
  assert.deepEqual(dueSpanOf('5s..15s', undefined), { aheadMs: 5_000, overMs: 10_000 });
  assert.deepEqual(dueSpanOf('5s..15s', 10_000), { aheadMs: 5_000, overMs: 10_000 });
  assert.deepEqual(dueSpanOf('0..1m', undefined), { aheadMs: 0, overMs: 60_000 });
  assert.deepEqual(dueSpanOf('5s', undefined), { aheadMs: 5_000, overMs: 10_000 });
  assert.deepEqual(dueSpanOf('5s', 3_000), { aheadMs: 5_000, overMs: 3_000 });
});

test('a range that is none, or another length than --over, is refused in words', () => {
  const refusals: [ahead: string, overMs: number | undefined, words: RegExp][] = [
    ['soon', undefined, /^--ahead: "soon" is not a duration/],
    ['', undefined, /is not a duration/],
    ['5s..', undefined, /is not a duration/],
    ['..5s', undefined, /is not a duration/],
    ['5s..later', undefined, /"5s\.\.later" is not a duration/],
    ['5s..6s..7s', undefined, /is not a duration/],
    ['5s..5s', undefined, /does not end after its start/],
    ['15s..5s', undefined, /does not end after its start/],
    ['5s..15s', 20_000, /is 10000 ms long, and --over says 20000 ms/],
  ];
  for (const [ahead, overMs, message] of refusals) {
    assert.throws(() => dueSpanOf(ahead, overMs), { code: 'USAGE', message }, ahead);
  }
});
