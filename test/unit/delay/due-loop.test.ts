import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayWorld } from './delay-world.ts';

const values = (world: DelayWorld) => world.fired.map(({ value }) => value);

test('what is due while its partition is lost fires once it is back, in the order of due times', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  world.refusing.add('t');
  const names = Array.from({ length: 100 }, (_, i) => `${i}`);
  for (const [i, value] of names.entries()) {
    world.schedule({ topic: 't', value, dueMs: nowMs + 10 + i * 10 });
  }
  await world.settle();
  // Some are refused, and wait in the queue of their topic when the partitions go.
  await world.jump(300);
  world.log.lose();
  await world.settle();
  await world.jump(60_000);
  world.refusing.clear();
  await world.jump(60_000);
  assert.deepEqual(values(world), [], 'they are another node to fire');
  world.log.assign();
  await world.settle();
  await world.jump(60_000);
  assert.deepEqual(values(world), names);
  assert.equal(world.cluster.pending, 0);
  assert.equal(world.cluster.loop.window.size, 0);
  await world.stop();
});

test('overdue messages of a partition that is read later keep their order, unless it takes long', async () => {
  for (const isSlow of [false, true]) {
    const world = new DelayWorld();
    const { nowMs } = world.clock;
    const ids = Array.from({ length: 200 }, (_, i) =>
      world.schedule({ topic: 't', value: `${i}`, dueMs: nowMs - 1_000 + i }),
    );
    const held = (ids[0] as Buffer)[1] as number;
    world.log.heldPartition = held;
    await world.start();
    await world.jump(500);
    assert.deepEqual(values(world), [], 'the others wait for it a moment');
    if (isSlow) await world.jump(500);
    world.log.heldPartition = undefined;
    world.log.pump();
    await world.settle();
    const all = ids.map((_, i) => `${i}`);
    const isLate = (value: string) => (ids[+value] as Buffer)[1] === held;
    const late = all.filter(isLate);
    const others = all.filter((value) => !isLate(value));
    assert(late.length > 0 && others.length > 0);
    assert.deepEqual(values(world), isSlow ? [...others, ...late] : all);
    await world.stop();
  }
});

test('many of one due time all fire, each once, though they are more than a queue holds', async () => {
  const world = new DelayWorld();
  // Its queue fills up, and has room again, while they are still being loaded.
  world.publishTurns = 4;
  const dueMs = world.clock.nowMs - 1_000;
  const count = 25_000;
  for (let i = 0; i < count; i++) world.schedule({ topic: 't', value: `${i}`, dueMs });
  await world.start();
  for (let i = 0; i < 60 && world.fired.length < count; i++) await world.jump(1_000);
  assert.equal(world.fired.length, count);
  assert.equal(new Set(values(world)).size, count);
  await world.stop();
});

test('what is queued when the clock goes back waits until it is due again', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 1_000;
  world.refusing.add('t');
  for (let i = 0; i < 10; i++) world.schedule({ topic: 't', value: `${i}`, dueMs });
  await world.settle();
  await world.jump(1_000);
  assert.equal(world.cluster.loop.queued, 10);
  world.clock.step(-60_000);
  world.refusing.clear();
  await world.jump(40_000);
  assert.deepEqual(values(world), [], 'by the clock it is not time');
  await world.jump(20_000);
  assert.equal(world.fired.length, 10);
  assert.equal(world.cluster.stats.early, 0);
  await world.stop();
});

test('what the publisher has when the clock goes back is not early, for it was due', async () => {
  const world = new DelayWorld();
  await world.start();
  world.schedule({ topic: 't', value: 'a', dueMs: world.clock.nowMs + 1_000 });
  await world.settle();
  world.frozen.add('t');
  await world.jump(1_000);
  world.clock.step(-60_000);
  world.frozen.clear();
  await world.settle();
  assert.deepEqual(values(world), ['a']);
  assert.deepEqual([world.cluster.stats.fired, world.cluster.stats.early], [1, 0]);
  await world.stop();
});

test('what becomes ready while others are loaded is loaded too', async () => {
  const world = new DelayWorld();
  const { nowMs } = world.clock;
  // More than one step of loading takes, so that the log is applied between two.
  const count = 3_000;
  const ids = Array.from({ length: count }, (_, i) =>
    world.schedule({ topic: 't', value: `${i}`, dueMs: nowMs + 5_000 + i }),
  );
  world.log.heldPartition = (ids[0] as Buffer)[1];
  await world.start();
  await world.settle();
  world.store.isSlow = true;
  // The partitions that were read are loaded from now on, which takes some turns.
  world.clock.jump(1_000);
  world.clock.fire();
  await world.turns(100);
  world.log.heldPartition = undefined;
  world.log.pump();
  for (let i = 0; i < 4_000; i++) {
    world.clock.fire();
    await world.turns(1);
  }
  world.store.isSlow = false;
  await world.jump(10_000);
  assert.equal(world.fired.length, count);
  await world.stop();
});

