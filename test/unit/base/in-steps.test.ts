import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inSteps } from '../../../src/base/in-steps.ts';

test('no more than so many are under way, and answers come in order', async () => {
  let running = 0;
  let most = 0;
  const items = Array.from({ length: 50 }, (_, i) => `item ${i}`);
  const found = await inSteps(items, 16, async (item, index) => {
    most = Math.max(most, ++running);
    await Promise.resolve();
    running--;
    return `${index}: ${item}`;
  });
  assert.deepEqual(
    found,
    items.map((item, i) => `${i}: ${item}`),
  );
  assert.equal(most, 16);
});

test('what comes behind a failure is not begun', async () => {
  const begun: number[] = [];
  const failing = inSteps([0, 1, 2, 3, 4], 2, async (item) => {
    begun.push(item);
    if (item === 1) throw new RangeError('no');
  });
  await assert.rejects(failing, RangeError);
  assert.deepEqual(begun, [0, 1]);
});
