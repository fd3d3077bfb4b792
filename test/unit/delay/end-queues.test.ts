import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { DelayIdKind } from '../../../protocol/src/generated.ts';
import type { Publisher, PublishRecord } from '../../../src/backend/publisher-port.ts';
import { limits } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { DueWindow, type NearDelay } from '../../../src/delay/due-window.ts';
import { EndQueues } from '../../../src/delay/end-queues.ts';
import { DelayWorld, JumpClock } from './delay-world.ts';

const stuck = 3;
const free = 5;

const endRecord = ({ id }: NearDelay): PublishRecord => ({
  topic: 'log',
  partition: id[1] as number,
  key: id,
  value: null,
  headers: Buffer.alloc(0),
});

test('a partition that takes nothing is full at its bound, and keeps no other from ending', async () => {
  const clock = new JumpClock();
  const most = { entriesMax: limits.delayNearMax, bytesMax: limits.delayNearBytesMax };
  const window = new DueWindow(most, clock.now(), () => {});
  const ended: number[] = [];
  let rooms = 0;
  let refuses = true;
  const refusal = { code: 'BACKEND_UNAVAILABLE', message: 'away', retriable: true } as const;
  const publisher = {
    publish: async (records: readonly PublishRecord[]) => {
      await setImmediate();
      return records.map(({ partition = 0 }, offset) =>
        refuses && partition === stuck ? refusal : { partition, offset },
      );
    },
  } as unknown as Publisher;
  const ends = new EndQueues({
    publisher,
    clock,
    log: silentLogger(),
    turnMs: 0,
    record: endRecord,
    onEnded: (entries) => void ended.push(...entries.map(({ id }) => id[1] as number)),
    onRoom: () => void rooms++,
  });
  const settle = async () => {
    ends.pump();
    for (let i = 0; i < 100; i++) {
      clock.fire();
      await setImmediate();
    }
  };
  let serial = 0;
  const fire = (partition: number) => {
    const id = Buffer.alloc(24);
    id[1] = partition;
    id.writeUInt32BE(++serial, 20);
    const bytes = Buffer.alloc(1);
    ends.push(
      window.addQueued({ id, dueMs: 0, offset: serial, bytes, topic: 't', isIndexed: true }),
    );
  };
  for (let i = 0; i < limits.delayEndsMax - 1; i++) fire(stuck);
  assert(!ends.isFull(stuck));
  fire(stuck);
  assert(ends.isFull(stuck));
  await settle();
  for (let i = 0; i < 100; i++) fire(free);
  await settle();
  assert.equal(ended.length, 100);
  assert(ended.every((partition) => partition === free));
  assert(!ends.isFull(free));
  assert.equal(rooms, 0);
  refuses = false;
  clock.jump(30_000);
  await settle();
  assert.equal(ended.length, 100 + limits.delayEndsMax);
  assert(!ends.isFull(stuck));
  assert.equal(rooms, 1);
  await ends.close();
});

/** Ends in turns of 8 ms, and the calls that come of them: partitions, and how many of each. */
function turns() {
  const clock = new JumpClock();
  const most = { entriesMax: limits.delayNearMax, bytesMax: limits.delayNearBytesMax };
  const window = new DueWindow(most, clock.now(), () => {});
  const calls: [number, number][] = [];
  const publisher = {
    publish: async (records: readonly PublishRecord[]) => {
      calls.push([records[0]?.partition as number, records.length]);
      return records.map(({ partition = 0 }, offset) => ({ partition, offset }));
    },
  } as unknown as Publisher;
  const ends = new EndQueues({
    publisher,
    clock,
    log: silentLogger(),
    turnMs: 8,
    record: endRecord,
    onEnded: () => {},
    onRoom: () => {},
  });
  let serial = 0;
  const fire = (partition: number, kind: number = DelayIdKind.MESSAGE) => {
    const id = Buffer.alloc(24);
    id[1] = partition;
    id[2] = kind;
    id.writeUInt32BE(++serial, 20);
    const message = { dueMs: 0, offset: serial, bytes: Buffer.alloc(1), topic: 't' };
    ends.push(window.addQueued({ id, ...message, isIndexed: true }));
    ends.pump();
  };
  const pass = async (ms: number) => {
    clock.jump(ms);
    clock.fire();
    await setImmediate();
  };
  return { ends, calls, fire, pass };
}

test('ends of message ids gather until it is the turn of their partition', async () => {
  const { ends, calls, fire, pass } = turns();
  for (let ms = 0; ms < 24; ms++) {
    for (const partition of [2, 7, 11]) fire(partition);
    await pass(1);
  }
  assert.deepEqual(calls, [
    [2, 8],
    [7, 16],
    [11, 24],
  ]);
  await pass(8);
  assert.deepEqual(calls.splice(0).at(-1), [2, 16], 'only those that have something have a turn');
  await pass(8);
  await pass(8);
  calls.length = 0;
  fire(5);
  await pass(8);
  assert.deepEqual(calls, [[5, 1]]);
  await pass(1_000);
  assert.equal(calls.length, 1);
  await ends.close();
});

