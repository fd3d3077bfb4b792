import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { DelayIndex } from '../../../src/delay/delay-index.ts';
import { PendingCount } from '../../../src/delay/pending-count.ts';
import { DelayWorld, JumpClock } from './delay-world.ts';

const day = 86_400_000;

test('a backlog that is applied late is not in doubt', async (t) => {
  const counting = t.mock.method(DelayIndex.prototype, 'idsOf');
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + day;
  for (let i = 0; i < 5; i++) world.schedule({ topic: 't', value: `${i}`, dueMs: dueMs + i });
  await world.jump(60_000);
  await world.jump(60_000);
  assert.deepEqual([world.cluster.pending, counting.mock.callCount()], [5, 0]);
  await world.stop();
});

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

test('a copy of a message that fired, and is not ended yet, is counted out once', async () => {
  const world = new DelayWorld();
  await world.start();
  const soon = world.clock.nowMs + 100;
  const partition = 3;
  world.schedule({ topic: 't', value: 'waits', dueMs: soon + day, partition });
  world.schedule({ topic: 't', value: 'fires', dueMs: soon, partition });
  await world.settle();
  world.leaderless = partition;
  await world.jump(100);
  world.leaderless = undefined;
  world.resend();
  await world.settle();
  await world.jump(2_000);
  await world.jump(30_000);
  await world.jump(30_000);
  assert.deepEqual(
    world.fired.map(({ value }) => value),
    ['fires'],
  );
  assert.equal(world.cluster.pending, 1);
  await world.stop();
});

/** An index of so many lines, and how often they were counted. */
function countedIndex(lines: number) {
  const counted = { times: 0 };
  const index = {
    async *idsOf() {
      counted.times++;
      for (let i = 0; i < lines; i++) yield Buffer.of(i);
    },
    progress: async () => ({ applied: 0, pending: 0 }),
    write: async () => {},
  } as unknown as DelayIndex;
  return { counted, index };
}

test('what was sent late is in doubt: counted once when no more comes, and not for having been applied late', async () => {
  const clock = new JumpClock();
  const { counted, index } = countedIndex(3);
  const count = new PendingCount({ index, clock, work: (task) => task() });
  count.begin(0, 5);
  const jump = async (ms: number) => {
    clock.jump(ms);
    for (let i = 0; i < 20; i++) {
      clock.fire();
      await setImmediate();
    }
  };
  count.applied(0, 999);
  await jump(60_000);
  assert.deepEqual([counted.times, count.total], [0, 5]);
  for (let second = 0; second < 30; second++) {
    count.applied(0, 5_000);
    await jump(1_000);
  }
  assert.deepEqual([counted.times, count.total], [0, 5], 'more comes');
  await jump(10_000);
  assert.deepEqual([counted.times, count.total], [1, 3]);
  await jump(60_000);
  assert.equal(counted.times, 1);
});
