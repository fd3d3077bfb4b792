import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { delayIdOfMessage } from '../../../protocol/src/delay-id.ts';
import type { ConsumerBackend } from '../../../src/backend/consumer-port.ts';
import type { Publisher } from '../../../src/backend/publisher-port.ts';
import { coded } from '../../../src/base/errors.ts';
import { DelayWrites } from '../../../src/delay/delay-writes.ts';
import { LogEnds } from '../../../src/delay/log-ends.ts';
import { keptLog } from '../../support/kept-log.ts';
import { DelayWorld, JumpClock } from './delay-world.ts';

const values = (world: DelayWorld) => world.fired.map(({ value }) => value);

/** An id of a partition under which nothing waits. */
function unknownId(partition: number): Buffer {
  for (let sequence = 1; ; sequence++) {
    const id = delayIdOfMessage({ producerId: 9n, epoch: 1, sequence });
    if (id[1] === partition) return id;
  }
}

test('a partition that nobody leads holds back no other, and comes when somebody does', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 5_000;
  const silent = world.schedule({ topic: 't', value: 'silent', dueMs, partition: 3 });
  world.schedule({ topic: 't', value: 'led', dueMs, partition: 4 });
  const cancelled = world.schedule({ topic: 't', value: 'cancelled', dueMs, partition: 4 });
  await world.settle();
  world.log.lose();
  world.log.untold = 3;
  world.log.assign();
  await world.settle();
  await world.jump(1_000);
  assert.equal(await world.does(world.commands.cancel(cancelled)), 'cancelled');
  assert.equal(await world.does(world.commands.cancel(unknownId(4))), 'notFound');
  const later = { code: 'RETRY_LATER' };
  await assert.rejects(world.does(world.commands.get(silent)), later);
  await assert.rejects(world.commands.list({ limit: 1 }), later, 'it would lack what is there');
  assert.deepEqual(world.cluster.partitions, { own: 16, ready: 15 });
  await world.jump(4_000);
  assert.deepEqual(values(world), ['led']);
  world.log.untold = undefined;
  for (let i = 0; i < 3; i++) await world.jump(1_000);
  assert.deepEqual(values(world), ['led', 'silent']);
  assert.deepEqual((await world.commands.list({ limit: 1 })).delays, []);
  await world.stop();
});

test('partitions are handed over while one is asked for, and none is taken over after that', async () => {
  const world = new DelayWorld();
  world.log.untold = 3;
  await world.start();
  const handed = world.log.revoke();
  await world.does(handed);
  world.log.untold = undefined;
  await world.jump(5_000);
  assert.deepEqual(world.cluster.partitions, { own: 0, ready: 0 });
  await world.stop();
});

test('a node that stops while a partition is not told of keeps what it has in its index', async () => {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 3_600_000;
  for (let partition = 0; partition < 16; partition++) {
    world.schedule({ topic: 't', value: `${partition}`, dueMs, partition });
  }
  await world.settle();
  await world.stop();
  world.log.untold = 3;
  await world.start();
  await world.does(world.stop());
  world.log.untold = undefined;
  await world.start();
  assert.equal(world.cluster.stats.replays, 0);
  assert.equal(world.cluster.pending, 16);
  await world.jump(3_600_000);
  assert.equal(world.fired.length, 16);
  await world.stop();
});

test('an end that the cleaner took is asked for by one tombstone in three seconds', async () => {
  const world = new DelayWorld();
  for (let i = 0; i < 3; i++) world.schedule({ topic: 't', value: 'a', dueMs: 0, partition: 3 });
  world.log.vanish();
  await world.start();
  world.log.heldPartition = 3;
  await world.jump(3_000);
  assert.deepEqual(world.cluster.partitions, { own: 16, ready: 15 });
  await world.jump(2_999);
  assert.equal(world.log.length, 4);
  await world.jump(1);
  assert.equal(world.log.length, 5);
  world.log.heldPartition = undefined;
  world.log.pump();
  await world.jump(1_000);
  assert.deepEqual(world.cluster.partitions, { own: 16, ready: 16 });
  await world.jump(10_000);
  assert.equal(world.log.length, 5);
  await world.stop();
});

test('a cluster that cannot be asked is said once in ten seconds, whatever asks', async () => {
  const { log, lines } = keptLog();
  const clock = new JumpClock();
  const away = () => Promise.reject(coded('BACKEND_UNAVAILABLE', 'away'));
  const publisher = { publish: away } as unknown as Publisher;
  const consumers = { span: away } as unknown as ConsumerBackend;
  const ends = new LogEnds({ consumers, writes: new DelayWrites(publisher), clock, log });
  for (let partition = 0; partition < 16; partition++) {
    ends.ask(
      partition,
      () => true,
      () => {},
    );
    ends.reach({ partition, applied: () => 0 });
  }
  for (let second = 0; second < 10; second++) {
    clock.fire();
    for (let i = 0; i < 20; i++) await setImmediate();
    clock.jump(1_000);
  }
  assert.deepEqual(
    lines.map(({ msg }) => msg),
    ['the delay log cannot be asked', 'the end of the delay log is not reached'],
  );
});
