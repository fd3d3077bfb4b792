import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayWorld } from './delay-world.ts';

const day = 86_400_000;

test('a copy of a message is counted out again', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + day;
  for (let i = 0; i < 5; i++) world.schedule({ topic: 't', value: `${i}`, dueMs: dueMs + i });
  await world.settle();
  await world.jump(20_000);
  world.resend();
  await world.settle();
  assert.equal(world.cluster.pending, 6, 'it was taken without a look at what stands');
  // Others come while it is being counted.
  world.clock.jump(10_000);
  world.schedule({ topic: 't', value: 'later', dueMs });
  await world.settle();
  assert.equal(world.cluster.pending, 6);
  await world.jump(20_000);
  assert.equal(world.cluster.pending, 6);
  await world.stop();
  await world.start();
  assert.equal(world.cluster.pending, 6);
  await world.jump(2 * day);
  assert.equal(world.cluster.pending, 0);
  assert.equal(world.fired.length, 6);
  await world.stop();
});
