import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cores } from '../support/cores.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { countOf } from '../support/seeded.ts';
import { type Address, startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const MESSAGES = 20_000;
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const BEYOND = countOf('MQP_ACKS_BEYOND', isLong ? 10_000_000 : 100_000);

async function produce(address: Address, count = MESSAGES): Promise<void> {
  const client = await RawClient.connect(address);
  const { topicId } = await client.open('jobs');
  for (let from = 0; from < count; from += 2_000) {
    const values = Array.from({ length: 2_000 }, (_, i) => `m${from + i}`);
    const run = { topic: topicId, first: from + 1, values, partition: 0, batch: true };
    const outcomes = await client.produce(run, 60_000);
    assert(outcomes.every(({ name }) => name === 'OK'));
  }
  client.socket.destroy();
}

/** Acks what `keep` does not hold back, and leaves the rest leased. */
async function consume(address: Address, keep: (offset: number) => boolean, count: number) {
  const asked = { group: 'g', topics: ['jobs'], creditMessages: MESSAGES, leaseMs: 600_000 };
  const consumer = await RawConsumer.open(address, asked);
  const seen: number[] = [];
  let acked = 0;
  let waiting: RawDelivery[] = [];
  const flush = async (): Promise<void> => {
    while (waiting.length > 0) {
      const some = waiting.splice(0, 5_000);
      assert.deepEqual(await consumer.ack(some, true), []);
      acked += some.length;
    }
  };
  consumer.onDelivered = (messages) => {
    for (const message of messages) {
      seen.push(message.offset);
      if (!keep(message.offset)) waiting.push(message);
    }
  };
  await until(() => seen.length >= count, { timeoutMs: 60_000, what: `${count} deliveries` });
  await flush();
  waiting = [];
  return { seen, acked, consumer };
}

test('a map that no commit can hold survives kill -9, and again with the rest of it', async () => {
  const server = await startServer();
  await produce(server.mqp);
  // So scattered that the row of runs is far above what a commit takes.
  const isOpen = (offset: number): boolean => (offset * 7_919) % 10 < 3;
  const first = await consume(server.mqp, isOpen, MESSAGES);
  assert.equal(first.seen.length, MESSAGES);
  await server.kill();
  await server.restart();
  const open = first.seen.filter(isOpen).sort((a, b) => a - b);
  const isStill = (offset: number): boolean => isOpen(offset) && offset % 2 === 0;
  const second = await consume(server.mqp, isStill, open.length);
  assert.deepEqual(
    second.seen.sort((a, b) => a - b),
    open,
  );
  await server.kill();
  await server.restart();
  const third = await consume(server.mqp, () => false, open.filter(isStill).length);
  assert.deepEqual(
    third.seen.sort((a, b) => a - b),
    open.filter(isStill),
  );
});

test('acks beyond an unfinished head never stop the group, and none comes again after a kill', async () => {
  const server = await startServer();
  const asked = { group: 'g', topics: ['jobs'], creditMessages: 20_000, leaseMs: 3_600_000 };
  const client = await RawClient.connect(server.mqp);
  await client.open('jobs');
  client.socket.destroy();
  const consumer = await RawConsumer.open(server.mqp, asked);
  let acked = 0;
  let lastMs = performance.now();
  let longestMs = 0;
  const cores = new Cores();
  let tail: Promise<unknown> = Promise.resolve();
  consumer.onDelivered = (messages) => {
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - lastMs);
    lastMs = nowMs;
    const some = messages.filter(({ offset }) => offset > 0);
    tail = tail.then(async () => {
      // Committed at the last: then all before it is.
      const isLast = acked + some.length === BEYOND - 1;
      if (some.length > 0) assert.deepEqual(await consumer.ack(some, isLast), []);
      acked += some.length;
    });
  };
  await produce(server.mqp, BEYOND);
  const all = { timeoutMs: isLong ? 1_200_000 : 60_000, what: 'all but the head to be acked' };
  await until(() => acked >= BEYOND - 1, all);
  await tail;
  if (cores.wereThere(`acked=${acked} longest pause=${Math.round(longestMs)}ms`))
    assert(longestMs < 10_000, `nothing came for ${longestMs} ms`);
  await server.kill();
  await server.restart();
  const again = await RawConsumer.open(server.mqp, asked);
  const [head] = await again.take(1);
  assert.deepEqual([head?.offset, head?.value], [0, 'm0']);
  // What is produced now is read behind all that was acked: nothing else is on its way.
  const fresh = await RawClient.connect(server.mqp);
  const { topicId } = await fresh.open('jobs');
  await fresh.produce({ topic: topicId, first: 1, values: ['new'], partition: 0 });
  const [next] = await again.take(1);
  assert.deepEqual([next?.offset, next?.value, again.got.length], [BEYOND, 'new', 0]);
  fresh.socket.destroy();
});
