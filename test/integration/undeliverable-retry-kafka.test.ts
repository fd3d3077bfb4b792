import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { createOn, limitMessages, setTopics } from '../support/kafka-topics.ts';
import { metric } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

test('what was refused is delivered by a retry once its topic takes it, in order, each with its id', {
  skip: skipWithoutKafka(),
}, async () => {
  const brokers = await sharedKafka();
  const topic = uniqueTopic('refused');
  await createOn(brokers, [1], [topic]);
  const server = await startServer({
    backend: 'kafka',
    kafkaBrokers: brokers,
    args: ['--lanes', '1'],
  });
  const client = await RawClient.connect(server.mqp, { producerId: 79n });
  const { topicId } = await client.open(topic);
  // Behind the node's back: what it knows to be too large is refused before it is stored.
  await limitMessages(brokers, topic, 2_000);
  const large = [1, 2, 3].map((n) => `${n}`.repeat(1_950));
  const run = { topic: topicId, first: 1, values: [...large, 'small'], replicated: true };
  const { MESSAGE_TOO_LARGE, OK } = ErrorCode;
  assert.deepEqual(
    (await client.produce(run, 60_000)).map(({ code }) => code),
    [MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE, MESSAGE_TOO_LARGE, OK],
  );
  const undeliverable = async () => metric(server, 'mqproxy_undeliverable_messages');
  await until(async () => (await undeliverable()) === 3, { what: 'the gauge to follow' });
  await setTopics(brokers, [topic], {});
  await untilTaken(brokers, topic, large[0] ?? '');
  const address = ['--server', `${server.mqp.host}:${server.mqp.port}`];
  const retried = await runCli(['undeliverable', 'retry', '--topic', topic, ...address]);
  assert.match(retried.stdout, /^3 tried again/, retried.stderr);
  const unparked = async () => metric(server, 'mqproxy_messages_unparked_total');
  await until(async () => (await unparked()) === 3, { timeoutMs: 60_000, what: 'a delivery' });
  await until(async () => (await undeliverable()) === 0, { what: 'the gauge to follow again' });
  const found = (await readTopic(brokers, topic)).filter(({ mq }) => mq !== undefined);
  assert.deepEqual(
    found.map(({ mq, value }) => [mq?.id, value?.toString()]),
    [
      ['000000000000004f-0-4', 'small'],
      ...large.map((value, i) => [`000000000000004f-0-${i + 1}`, value]),
    ],
  );
});

/** A leader learns a topic's new settings a little later. */
async function untilTaken(brokers: string, topic: string, value: string): Promise<void> {
  const producer = kafkaClient(brokers).producer();
  await producer.connect();
  const isTaken = () =>
    producer.send({ topic, messages: [{ value }] }).then(
      () => true,
      () => false,
    );
  await until(isTaken, { timeoutMs: 60_000, what: 'the topic to take it' });
  await producer.disconnect();
}
