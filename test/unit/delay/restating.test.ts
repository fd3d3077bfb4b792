import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayIdOfKey } from '../../../protocol/src/delay-id.ts';
import { keptLog } from '../../support/kept-log.ts';
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

test('one that is written again while it fires, or just before, fires once', async () => {
  for (const publishTurns of [1, 10, 50]) {
    for (const isBefore of [false, true]) {
      for (let turns = 0; turns < 2 * publishTurns; turns += publishTurns / 2) {
        const world = new DelayWorld();
        await world.start();
        const dueMs = world.clock.nowMs + 100;
        const first = { topic: 't', unique: 'k', dueMs };
        world.schedule({ ...first, value: 'first' });
        await world.settle();
        world.publishTurns = publishTurns;
        const comeDue = () => world.clock.jump(100);
        // What stands stays, and must become the newest record of its key.
        const other = () => world.schedule({ ...first, value: 'other', ifAbsent: true });
        const [one, two] = isBefore ? [other, comeDue] : [comeDue, other];
        one();
        world.clock.fire();
        await world.turns(turns);
        two();
        await passes(world, 3_000);
        const place = `${publishTurns} turns, ${turns} ${isBefore ? 'before' : 'after'} it was due`;
        assert.equal(values(world).filter((value) => value === 'first').length, 1, place);
        assert.equal(world.cluster.pending, 0, place);
        assert.equal(world.cluster.loop.window.size, 0, place);
        await world.stop();
      }
    }
  }
});

test('what takes the place of one that fires, and is due at once, fires once', async () => {
  for (let turns = 0; turns < 20; turns += 5) {
    const world = new DelayWorld();
    await world.start();
    const dueMs = world.clock.nowMs + 100;
    world.schedule({ topic: 't', value: 'first', dueMs, unique: 'k' });
    await world.settle();
    world.publishTurns = 10;
    world.clock.jump(100);
    world.clock.fire();
    await world.turns(turns);
    world.schedule({ topic: 't', value: 'second', dueMs, unique: 'k' });
    await passes(world, 3_000);
    assert.deepEqual(values(world), ['first', 'second']);
    assert.equal(world.cluster.pending, 0);
    assert.equal(world.cluster.loop.window.size, 0);
    await world.stop();
  }
});

test('what stands is written again once for all that come meanwhile, and outlives each', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 60_000;
  const first = { topic: 't', unique: 'k', dueMs };
  world.schedule({ ...first, value: 'first' });
  await world.settle();
  world.publishTurns = 10;
  for (let i = 0; i < 200; i++) {
    world.schedule({ ...first, value: 'other', ifAbsent: true });
    await world.turns(1);
  }
  await world.settle();
  const again = world.log.length - 201;
  assert(again > 0 && again < 50, `${again} times`);
  world.log.compact();
  await world.stop();
  world.store = new MemoryStore();
  await world.start();
  await world.jump(60_000);
  assert.deepEqual(values(world), ['first']);
  await world.stop();
});

test('what is written again in a place that is not told is written once', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 60_000;
  const first = { topic: 't', unique: 'k', dueMs };
  world.schedule({ ...first, value: 'first' });
  await world.settle();
  world.isPlaceUntold = true;
  world.publishTurns = 10;
  world.schedule({ ...first, value: 'other', ifAbsent: true });
  await world.turns(5);
  assert.equal(world.log.length, 2);
  world.log.isHeld = true;
  await world.turns(500);
  assert.equal(world.log.length, 3, 'while it is not applied');
  world.log.isHeld = false;
  world.log.pump();
  await world.settle();
  assert.equal(world.log.length, 3);
  // Nothing is being written any more that would keep its place from a command.
  assert.equal(
    await world.does(world.commands.move(delayIdOfKey('t', Buffer.from('k')), dueMs + 1)),
    'moved',
  );
  await world.jump(60_001);
  assert.deepEqual(values(world), ['first']);
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('a log that takes nothing is said once in ten seconds, however much is written again', async () => {
  const world = new DelayWorld();
  const { log, lines } = keptLog();
  world.logger = log;
  await world.start();
  const of = (unique: string) => ({ topic: 't', unique, dueMs: world.clock.nowMs + 60_000 });
  const keys = ['a', 'b', 'c', 'd'];
  for (const key of keys) world.schedule({ ...of(key), value: 'first' });
  await world.settle();
  for (const key of keys) world.schedule({ ...of(key), value: 'other', ifAbsent: true });
  world.logIsAway = true;
  for (let second = 0; second < 15; second++) await world.jump(1_000);
  assert.deepEqual(
    lines.map(({ code, msg }) => [code, msg]),
    [1, 2].map(() => ['BACKEND_UNAVAILABLE', 'delayed messages are written again']),
  );
  await world.stop();
});

/** Time goes on in steps, some turns of the loop each, whatever happens. */
async function passes(world: DelayWorld, ms: number): Promise<void> {
  for (let i = 0; i < ms; i += 10) {
    world.clock.jump(10);
    world.clock.fire();
    await world.turns(5);
  }
}
