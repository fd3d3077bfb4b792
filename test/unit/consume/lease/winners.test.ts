import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Winners } from '../../../../src/consume/lease/winners.ts';

/** More than are remembered. */
const MANY = 20_000;

test('an ack that is sent again is known by its run, that of another lease is not', () => {
  const winners = new Winners();
  winners.note(5, 9, true);
  assert.equal(winners.isWinner(5, 9), true);
  assert.equal(winners.isWinner(5, 8), false);
});

test('of a message that was not acked no lease wins, also when that is forgotten', () => {
  const winners = new Winners();
  winners.note(5, 9, false);
  assert.equal(winners.isWinner(5, 9), false);
  for (let offset = 10; offset < MANY; offset++) winners.note(offset, 1, true);
  assert.equal(winners.isWinner(5, 9), false);
  // Of what nothing was ever noted there was one lease alone, and it was acked.
  assert.equal(winners.isWinner(6, 10), true);
});
