import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WAIT_MS } from '../support/consume-ledger.ts';
import { sharedKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { RawConsumer } from '../support/raw-consumer.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const patient = { timeoutMs: 2 * WAIT_MS, everyMs: 100 };

test('a topic that is deleted and made again under a group is read from its start', async (t) => {
  const brokers = await sharedKafka();
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers });
  const kafka = kafkaClient(brokers);
  const [admin, producer] = [kafka.admin(), kafka.producer()];
  await Promise.all([admin.connect(), producer.connect()]);
  t.after(() => Promise.all([admin.disconnect(), producer.disconnect()]));
  const topic = uniqueTopic('anew');
  const topics = [{ topic, numPartitions: 1 }];
  const make = () => admin.createTopics({ waitForLeaders: false, topics });
  const send = (...values: string[]) =>
    producer.send({ topic, messages: values.map((value) => ({ value, partition: 0 })) });

  await make();
  await send(...Array.from({ length: 10 }, (_, i) => `old ${i}`));
  const consumer = await RawConsumer.open(server.mqp, { group: uniqueTopic('g'), topics: [topic] });
  const old = await consumer.take(10, WAIT_MS);
  assert.deepEqual(await consumer.ack(old.slice(0, 6), true), []);

  await admin.deleteTopics({ topics: [topic] });
  const isThere = async () => (await admin.listTopics()).includes(topic);
  await until(async () => !(await isThere()), { ...patient, what: 'the topic to be gone' });
  await make();
  await send('new 0', 'new 1', 'new 2');
  const came = await consumer.take(3, patient.timeoutMs);
  const seen = came.map(({ offset, value }) => `${offset}:${value}`);
  assert.deepEqual(seen, ['0:new 0', '1:new 1', '2:new 2']);
  assert.deepEqual(await consumer.ack(came, true), []);
});
