import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WAIT_MS } from '../support/consume-ledger.ts';
import { metricsOf } from '../support/dead-letters.ts';
import { startKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawConsumer } from '../support/raw-consumer.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const ACKS = '__mqproxy.acks';
const MESSAGES = 4_000;
const patient = { timeoutMs: WAIT_MS };
// Half a minute of it is librdkafka's, which believes in a topic for so long.
const skip = process.env['MQPROXY_TEST_SCALE'] === 'long' ? false : 'with MQPROXY_TEST_SCALE=long';

test('a topic of maps that an operator deletes is made again, and what was acked does not come again', {
  skip,
}, async () => {
  const broker = await startKafka({});
  const args = ['--topics.replication-factor', '1'];
  const server = await startServer({ backend: 'kafka', kafkaBrokers: broker.address, args });
  const topic = uniqueTopic('consume');
  const producer = await RawClient.connect(server.mqp);
  const { topicId } = await producer.open(topic);
  const values = Array.from({ length: MESSAGES }, (_, i) => `m${i}`);
  const run = { topic: topicId, first: 1, values, partition: 0, batch: true, replicated: true };
  const outcomes = await producer.produce(run, WAIT_MS);
  assert(outcomes.every(({ name }) => name === 'OK'));
  const asked = {
    group: uniqueTopic('group'),
    topics: [topic],
    creditMessages: MESSAGES,
    leaseMs: 600_000,
  };
  const consumer = await RawConsumer.open(server.mqp, asked);
  const got = await consumer.take(MESSAGES, WAIT_MS);
  const odd = got.filter(({ offset }) => offset % 2 === 1);
  assert.deepEqual(await consumer.ack(odd, true), []);

  const admin = kafkaClient(broker.address).admin();
  await admin.connect();
  const isThere = async () => (await admin.listTopics()).includes(ACKS);
  assert(await isThere());
  await admin.deleteTopics({ topics: [ACKS] });
  await until(async () => !(await isThere()), { ...patient, what: 'the topic to be gone' });
  // The next commit finds it gone, which librdkafka says after half a minute, and makes it again.
  const [second, third] = got.filter(({ offset }) => offset === 2 || offset === 4);
  assert.deepEqual(await consumer.ack([second as NonNullable<typeof second>]), []);
  await until(isThere, { timeoutMs: 3 * WAIT_MS, everyMs: 200, what: 'the topic to be back' });
  assert.deepEqual(await consumer.ack([third as NonNullable<typeof third>], true), []);
  const fault = /^mqproxy_consume_commit_faults\{.*\} (\d+)$/m.exec(await metricsOf(server))?.[1];
  assert.equal(fault, '0');
  await admin.disconnect();

  await server.kill();
  await server.restart();
  const again = await RawConsumer.open(server.mqp, asked);
  const isOpen = (offset: number): boolean => offset % 2 === 0 && offset !== 2 && offset !== 4;
  const open = got.map(({ offset }) => offset).filter(isOpen);
  const came = await again.take(open.length, WAIT_MS);
  assert.deepEqual(
    came.map(({ offset }) => offset).sort((a, b) => a - b),
    open.sort((a, b) => a - b),
  );
});
