import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayWorld } from './delay-world.ts';
import { MemoryStore } from './memory-store.ts';

const values = (world: DelayWorld) => world.fired.map(({ value }) => value);

test('what is written again does not come back over what replaced or ended it meanwhile', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 3_600_000;
  for (const unique of ['replaced', 'cancelled', 'moved']) {
    world.schedule({ topic: 't', value: `first ${unique}`, dueMs, unique });
  }
  await world.settle();
  // It stays, since it was the first, and so must become the newest record of its key again.
  const second = (unique: string) =>
    world.schedule({ topic: 't', value: 'second', dueMs, unique, ifAbsent: true });
  second('replaced');
  world.schedule({ topic: 't', value: 'third', dueMs: dueMs + 1_000, unique: 'replaced' });
  const cancelled = world.commands.cancel(second('cancelled'));
  const moved = world.commands.move(second('moved'), dueMs + 2_000);
  assert.equal(await world.does(cancelled), 'cancelled');
  assert.equal(await world.does(moved), 'moved');
  await world.stop();
  world.log.compact();
  world.store = new MemoryStore();
  await world.start();
  await world.jump(dueMs - world.clock.nowMs);
  assert.deepEqual(values(world), []);
  await world.jump(2_000);
  assert.deepEqual(values(world), ['third', 'first moved']);
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('one that fires while a later one takes its place leaves that one waiting', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  world.schedule({ topic: 't', value: 'first', dueMs: nowMs + 100, unique: 'k' });
  await world.settle();
  world.clock.jump(100);
  world.clock.fire();
  world.schedule({ topic: 't', value: 'second', dueMs: nowMs + 5_000, unique: 'k' });
  await world.settle();
  assert.deepEqual(values(world), ['first']);
  world.log.compact();
  await world.stop();
  world.store = new MemoryStore();
  await world.start();
  await world.jump(5_000);
  assert.deepEqual(values(world), ['first', 'second']);
  await world.stop();
});