test('messages far ahead that commands could not change do not stay in memory', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 86_400_000;
  const ids = Array.from({ length: 20 }, (_, i) =>
    world.schedule({ topic: 't', value: `${i}`, dueMs }),
  );
  await world.settle();
  world.logIsAway = true;
  for (const id of ids) {
    await assert.rejects(world.does(world.commands.cancel(id)), { code: 'BACKEND_UNAVAILABLE' });
  }
  assert.equal(world.cluster.loop.window.size, 0);
  world.logIsAway = false;
  assert.equal(await world.does(world.commands.cancel(ids[0] as Buffer)), 'cancelled');
  await world.jump(86_400_000);
  assert.equal(world.fired.length, 19);
  await world.stop();
});

test('a copy that comes while a message is being cancelled does not let it fire', async () => {
  const world = new DelayWorld();
  await world.start();
  const id = world.schedule({ topic: 't', value: 'a', dueMs: world.clock.nowMs + 1_000 });
  await world.settle();
  world.publishTurns = 100;
  const cancelled = world.commands.cancel(id);
  await world.turns(5);
  world.resend();
  await world.turns(20);
  world.clock.jump(1_000);
  assert.equal(await world.does(cancelled), 'cancelled');
  await world.jump(1_000);
  assert.deepEqual(values(world), []);
  assert.equal(world.cluster.loop.window.size, 0);
  await world.stop();
});

test('a message that waits for its topic is moved, also after a copy of it came', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  world.refusing.add('t');
  const id = world.schedule({ topic: 't', value: 'a', dueMs: nowMs + 1_000 });
  await world.settle();
  await world.jump(1_000);
  world.resend();
  await world.settle();
  assert.equal(await world.does(world.commands.move(id, nowMs + 600_000)), 'moved');
  world.refusing.clear();
  await world.jump(60_000);
  assert.deepEqual(values(world), []);
  await world.jump(600_000);
  assert.deepEqual(values(world), ['a']);
  await world.stop();
});

test('a message that cannot be read here is left alone when due, and hides and holds back no other', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 1_000;
  for (let i = 0; i < 3; i++) world.schedule({ topic: 't', value: `${i}`, dueMs: dueMs + i });
  const id = world.schedule({ topic: 't', value: 'newer', dueMs: dueMs + 1, partition: 3 });
  // The version of `mq-to`, which is the only header.
  const log = world.log.partitions[3] as Buffer[];
  const bytes = log.at(-1) as Buffer;
  bytes[bytes.indexOf('mq-to') + 'mq-to'.length + 4] = 99;
  await world.settle();
  const listed = async () => (await world.commands.list({ limit: 10 })).delays.length;
  assert.equal(await listed(), 3);
  assert.equal((await world.commands.stats()).pending, 4);
  await assert.rejects(world.commands.get(id), { code: 'STORE_CORRUPT' });
  await world.jump(2_000);
  assert.deepEqual(values(world), ['0', '1', '2']);
  await world.stop();
  await world.start();
  await world.jump(2_000);
  assert.equal(world.fired.length, 3);
  assert.equal(await world.does(world.commands.cancel(id)), 'cancelled');
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('what fired of partitions that went does not stay in memory, and fires once where they come back', async () => {
  for (const isAway of [false, true]) {
    const world = new DelayWorld();
    await world.start();
    const dueMs = world.clock.nowMs + 1_000;
    for (let i = 0; i < 100; i++) world.schedule({ topic: 't', value: `${i}`, dueMs });
    await world.settle();
    // Of what is ended nothing is applied any more.
    world.log.isHeld = true;
    world.logIsAway = isAway;
    await world.jump(1_000);
    assert.equal(world.fired.length, 100);
    world.log.lose();
    await world.settle();
    assert.equal(world.cluster.loop.window.size, isAway ? 100 : 0, 'what the log does not know');
    world.logIsAway = false;
    await world.jump(60_000);
    assert.equal(world.cluster.loop.window.size, 0);
    world.log.isHeld = false;
    world.log.assign();
    await world.settle();
    await world.jump(60_000);
    assert.equal(world.fired.length, 100);
    assert.equal(world.cluster.pending, 0);
    await world.stop();
  }
});
