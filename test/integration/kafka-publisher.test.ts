import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import kafkajs from 'kafkajs';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { type MessageHeader, writeTailHeaders } from '../../protocol/src/message-headers.ts';
import { encodeMqHeader } from '../../protocol/src/mq-header.ts';
import type { PublishRecord } from '../../src/backend/publisher-port.ts';
import { partitionOf } from '../../src/native/addon.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { kafkaCluster } from '../support/kafka-cluster.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { uniqueTopic } from '../support/topics.ts';

const skip = skipWithoutKafka();
const brokers = skip === false ? await sharedKafka() : '';
const none = Buffer.alloc(0);

const record = (topic: string, more: Partial<PublishRecord> = {}): PublishRecord => ({
  topic,
  key: null,
  value: Buffer.from('value'),
  headers: none,
  ...more,
});

function tailHeaders(headers: readonly MessageHeader[]): Buffer {
  const writer = new FrameWriter();
  writeTailHeaders(writer, headers);
  return Buffer.from(writer.view());
}

async function made(config: Record<string, string> = {}, partitions = 4) {
  const cluster = kafkaCluster(brokers);
  const topic = uniqueTopic('publish');
  await cluster.topics.create({ name: topic, partitions, replicationFactor: 1, config });
  return { cluster, topic };
}

describe('publishing to Kafka', { skip }, () => {
  test('records go out as they are, with the id they bring, and say where they are', async () => {
    const { cluster, topic } = await made();
    const key = Buffer.from('a key');
    const id = { producerId: 5n, epoch: 6, sequence: 7, originNode: 8n, acceptedMs: 9 };
    const large = Buffer.alloc(70_000, 'h');
    const headers = tailHeaders([
      { name: 'mq', value: encodeMqHeader(id) },
      { name: 'large', value: large },
      { name: 'none', value: null },
    ]);
    const partition = partitionOf(key, 4);
    const other = (partition + 1) % 4;
    const results = await cluster.publisher.publish([
      record(topic, { key, headers }),
      record(topic, { key, value: null }),
      record(topic, { partition: other }),
    ]);
    assert.deepEqual(results, [
      { partition, offset: 0 },
      { partition, offset: 1 },
      { partition: other, offset: 0 },
    ]);
    assert.equal(cluster.publisher.inFlightBytes, 0);
    const found = await readTopic(brokers, topic);
    const [first, second] = found.filter((one) => one.partition === partition);
    assert.equal(first?.mq?.producerId, 5n);
    assert.equal(first?.mq?.sequence, 7);
    assert.deepEqual(first?.key, key);
    const [name, value] = first?.headers[0] ?? [];
    assert.deepEqual([name, value], ['large', large]);
    assert.equal(second?.value, null);
    assert.equal(second?.mq, undefined, 'nothing is added');
  });

  test('many calls at once keep their order, each with its own results', async () => {
    const { cluster, topic } = await made({}, 2);
    const calls = Array.from({ length: 100 }, (_, call) =>
      cluster.publisher.publish(
        Array.from({ length: 50 }, (_, i) =>
          record(topic, { partition: call % 2, value: Buffer.from(`${call}/${i}`) }),
        ),
      ),
    );
    const results = await Promise.all(calls);
    const found = await readTopic(brokers, topic);
    assert.equal(found.length, 5000);
    const byPlace = new Map(
      found.map((one) => [`${one.partition}/${one.offset}`, one.value?.toString()]),
    );
    for (const [call, ofCall] of results.entries()) {
      for (const [i, result] of ofCall.entries()) {
        assert.ok('offset' in result);
        assert.equal(byPlace.get(`${result.partition}/${result.offset}`), `${call}/${i}`);
      }
    }
    const calledFirst = found.filter((one) => one.partition === 0).map((one) => one.value);
    assert.equal(String(calledFirst[0]), '0/0');
    assert.equal(String(calledFirst.at(-1)), '98/49');
  });

  test('refuses for good only what is refused alone, and a missing topic for now', async () => {
    const { cluster, topic } = await made({ 'max.message.bytes': '1000' }, 1);
    const missing = uniqueTopic('missing');
    const results = await cluster.publisher.publish([
      record(topic, { value: Buffer.alloc(400, 'a') }),
      record(topic, { value: Buffer.alloc(400, 'b') }),
      record(topic, { value: Buffer.alloc(400, 'c') }),
      record(topic, { value: Buffer.alloc(2000, 'd') }),
      record(topic, { partition: 7 }),
      record(missing),
    ]);
    assert.deepEqual(
      results.map((result) => ('code' in result ? [result.code, result.retriable] : 'stored')),
      [
        'stored',
        'stored',
        'stored',
        ['MESSAGE_TOO_LARGE', false],
        ['UNKNOWN_PARTITION', false],
        ['UNKNOWN_TOPIC', true],
      ],
    );
    assert.equal((await readTopic(brokers, topic)).length, 3);
    await cluster.publisher.close();
    await assert.rejects(cluster.publisher.publish([record(topic)]), { code: 'DRAINING' });
  });
});

describe('internal topics on Kafka', { skip }, () => {
  test('are made as asked, kept, and refused in words once they are weakened', async () => {
    const { internalTopics } = kafkaCluster(brokers);
    const name = uniqueTopic('__mqproxy.test');
    const spec = {
      name,
      partitions: 2,
      replicationFactor: 'auto',
      config: { 'cleanup.policy': 'compact', 'retention.ms': '-1' },
      madeWith: { 'segment.bytes': '16777216' },
    } as const;
    await internalTopics.ensure(spec);
    await internalTopics.ensure(spec);
    await assert.rejects(internalTopics.ensure({ ...spec, partitions: 3 }), {
      code: 'ROLE_REFUSED',
      message: `internal topic ${name}: partitions is 2, and must be 3`,
    });
    await assert.rejects(internalTopics.ensure({ ...spec, replicationFactor: 3 }), {
      message: `internal topic ${name}: replication.factor is 1, and must be 3`,
    });
    const admin = kafkaClient(brokers).admin();
    await admin.connect();
    const type = kafkajs.ConfigResourceTypes.TOPIC;
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type, name, configNames: ['segment.bytes'] }],
    });
    assert.equal(resources[0]?.configEntries[0]?.configValue, '16777216', 'it was made with that');
    const alter = (settings: Record<string, string>) => {
      const configEntries = Object.entries(settings).map(([key, value]) => ({ name: key, value }));
      return admin.alterConfigs({
        validateOnly: false,
        resources: [{ type, name, configEntries }],
      });
    };
    await alter({ ...spec.config, 'segment.bytes': '33554432' });
    await internalTopics.ensure(spec);
    await alter({ 'cleanup.policy': 'delete', 'retention.ms': '-1' });
    await admin.disconnect();
    await assert.rejects(internalTopics.ensure(spec), {
      code: 'ROLE_REFUSED',
      message: `internal topic ${name}: cleanup.policy is delete, and must be compact`,
    });
    const greedy = { ...spec, name: `${name}-2`, replicationFactor: 3 };
    await assert.rejects(internalTopics.ensure(greedy), { code: 'ROLE_REFUSED' });
  });
});
