import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanUp } from '../support/clean-up.ts';
import { connect } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { metric } from '../support/node-state.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { RawConsumer } from '../support/raw-consumer.ts';
import { uniqueTopic } from '../support/topics.ts';
import { addressOf, startBetween, untilCluster, untilReady } from '../support/two-clusters.ts';
import { until } from '../support/wait.ts';

const skip = skipWithoutKafka();
const timeoutMs = 90_000;
const CONSUMERS = 16;

/** What of a topic a group has not finished in a cluster, as Kafka tells it. */
async function leftIn(brokers: string, group: string, topic: string): Promise<number> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    const ends = await admin.fetchTopicOffsets(topic);
    const [commits] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
    const floors = new Map(commits?.partitions.map((p) => [p.partition, Number(p.offset)]));
    return ends.reduce((left, { partition, low, high }) => {
      const floor = Math.max(Number(low), floors.get(partition) ?? 0);
      return left + Number(high) - floor;
    }, 0);
  } finally {
    await admin.disconnect();
  }
}

async function valuesIn(brokers: string, topic: string): Promise<string[]> {
  return (await readTopic(brokers, topic)).map(({ value }) => String(value));
}

test('consumers read both clusters through a fail-over and back, and nothing is left on either', {
  skip,
}, async () => {
  const heap = { heapMaxMib: 320 };
  const [first, second] = await Promise.all([startKafka(heap), startKafka(heap)]);
  const server = await startBetween({ primary: first.address, backup: second.address });
  await untilReady(server);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  const crew = await ProducerCrew.start({
    server: addressOf(server),
    topics: [topic],
    clients: 4,
    window: 8,
    ratePerSecond: 400,
  });
  await until(() => crew.answered.length > 0, { timeoutMs, what: 'the topic to be there' });
  /** Of each value the clusters whose copy of it was acked. */
  const acked = new Map<string, Set<number>>();
  const from = [0, 0];
  for (let i = 0; i < CONSUMERS; i++) {
    const consumer = await RawConsumer.open(server.mqp, { group, topics: [topic] });
    consumer.onDelivered = (messages) => {
      for (const { cluster } of messages) from[cluster] = (from[cluster] ?? 0) + 1;
      const settled = consumer.ack(messages).then((failed) => {
        if (failed.length > 0) return;
        for (const { value, cluster } of messages) {
          acked.set(value, (acked.get(value) ?? new Set()).add(cluster));
        }
      });
      settled.catch(() => {});
    };
  }
  await until(() => (from[0] ?? 0) > 100, { timeoutMs, what: 'messages of the primary' });
  first.pause();
  await untilCluster(server, 'the backup to be used', ({ inUse }) => inUse === 'backup');
  await until(() => (from[1] ?? 0) > 200, { timeoutMs, what: 'messages of the backup' });
  const client = await connect(server, { timeoutMs: 60_000 });
  cleanUp(() => client.close());
  const half = await client.groups.describe(group);
  assert.deepEqual(half.unreachable, [0]);
  assert(half.partitions.length > 0 && half.partitions.every(({ cluster }) => cluster === 1));
  first.resume();
  await untilCluster(
    server,
    'the primary to be used again',
    ({ inUse, elsewhere }) => inUse === 'primary' && elsewhere.length === 0,
  );
  const before = from[0] ?? 0;
  await until(() => (from[0] ?? 0) > before + 100, { timeoutMs, what: 'the primary once more' });
  await crew.stop();
  assert.deepEqual(crew.failed, []);
  const isDone = () => crew.answered.every(({ value }) => acked.has(value));
  await until(isDone, { timeoutMs, what: 'every answered message to be acked' });
  for (const { address } of [second, first]) {
    const isEmpty = async () => (await leftIn(address, group, topic)) === 0;
    await until(isEmpty, { timeoutMs, what: `nothing to be left on ${address}`, everyMs: 200 });
  }
  const { partitions, unreachable } = await client.groups.describe(group);
  assert.equal(unreachable, undefined);
  const clusters = [0, 1].map((n) => partitions.filter((p) => p.cluster === n && p.lag === 0));
  assert.deepEqual(
    clusters.map(({ length }) => length > 0),
    [true, true],
  );
  // What was on its way when the primary froze is in both, with one id.
  const there = (
    await Promise.all([first, second].map(({ address }) => valuesIn(address, topic)))
  ).flat();
  const copies = there.length - new Set(there).size;
  const dropped = await metric(server, 'mqproxy_consume_duplicate_messages_total');
  console.log(
    `consumed ${acked.size}, delivered primary=${from[0]} backup=${from[1]}, ` +
      `copies=${copies} dropped=${dropped}`,
  );
  assert(dropped >= copies, `${dropped} of ${copies} copies were dropped`);
  const twice = [...acked].filter(([, clusters]) => clusters.size > 1);
  assert.deepEqual(twice.slice(0, 5), [], 'copies were delivered');
});
