import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  KafkaInternalTopics,
  type KafkaInternalTopicsOptions,
} from '../../../../src/backend/kafka/kafka-internal-topics.ts';
import type { CreateTopicRequest } from '../../../../src/backend/port.ts';
import { coded } from '../../../../src/base/errors.ts';
import { keptLog } from '../../../support/kept-log.ts';

const spec = { name: '__mqproxy.t', partitions: 1, config: {}, replicationFactor: 'auto' } as const;

/** A cluster of `brokers`, with the topic in `replicas` copies, or without it. */
function clusterOf({ brokers, replicas }: { brokers: number | Error; replicas?: number }) {
  const { log, lines } = keptLog();
  const created: CreateTopicRequest[] = [];
  const found = {
    ...{ name: spec.name, partitions: 1, messageBytesMax: 1, minInsyncReplicas: 1, config: {} },
    ...{ replicationFactor: replicas ?? 1, leaders: [0] },
  };
  const topics: KafkaInternalTopicsOptions['topics'] = {
    describe: async () => (replicas === undefined ? undefined : found),
    create: async (request) => {
      created.push(request);
      return found;
    },
    settings: async () => new Map(),
    brokers: async () => {
      if (brokers instanceof Error) throw brokers;
      return brokers;
    },
  };
  return { internal: new KafkaInternalTopics({ cluster: 1, topics, log }), lines, created };
}

/** Brokers, and the replicas that they can give. */
const mostReplicas = [
  [1, 1],
  [2, 2],
  [5, 3],
] as const;

test('a topic that has kept one replica while its cluster grew is taken, and named once', async () => {
  const { internal, lines } = clusterOf({ brokers: 3, replicas: 1 });
  await internal.ensure(spec);
  await internal.ensure(spec);
  assert.deepEqual(
    lines.map(({ cluster, topic, found, needed }) => [cluster, topic, found, needed]),
    [[1, '__mqproxy.t', '1', '3']],
  );
  assert.match(String(lines[0]?.['msg']), /kafka-reassign-partitions/);
});

test('a topic with as many replicas as its cluster can give is not named', async () => {
  for (const [brokers, replicas] of mostReplicas) {
    const { internal, lines } = clusterOf({ brokers, replicas });
    await internal.ensure(spec);
    assert.deepEqual(lines, []);
  }
});

test('where the number of brokers is not known the topic is taken', async () => {
  const away = coded('BACKEND_UNAVAILABLE', 'away');
  const { internal, lines } = clusterOf({ brokers: away, replicas: 1 });
  await internal.ensure(spec);
  assert.deepEqual(lines, []);
});

test('a number that is set and not met refuses the role', async () => {
  const { internal } = clusterOf({ brokers: 3, replicas: 1 });
  await assert.rejects(internal.ensure({ ...spec, replicationFactor: 2 }), {
    code: 'ROLE_REFUSED',
    message: 'internal topic __mqproxy.t: replication.factor is 1, and must be 2',
  });
});

test('a topic is made with as many replicas as its cluster can give, three at most', async () => {
  for (const [brokers, replicas] of mostReplicas) {
    const { internal, created } = clusterOf({ brokers });
    await internal.ensure(spec);
    assert.equal(created[0]?.replicationFactor, replicas);
  }
});
