import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { readTopic } from '../support/kafka-read.ts';
import { createOn, limitMessages, setTopics } from '../support/kafka-topics.ts';
import { untilDrained } from '../support/node-state.ts';
import { type Outcome, RawClient } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing } from '../support/wait.ts';

const skip = skipWithoutKafka();
const brokers = skip === false ? await sharedKafka() : '';

async function valuesOf(topic: string): Promise<(string | undefined)[]> {
  return (await readTopic(brokers, topic)).map(({ value }) => value?.toString());
}

const names = (outcomes: readonly Outcome[]): string[] => outcomes.map(({ name }) => name);

test('messages that fit their topic are taken in order, though not all of them fit a batch', {
  skip,
}, async () => {
  const topics = Array.from({ length: 16 }, () => uniqueTopic('small'));
  await createOn(brokers, [1], topics, { 'max.message.bytes': '5000' });
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers });
  const client = await RawClient.connect(server.mqp);
  let sequence = 1;
  const produce = (topic: number, count: number, bytes: number): Promise<Outcome[]> => {
    const values = Array.from({ length: count }, () => 'x'.repeat(bytes));
    const run = { topic, first: sequence, values, replicated: true };
    sequence += count;
    return client.produce(run);
  };
  for (const topic of topics) {
    const { topicId } = await client.open(topic);
    assert.deepEqual(names(await produce(topicId, 1, 5)), ['OK']);
    const waves: Promise<Outcome[]>[] = [];
    // Small ones behind large ones, as Kafka would take them while it refuses those before.
    for (const [count, bytes] of [
      [24, 500],
      [1, 5],
      [1, 5],
      [1, 5],
      [24, 500],
      [1, 5],
    ] as const) {
      waves.push(produce(topicId, count, bytes));
      await passing(1);
    }
    const outcomes = (await Promise.all(waves)).flat();
    assert.deepEqual(new Set(names(outcomes)), new Set(['OK']));
    assert.deepEqual(
      outcomes.map(({ offset }) => offset),
      outcomes.map((_, i) => i + 1),
    );
  }
});

test('what Kafka refuses for good is refused alone, and again to a resend after a restart', {
  skip,
}, async () => {
  const topic = uniqueTopic('refused');
  await createOn(brokers, [1], [topic]);
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers });
  const client = await RawClient.connect(server.mqp, { producerId: 77n, epoch: 3 });
  const { topicId } = await client.open(topic);
  // The node asks for the limit now and then only, so it stores what Kafka does not take any more.
  await limitMessages(brokers, topic, 2_000);
  const large = 'y'.repeat(4_000);
  const run = { topic: topicId, first: 1, values: ['a', large, 'b'], replicated: true };
  const expected = ['OK', 'MESSAGE_TOO_LARGE', 'OK'];
  assert.deepEqual(names(await client.produce(run)), expected);
  assert.deepEqual(names(await client.produce(run)), expected, 'a resend on the same connection');
  await client.produce({ topic: topicId, first: 4, values: [large] });
  await untilDrained(server);
  await server.kill('SIGKILL');
  // The topic would take them now, if they were sent.
  await setTopics(brokers, [topic], {});
  await server.restart();
  const again = await RawClient.connect(server.mqp, { producerId: 77n, epoch: 3 });
  const opened = await again.open(topic);
  const resent = { topic: opened.topicId, first: 1, values: ['a', large, 'b', large] };
  const answers = names(await again.produce({ ...resent, replicated: true }));
  assert.deepEqual(answers, [...expected, 'MESSAGE_TOO_LARGE'], 'a resend after a restart');
  assert.deepEqual(names(await again.produce(resent)), answers, 'at level stored');
  await untilDrained(server);
  assert.deepEqual(await valuesOf(topic), ['a', 'b']);
});
