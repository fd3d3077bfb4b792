import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { AdminClient } from '../../../../src/backend/kafka/admin-client.ts';
import {
  KafkaConsumers,
  type KafkaConsumersOptions,
} from '../../../../src/backend/kafka/kafka-consumers.ts';
import type { KafkaTopic } from '../../../../src/backend/kafka/kafka-topics.ts';
import { TailPool } from '../../../../src/backend/kafka/tail-pool.ts';
import { systemClock } from '../../../../src/base/clock.ts';
import { createLogger } from '../../../../src/base/log.ts';
import type { KafkaTail } from '../../../../src/native/kafka.ts';
import { FakeClock } from '../embedded/doubles.ts';

/** A cluster with one topic, `t`, and what was asked of its leaders. */
function cluster(leaders: readonly number[]) {
  const asked: number[] = [];
  const tails = {
    offsets: async ({ partition }: { partition: number }) => {
      asked.push(partition);
      return { startOffset: 5, endOffset: 5 + partition };
    },
  } as unknown as TailPool;
  const topics = { leaders: async (name: string) => (name === 't' ? leaders : undefined) };
  const options = { cluster: 0, config: {}, clock: systemClock, tails, topics };
  const consumers = new KafkaConsumers(options as unknown as KafkaConsumersOptions);
  return { consumers, asked, tails };
}

test('the span of a partition is asked of its leader alone, and of nobody where there is none', async () => {
  const { consumers, asked } = cluster([1, -1, 2]);
  assert.deepEqual(await consumers.span({ topic: 't', partition: 2 }), {
    partition: 2,
    startOffset: 5,
    endOffset: 7,
    leader: 2,
  });
  const unled = consumers.span({ topic: 't', partition: 1 });
  await assert.rejects(unled, { code: 'BACKEND_UNAVAILABLE' });
  assert.deepEqual(asked, [2], 'the question would stand before those of others');
  const unknown = consumers.span({ topic: 't', partition: 3 });
  await assert.rejects(unknown, { code: 'UNKNOWN_PARTITION' });
  const missing = consumers.span({ topic: 'u', partition: 0 });
  await assert.rejects(missing, { code: 'UNKNOWN_TOPIC' });
});

test('a partition that a reader does not know yet is asked for again', async () => {
  const { consumers, tails } = cluster([1]);
  tails.offsets = () => Promise.reject(Object.assign(new Error('no'), { kafkaCode: -190 }));
  const span = consumers.span({ topic: 't', partition: 0 });
  await assert.rejects(span, { code: 'BACKEND_UNAVAILABLE', retryAfterMs: 1000 });
});

/** More than reads may be under way in the pool. */
const PARTITIONS = 2_500;

/** A cluster of one topic: partition p begins at p, ends at 2 p, and is at 3 p at any time. */
function largeCluster() {
  const clock = new FakeClock();
  const asked: string[] = [];
  const reader: KafkaTail = {
    read: () => assert.fail('not read in these tests'),
    offsets: async ({ partition }) => ({ startOffset: partition, endOffset: 2 * partition }),
    close: async () => undefined,
  };
  const admin = {
    fetchTopicOffsetsByTimestamp: async (topic: string) => {
      asked.push(topic);
      return Array.from({ length: PARTITIONS }, (_, partition) => {
        return { partition, offset: `${3 * partition}` };
      });
    },
  };
  const topic: KafkaTopic = {
    name: 'orders',
    partitions: PARTITIONS,
    messageBytesMax: 1_048_588,
    replicationFactor: 3,
    minInsyncReplicas: 2,
    config: {},
    leaders: Array.from({ length: PARTITIONS }, () => 1),
  };
  const consumers = new KafkaConsumers({
    cluster: 0,
    config: {},
    client: {
      run: (_: string, task: (with_: typeof admin) => Promise<unknown>) => task(admin),
    } as unknown as AdminClient,
    topics: {
      describe: async () => topic,
      leaders: async () => topic.leaders,
      list: async () => [],
    },
    tails: new TailPool({ make: () => reader, clock }),
    clock,
    logger: createLogger('error'),
    openGroup: () => assert.fail('nobody joins in these tests'),
  });
  return { consumers, asked };
}

const places = Array.from({ length: PARTITIONS }, (_, partition) => ({
  topic: 'orders',
  partition,
}));

test('a group of more partitions than may be read at once begins at any place', async () => {
  const { consumers, asked } = largeCluster();
  const at = (factor: number) => places.map(({ partition }) => factor * partition);
  assert.deepEqual(await consumers.positions(places, 'beginning'), at(1));
  assert.deepEqual(await consumers.positions(places, 'end'), at(2));
  assert.deepEqual(await consumers.positions(places, { timeMs: 5 }), at(3));
  assert.deepEqual(asked, ['orders'], 'one answer is of all partitions');
});

test('a topic of more partitions than may be read at once shows the offsets of each', async () => {
  const { consumers } = largeCluster();
  const found = await consumers.offsets('orders');
  assert.deepEqual(
    found.map(({ partition, endOffset, leader }) => [partition, endOffset, leader]),
    places.map(({ partition }) => [partition, 2 * partition, 1]),
  );
});

test('a partition that the topic does not have is unknown', async () => {
  const { consumers } = largeCluster();
  const place = { topic: 'orders', partition: PARTITIONS };
  await assert.rejects(consumers.positions([place], { timeMs: 5 }), { code: 'UNKNOWN_PARTITION' });
});
