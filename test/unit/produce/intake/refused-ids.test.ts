import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../../protocol/src/generated.ts';
import { RefusedIds, refusalCode } from '../../../../src/produce/intake/refused-ids.ts';

test('a run of resends is split where it was refused', () => {
  const ids = new RefusedIds();
  assert.equal(ids.split(1n, 0, 1, 10), undefined);
  ids.add(1n, 0, 3, 30);
  ids.add(1n, 0, 4, 30);
  ids.add(1n, 0, 5, 21);
  ids.add(1n, 1, 6, 30);
  assert.deepEqual(ids.split(1n, 0, 1, 7), [
    { first: 1, count: 2, code: 0 },
    { first: 3, count: 2, code: 30 },
    { first: 5, count: 1, code: 21 },
    { first: 6, count: 2, code: 0 },
  ]);
  assert.equal(ids.split(2n, 0, 1, 7), undefined);
});

test('no more are remembered than was said, and the oldest go first', () => {
  const ids = new RefusedIds(3);
  for (let sequence = 1; sequence <= 5; sequence++) ids.add(1n, 0, sequence, 30);
  ids.add(1n, 0, 5, 30);
  assert.deepEqual(ids.split(1n, 0, 1, 5), [
    { first: 1, count: 2, code: 0 },
    { first: 3, count: 3, code: 30 },
  ]);
});

test('a code that the protocol does not have is told as undeliverable', () => {
  assert.equal(refusalCode('MESSAGE_TOO_LARGE'), ErrorCode.MESSAGE_TOO_LARGE);
  assert.equal(refusalCode('UNKNOWN_TOPIC'), ErrorCode.UNKNOWN_TOPIC);
  assert.equal(refusalCode('SOMETHING'), ErrorCode.UNDELIVERABLE);
});
