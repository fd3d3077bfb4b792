import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayWorld } from './delay-world.ts';

const day = 86_400_000;

test('a cancel of what is far reads the index once, a move twice, and its apply not at all', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, store, clock } = world;
  const dueMs = clock.nowMs + day;
  const ids = [0, 1].map((i) => world.schedule({ topic: 't', value: `${i}`, dueMs }));
  await world.settle();
  let before = store.gets;
  assert.equal(await world.does(commands.cancel(ids[0] as Buffer)), 'cancelled');
  assert.equal(store.gets - before, 1);
  before = store.gets;
  assert.equal(await world.does(commands.move(ids[1] as Buffer, dueMs + 1_000)), 'moved');
  assert.equal(store.gets - before, 2);
  await world.jump(day);
  assert.equal(world.fired.length, 0);
  await world.jump(1_000);
  assert.deepEqual(
    world.fired.map(({ value }) => value),
    ['1'],
  );
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('what is replaced between the look-up and the hold of a cancel is ended where it stands', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, store, clock } = world;
  const far = { topic: 't', unique: 'k' };
  const id = world.schedule({ ...far, value: 'old', dueMs: clock.nowMs + day });
  await world.settle();
  let answer = () => {};
  store.nextGet = new Promise((resolve) => {
    answer = resolve;
  });
  const cancelled = commands.cancel(id);
  await world.turns(3);
  world.schedule({ ...far, value: 'new', dueMs: clock.nowMs + 2 * day });
  await world.settle();
  answer();
  assert.equal(await world.does(cancelled), 'cancelled');
  assert.deepEqual(await commands.list({ limit: 10 }), { delays: [] });
  await world.jump(3 * day);
  assert.equal(world.fired.length, 0);
  await world.stop();
});

test('a cancel that fails after its message came near lets it fire when it is due', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, clock } = world;
  const dueMs = clock.nowMs + 60_000;
  const id = world.schedule({ topic: 't', value: 'a', dueMs });
  world.schedule({ topic: 't', value: 'b', dueMs: dueMs + 1 });
  await world.settle();
  world.logIsAway = true;
  world.publishTurns = 200;
  const cancelled = commands.cancel(id);
  cancelled.catch(() => {});
  await world.turns(10);
  // While it is held, which is longer than its answer takes, what is near is loaded, and passes it.
  clock.jump(50_000);
  for (let i = 0; i < 20; i++) {
    clock.fire();
    await world.turns(2);
  }
  await assert.rejects(world.does(cancelled), { code: 'BACKEND_UNAVAILABLE' });
  await world.turns(250);
  world.logIsAway = false;
  world.publishTurns = 1;
  await world.settle();
  while (clock.nowMs < dueMs) await world.jump(Math.min(500, dueMs - clock.nowMs));
  await world.jump(1);
  assert.deepEqual(
    world.fired.map(({ value, atMs }) => [value, atMs]),
    [
      ['a', dueMs],
      ['b', dueMs + 1],
    ],
  );
  await world.stop();
});
