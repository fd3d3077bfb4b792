import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayWorld } from './delay-world.ts';

const hour = 3_600_000;

/** A world in which messages wait: so many of `others`, and then so many of `t`. */
async function worldOf(counts: { readonly others: number; readonly t: number }) {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + hour;
  for (let i = 0; i < counts.others; i++) world.schedule({ topic: 'others', value: '', dueMs });
  const first = dueMs + 1;
  const ids = Array.from({ length: counts.t }, (_, i) =>
    world.schedule({ topic: 't', value: '', dueMs: first + i }),
  );
  await world.settle();
  return { world, ids, first };
}

test('what waits for a topic is counted, beyond what a page of a list has and among others', async () => {
  const { world, ids, first } = await worldOf({ others: 2_500, t: 1_001 });
  const count = async (topic: string) => {
    const { pending, atLeast, nextDueMs } = await world.does(world.commands.stats(topic));
    return { pending, atLeast, nextDueMs };
  };
  assert.deepEqual(await count('t'), { pending: 1_001, atLeast: undefined, nextDueMs: first });
  await world.does(world.commands.cancel(ids[0] as Buffer));
  assert.deepEqual(await count('t'), { pending: 1_000, atLeast: undefined, nextDueMs: first + 1 });
  const none = { pending: 0, atLeast: undefined, nextDueMs: undefined };
  assert.deepEqual(await count('nothing'), none);
  await world.stop();
});

test('a count that takes two seconds ends, and says that there may be more', async () => {
  const { world } = await worldOf({ others: 100, t: 3_000 });
  const counted = world.commands.stats('t');
  await world.turns(20);
  world.clock.jump(2_000);
  const { pending, atLeast } = await world.does(counted);
  assert.deepEqual([pending, atLeast], [1_900, true]);
  await world.stop();
});

test('topics that take nothing are named, by the count of all and by their own', async () => {
  const { world } = await worldOf({ others: 1, t: 1 });
  world.refusing.add('t');
  await world.jump(2 * hour);
  const named = async (topic?: string) =>
    (await world.does(world.commands.stats(topic))).stuckTopics;
  assert.deepEqual(await named(), ['t']);
  assert.deepEqual(await named('t'), ['t']);
  assert.equal(await named('others'), undefined);
  world.refusing.clear();
  await world.jump(60_000);
  assert.equal(await named(), undefined);
  await world.stop();
});