test('a key and a series are ended at once: their place may be wanted again', async () => {
  for (const kind of [DelayIdKind.KEY, DelayIdKind.SERIES]) {
    const { ends, calls, fire, pass } = turns();
    fire(2);
    fire(7, kind);
    assert.deepEqual(calls, [[7, 1]]);
    await pass(8);
    assert.deepEqual(calls[1], [2, 1]);
    await ends.close();
  }
});

test('what fired is ended when the node closes, or is about to lose partitions', async () => {
  const { ends, calls, fire } = turns();
  for (const partition of [2, 7, 9, 11]) fire(partition);
  await ends.flush([2, 7, 11]);
  assert.deepEqual(calls, [
    [2, 1],
    [7, 1],
    [11, 1],
  ]);
  fire(2);
  fire(3);
  await ends.close();
  assert.deepEqual(calls.slice(3), [
    [2, 1],
    [3, 1],
    [9, 1],
  ]);
});

test('a key that fired makes room for another at once', async () => {
  const world = new DelayWorld();
  world.endsTurnMs = 8;
  await world.start();
  const dueMs = world.clock.nowMs + 1_000;
  const topic = 't';
  world.schedule({ topic, value: 'first', dueMs, unique: 'k', ifAbsent: true });
  await world.jump(1_000);
  world.schedule({ topic, value: 'next', dueMs: dueMs + 1_000, unique: 'k', ifAbsent: true });
  await world.jump(1_000);
  assert.deepEqual(
    world.fired.map(({ value }) => value),
    ['first', 'next'],
  );
  await world.stop();
});

test('what has fired is too late for a command also before it is ended', async () => {
  const world = new DelayWorld();
  world.endsTurnMs = 8;
  await world.start();
  const id = world.schedule({ topic: 't', value: 'it', dueMs: world.clock.nowMs + 1_000 });
  await world.jump(1_000);
  assert.equal(world.cluster.pending, 1, 'it is in the log yet');
  assert.equal(await world.does(world.commands.cancel(id)), 'tooLate');
  assert.deepEqual((await world.commands.list({ limit: 10 })).delays, []);
  await world.jump(16 * 8);
  assert.equal(world.cluster.pending, 0);
  assert.equal(world.cluster.loop.window.size, 0);
  assert.equal(world.fired.length, 1);
  await world.stop();
});

test('partitions are handed over when what fired of them is ended, in two seconds at the latest', async () => {
  const world = new DelayWorld();
  world.endsTurnMs = 8;
  world.publishTurns = 5;
  await world.start();
  const fire = async (topic: string, value: string) => {
    const dueMs = world.clock.nowMs + 1_000;
    for (let i = 0; i < 20; i++) world.schedule({ topic, value, dueMs });
    await world.settle();
    world.clock.jump(1_000);
    world.clock.fire();
  };
  await fire('t', 'first');
  const { length } = world.log;
  await world.does(world.log.revoke());
  assert.equal(world.fired.length, 20);
  assert.equal(world.log.length, length + 20);
  world.log.assign();
  await world.settle();
  world.frozen.add('slow');
  await fire('slow', 'second');
  const beganMs = world.clock.nowMs;
  await world.does(world.log.revoke());
  const tookMs = world.clock.nowMs - beganMs;
  assert(tookMs >= 2_000 && tookMs < 2_100, `${tookMs} ms`);
  world.frozen.clear();
  world.log.assign();
  await world.jump(1_000);
  assert.equal(world.fired.filter(({ value }) => value === 'first').length, 20);
  await world.stop();
});

test('what fired of a leaderless partition is bounded; the rest of it fires when it has a leader', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 1_000;
  const count = limits.delayEndsMax + 3_000;
  for (let i = 0; i < count; i++) {
    world.schedule({ topic: 't', value: `${i}`, dueMs: dueMs + i, partition: stuck });
  }
  for (let i = 0; i < 100; i++) {
    world.schedule({ topic: 'other', value: 'x', dueMs: dueMs + 60_000, partition: free });
  }
  await world.settle();
  world.leaderless = stuck;
  for (let i = 0; i < 4; i++) await world.jump(20_000);
  const of = (topic: string) => world.fired.filter((one) => one.topic === topic);
  assert(of('t').length >= limits.delayEndsMax && of('t').length < count, `${of('t').length}`);
  assert.equal(of('other').length, 100);
  assert.equal(world.cluster.pending, count, 'what fired elsewhere has ended');
  world.leaderless = undefined;
  for (let i = 0; i < 3; i++) await world.jump(30_000);
  const names = of('t').map(({ value }) => Number(value));
  assert.deepEqual(names, [...Array(count).keys()], 'each once, in the order of due times');
  assert.equal(world.cluster.pending, 0);
  assert.equal(world.cluster.loop.window.size, 0);
  await world.stop();
});
