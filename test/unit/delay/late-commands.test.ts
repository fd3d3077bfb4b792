import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayWorld } from './delay-world.ts';

const hour = 3_600_000;
const late = { code: 'BACKEND_UNAVAILABLE', message: /may be done yet; give the command again$/ };

test('a command to a cluster that says nothing is answered in five seconds, and given again says what became of it', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, clock } = world;
  const dueMs = clock.nowMs + hour;
  const [cancelled, moved, again] = ['a', 'b', 'c'].map((value) =>
    world.schedule({ topic: 't', value, dueMs }),
  ) as [Buffer, Buffer, Buffer];
  await world.settle();
  world.frozen.add('__mqproxy.delay');
  const tries = [
    commands.cancel(cancelled),
    commands.move(moved, dueMs + hour),
    commands.cancel(again),
  ];
  for (const one of tries) one.catch(() => {});
  await world.jump(4_999);
  await world.jump(1);
  for (const one of tries) await assert.rejects(one, late);
  // The same joins the one that is on its way; another command for the message does not.
  const joined = commands.cancel(again);
  await assert.rejects(commands.move(again, dueMs + hour), { code: 'RETRY_LATER' });
  world.frozen.clear();
  assert.equal(await world.does(joined), 'cancelled');
  await world.settle();
  assert.equal(await world.does(commands.cancel(cancelled)), 'cancelled');
  assert.equal(await world.does(commands.cancel(cancelled)), 'notFound', 'it is said once');
  assert.equal(await world.does(commands.move(moved, dueMs + hour)), 'moved');
  await world.jump(2 * hour);
  assert.deepEqual(
    world.fired.map(({ value, dueMs: at }) => [value, at]),
    [['b', dueMs + hour]],
  );
  await world.stop();
});

test('what was done late says nothing of another message that came under its key', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, clock } = world;
  const one = { topic: 't', unique: 'k', dueMs: clock.nowMs + hour };
  const id = world.schedule({ ...one, value: 'old' });
  await world.settle();
  world.frozen.add('__mqproxy.delay');
  const cancelled = commands.cancel(id);
  cancelled.catch(() => {});
  await world.jump(5_000);
  await assert.rejects(cancelled, late);
  world.frozen.clear();
  await world.settle();
  world.schedule({ ...one, value: 'new' });
  await world.settle();
  assert.equal(await world.does(commands.cancel(id)), 'cancelled');
  assert.equal(world.cluster.pending, 0, 'the new one is ended, not passed over');
  await world.stop();
});

test('a late command that failed leaves the message as it was, and nothing behind', async () => {
  const world = new DelayWorld();
  await world.start();
  const { commands, clock } = world;
  const id = world.schedule({ topic: 't', value: 'a', dueMs: clock.nowMs + hour });
  await world.settle();
  world.frozen.add('__mqproxy.delay');
  const cancelled = commands.cancel(id);
  cancelled.catch(() => {});
  await world.jump(5_000);
  await assert.rejects(cancelled, late);
  world.logIsAway = true;
  world.frozen.clear();
  await world.settle();
  world.logIsAway = false;
  await world.jump(hour);
  assert.equal(world.fired.length, 1);
  assert.equal(await world.does(commands.cancel(id)), 'notFound');
  await world.stop();
});
