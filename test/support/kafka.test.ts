import assert from 'node:assert/strict';
import { createConnection } from 'node:net';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka, startKafka } from './kafka.ts';
import { kafkaClient, readTopic } from './kafka-read.ts';
import { uniqueTopic } from './topics.ts';
import { GIVE_UP_MS, until, within } from './wait.ts';

const skip = skipWithoutKafka();

test('a topic is read whole, with the mq header decoded and the others as they are', {
  skip,
}, async () => {
  const brokers = await sharedKafka();
  const topic = uniqueTopic('read');
  const kafka = kafkaClient(brokers);
  const admin = kafka.admin();
  await admin.createTopics({ topics: [{ topic, numPartitions: 3 }] });
  await admin.disconnect();
  const mq = Buffer.from(
    '01000000000000abcdef0007000000000102000000000000002a0000000000000400',
    'hex',
  );
  const producer = kafka.producer();
  await producer.connect();
  const messages = [...Array(500).keys()].map((n) => ({
    key: `k${n}`,
    value: `value ${n}`,
    headers: { mq, colour: ['red', 'blue'] },
  }));
  await producer.send({ topic, messages });
  await producer.disconnect();

  const records = await readTopic(brokers, topic);
  assert.equal(records.length, 500);
  assert.deepEqual(
    new Set(records.map((record) => String(record.value))),
    new Set(messages.map(({ value }) => value)),
  );
  const [first] = records;
  assert.deepEqual(first?.headers, [
    ['colour', Buffer.from('red')],
    ['colour', Buffer.from('blue')],
  ]);
  assert.equal(first?.mq?.id, '0000000000abcdef-7-258');
  assert.equal(first?.mq?.originNode, 42n);
  assert.equal(first?.mq?.acceptedMs, 1024);
});

test('a broker keeps its data and its port over a crash, and freezes without closing connections', {
  skip,
}, async () => {
  const broker = await startKafka();
  const kafka = kafkaClient(broker.address);
  const topic = uniqueTopic('crash');
  const admin = kafka.admin();
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  await admin.disconnect();
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic, acks: -1, messages: [{ value: 'before' }] });
  await producer.disconnect();
  await broker.stop();
  await broker.start();
  await broker.kill();
  await broker.start();
  assert.deepEqual(
    (await readTopic(broker.address, topic)).map((record) => String(record.value)),
    ['before'],
  );

  broker.pause();
  const socket = createConnection(broker.port, '127.0.0.1');
  await within(
    new Promise((resolve) => socket.once('connect', resolve)),
    GIVE_UP_MS,
    'the frozen broker to take a connection',
  );
  socket.destroy();
  broker.resume();
  assert.equal((await readTopic(broker.address, topic)).length, 1);
});

test('a second broker joins, holds its share, and comes back to it', { skip }, async () => {
  const first = await startKafka({ heapMaxMib: 320 });
  const second = await startKafka({ heapMaxMib: 320, joins: first });
  const [single, double] = [uniqueTopic('single'), uniqueTopic('double')];
  const admin = kafkaClient(first.address).admin();
  const onEach = [
    { partition: 0, replicas: [1] },
    { partition: 1, replicas: [2] },
  ];
  const onBoth = [{ partition: 0, replicas: [1, 2] }];
  await admin.createTopics({
    topics: [
      { topic: single, replicaAssignment: onEach },
      { topic: double, replicaAssignment: onBoth },
    ],
  });
  /** By partition, its leader and how many replicas are in sync. */
  const becomes = (topic: string, wanted: readonly string[]) =>
    until(
      async () => {
        const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
        const found = topics[0]?.partitions.map(
          ({ partitionId, leader, isr }) =>
            `${partitionId} led by ${leader}, ${isr.length} in sync`,
        );
        return found?.sort().join() === wanted.join();
      },
      { what: wanted.join() },
    );
  const whole = ['0 led by 1, 1 in sync', '1 led by 2, 1 in sync'];
  await becomes(single, whole);
  await becomes(double, ['0 led by 1, 2 in sync']);
  await second.kill();
  await becomes(double, ['0 led by 1, 1 in sync']);
  await assert.rejects(admin.fetchTopicMetadata({ topics: [single] }), /no leader/);
  await second.start();
  await becomes(double, ['0 led by 1, 2 in sync']);
  await becomes(single, whole);
  await admin.disconnect();
});
