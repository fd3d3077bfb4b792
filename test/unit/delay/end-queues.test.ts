import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Publisher, PublishRecord } from '../../../src/backend/publisher-port.ts';
import { limits } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { DueWindow } from '../../../src/delay/due-window.ts';
import { EndQueues } from '../../../src/delay/end-queues.ts';
import { DelayWorld, JumpClock } from './delay-world.ts';

const stuck = 3;
const free = 5;

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
    record: ({ id }) => ({
      topic: 'log',
      partition: id[1] as number,
      key: id,
      value: null,
      headers: Buffer.alloc(0),
    }),
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
