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

test('a move is answered when it stands, also where a copy came between hold and log', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, clock } = world;
  const dueMs = clock.nowMs + 60_000;
  const id = world.schedule({ topic: 't', value: 'a', dueMs });
  await world.settle();
  world.publishTurns = 100;
  const moved = commands.move(id, dueMs + day);
  await world.turns(5);
  world.resend();
  assert.equal(await world.does(moved), 'moved');
  world.publishTurns = 1;
  await world.jump(day);
  assert.equal(world.fired.length, 0, 'not as it was');
  await world.jump(60_000);
  assert.equal(world.fired.length, 1);
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('a move stands though the owner writes its message again for what came if absent', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, clock } = world;
  const dueMs = clock.nowMs + 60_000;
  const first = { topic: 't', unique: 'k', dueMs };
  const id = world.schedule({ ...first, value: 'first' });
  await world.settle();
  world.publishTurns = 100;
  // Each is answered by what stands, written again: those are on their way before the move is.
  const other = () => world.schedule({ ...first, value: 'other', ifAbsent: true });
  for (let i = 0; i < 3; i++) other();
  await world.turns(20);
  const moved = commands.move(id, dueMs + day);
  await world.turns(20);
  other();
  assert.equal(await world.does(moved), 'moved');
  world.publishTurns = 1;
  await world.jump(day);
  assert.equal(world.fired.length, 0, 'not as it was');
  await world.jump(60_000);
  assert.deepEqual(
    world.fired.map(({ value }) => value),
    ['first'],
  );
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('a move whose message was replaced meanwhile by one that is due as asked is refused', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, store, clock } = world;
  const dueMs = clock.nowMs + day;
  const id = world.schedule({ topic: 't', unique: 'k', value: 'old', dueMs });
  await world.settle();
  let answer = () => {};
  const late = new Promise<void>((resolve) => {
    answer = resolve;
  });
  store.nextGet = Promise.resolve().then(() => {
    store.nextGet = late;
  });
  const moved = commands.move(id, dueMs + day);
  await world.turns(3);
  world.schedule({ topic: 't', unique: 'k', value: 'new', dueMs: dueMs + day });
  await world.settle();
  answer();
  await assert.rejects(world.does(moved), { code: 'RETRY_LATER' });
  assert.equal(world.cluster.stats.moved, 0);
  await world.stop();
});

test('a move whose message was replaced meanwhile is refused, and moves the other when given again', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, store, clock } = world;
  const far = { topic: 't', unique: 'k' };
  const dueMs = clock.nowMs + day;
  const id = world.schedule({ ...far, value: 'old', dueMs });
  await world.settle();
  let answer = () => {};
  const late = new Promise<void>((resolve) => {
    answer = resolve;
  });
  // It is looked up by where it stands, and then by its record.
  store.nextGet = Promise.resolve().then(() => {
    store.nextGet = late;
  });
  const moved = commands.move(id, dueMs + 2 * day);
  await world.turns(3);
  world.schedule({ ...far, value: 'new', dueMs: dueMs + day });
  await world.settle();
  answer();
  await assert.rejects(world.does(moved), { code: 'RETRY_LATER' });
  assert.equal((await commands.get(id))?.dueMs, dueMs + day);
  assert.equal(await world.does(commands.move(id, dueMs + 2 * day)), 'moved');
  await world.jump(2 * day);
  assert.equal(world.fired.length, 0);
  await world.jump(day);
  assert.deepEqual(
    world.fired.map(({ value }) => value),
    ['new'],
  );
  await world.stop();
});

test('a cancel is no answer when its partition was lost meanwhile, though it is back', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, clock } = world;
  const id = world.schedule({ topic: 't', value: 'a', dueMs: clock.nowMs + day });
  await world.settle();
  world.publishTurns = 100;
  const cancelled = commands.cancel(id);
  await world.turns(10);
  // Who had it in between may have fired it.
  world.log.lose();
  world.log.assign();
  await assert.rejects(world.does(cancelled), { code: 'RETRY_LATER' });
  world.publishTurns = 1;
  assert.equal(await world.does(commands.cancel(id)), 'notFound');
  await world.stop();
});
