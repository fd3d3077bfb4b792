import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Seldom } from '../../../src/base/seldom.ts';
import { ManualClock } from '../store/support.ts';

test('a line is due once within its time, each name by itself', () => {
  const clock = new ManualClock();
  const seldom = new Seldom(clock, 10_000);
  assert.deepEqual(
    ['a', 'a', 'b'].map((name) => seldom.isDue(name)),
    [true, false, true],
  );
  clock.advance(9_999);
  assert.equal(seldom.isDue('a'), false);
  clock.advance(1);
  assert.deepEqual([seldom.isDue('a'), seldom.isDue('a'), seldom.isDue('b')], [true, false, true]);
});
