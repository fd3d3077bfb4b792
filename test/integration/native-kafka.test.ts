import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KAFKA_CODE, openKafkaTail } from '../../src/native/kafka.ts';
import { sharedKafka, skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { until } from '../support/wait.ts';
import { TestLane } from '../unit/native/kafka-lane.ts';
import { tailRecords } from '../unit/native/kafka-records.ts';

const skip = skipWithoutKafka();
let names = 0;
const freshName = () => `native-${process.pid}-${++names}`;

function realLane(address: string, config: Record<string, string> = {}): TestLane {
  return new TestLane({
    config: { 'test.mock.num.brokers': '0', 'bootstrap.servers': address, ...config },
  });
}

async function createTopic(
  address: string,
  topic: string,
  numPartitions = 4,
  config: Record<string, string> = {},
): Promise<void> {
  const admin = kafkaClient(address).admin();
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  await admin.connect();
  await admin.createTopics({
    topics: [{ topic, numPartitions, replicationFactor: 1, configEntries }],
  });
  await admin.disconnect();
}

test('records arrive with one header of ours, the user headers and the key', { skip }, async () => {
  const address = await sharedKafka();
  const topic = freshName();
  await createTopic(address, topic);
  const lane = realLane(address);
  await lane.topic(1, topic);
  lane.produce([
    {
      topic: 1,
      key: 'k',
      headers: [
        ['h', 'x'],
        ['h', 'y'],
      ],
      value: 'one',
    },
    { topic: 1, partition: 3, value: null },
  ]);
  const placed = await lane.hasVerdicts(2);
  await lane.producer.setTopic(1, topic, { idHeader: false });
  lane.produce([{ topic: 1, partition: 3, value: 'bare' }]);
  await lane.hasVerdicts(3);
  const records = await readTopic(address, topic);
  const one = records.find((r) => r.value?.toString() === 'one');
  assert.equal(one?.key?.toString(), 'k');
  assert.deepEqual(
    one?.headers.map(([name, value]) => [name, value.toString()]),
    [
      ['h', 'x'],
      ['h', 'y'],
    ],
  );
  assert.equal(one?.mq?.id, '0000000000000007-1-1');
  assert.equal(one?.mq?.originNode, 0x0102030405060708n);
  assert.equal(one?.mq?.acceptedMs, 1_700_000_000_000);
  const place = placed.find((v) => v.sequence === 1);
  assert.deepEqual([one?.partition, one?.offset], [place?.partition, place?.offset]);
  const [nothing, bare] = records.filter((r) => r.partition === 3).slice(-2);
  assert.equal(nothing?.value, null);
  assert.equal(nothing?.mq?.sequence, 2);
  assert.equal(bare?.mq, undefined);
  await lane.close();
});

test('a topic that does not exist waits, and is ready once it was created', { skip }, async () => {
  const address = await sharedKafka();
  const topic = freshName();
  const lane = realLane(address);
  lane.producer.setTopic(1, topic);
  assert.equal(lane.produce([{ topic: 1, value: 'v' }]).sent, 0);
  const absent = await lane.producer.metadata({ topic, timeoutMs: 5_000 });
  assert.equal(absent.topics[0]?.code, KAFKA_CODE.UNKNOWN_TOPIC_OR_PARTITION);
  await createTopic(address, topic, 2);
  await until(() => lane.ready.includes(1), { what: 'the ready row' });
  assert.equal(lane.producer.partitionCount(1), 2);
  assert.equal(lane.produce([{ topic: 1, value: 'v' }], { firstSequence: 1 }).sent, 1);
  assert.equal((await lane.hasVerdicts(1))[0]?.code, 0);
  await lane.close();
});

test('after a refusal one message goes alone, until the broker takes one', { skip }, async () => {
  const address = await sharedKafka();
  const topic = freshName();
  await createTopic(address, topic, 1, { 'max.message.bytes': '2000' });
  const lane = realLane(address);
  await lane.topic(1, topic);
  await lane.open(1);
  const before = lane.verdicts.length;
  const small = Array.from({ length: 5 }, () => ({ topic: 1, value: 'v' }));
  assert.equal(lane.produce(small).sent, 5);
  await lane.hasVerdicts(before + 5);
  assert.equal(lane.produce([{ topic: 1, value: Buffer.alloc(4_000) }]).sent, 1);
  const refused = (await lane.hasVerdicts(before + 6)).at(-1);
  assert.equal(refused?.code, KAFKA_CODE.MESSAGE_TOO_LARGE);
  assert.equal(lane.produce(small).sent, 1);
  await lane.hasVerdicts(before + 7);
  assert.equal(lane.produce(small).sent, 5);
  await lane.hasVerdicts(before + 12);
  await lane.close();
});

test('tail finds a position by time, and an unknown topic has a code', { skip }, async () => {
  const address = await sharedKafka();
  const topic = freshName();
  await createTopic(address, topic, 1);
  const lane = realLane(address);
  await lane.topic(1, topic);
  lane.produce([{ topic: 1, value: 'a' }]);
  await lane.hasVerdicts(1);
  const tail = openKafkaTail({ config: { 'bootstrap.servers': address } });
  const common = { topic, partition: 0, bytesMax: 1 << 20, waitMs: 5_000, position: 0 };
  const first = await tail.read({ ...common, from: 1 });
  const [a] = tailRecords(first.records);
  await until(() => Date.now() > (a?.timestampMs ?? 0) + 2, { what: 'a later time' });
  lane.produce([{ topic: 1, value: 'b' }]);
  await lane.hasVerdicts(2);
  const later = await tail.read({ ...common, from: 3, position: (a?.timestampMs ?? 0) + 1 });
  assert.equal(tailRecords(later.records)[0]?.value?.toString(), 'b');
  const lost = tail.read({ ...common, topic: freshName(), from: 1 });
  await assert.rejects(lost, (error: { kafkaCode?: number }) => {
    assert.ok(error.kafkaCode === -188 || error.kafkaCode === 3 || error.kafkaCode === -190);
    return true;
  });
  await tail.close();
  await lane.close();
});

test('after a crash of the broker everything in flight is confirmed, or purged', {
  skip,
}, async () => {
  const broker = await startKafka();
  const topic = freshName();
  await createTopic(broker.address, topic, 1);
  const lane = realLane(broker.address, { 'linger.ms': '0' });
  await lane.topic(1, topic);
  lane.produce([{ topic: 1, value: 'before' }]);
  await lane.hasVerdicts(1);
  await broker.kill();
  lane.produce(Array.from({ length: 100 }, (_, i) => ({ topic: 1, value: `${i}` })));
  lane.producer.renew(1);
  const purged = (await lane.hasVerdicts(101)).slice(1);
  assert.ok(purged.every((v) => v.generation === 1 && v.code < 0));
  const again = Array.from({ length: 100 }, (_, i) => ({ topic: 1, value: `${i}` }));
  assert.equal(lane.produce(again, { firstSequence: 2 }).nextOrdinal, 100);
  await broker.start();
  const sent = (await lane.hasVerdicts(201)).slice(101);
  assert.deepEqual(
    sent.map((v) => [v.sequence, v.code, v.generation]),
    Array.from({ length: 100 }, (_, i) => [i + 2, 0, 2]),
  );
  await lane.close();
});
