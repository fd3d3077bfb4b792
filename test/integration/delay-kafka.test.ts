import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connectDelay } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

/**
 * The first `count` messages of a topic, none of them early. One that was fired just before a kill
 * may be there twice, with the same id: it counts once.
 */
async function valuesOf(client: MqpClient, topic: string, count: number): Promise<string[]> {
  const values: string[] = [];
  const ids = new Set<string>();
  for await (const { value, id, timestampMs } of client.tail(topic, { from: 'beginning' })) {
    const text = Buffer.from(value ?? '').toString();
    const due = Number(text.split(' ')[1]);
    assert(id !== undefined && timestampMs >= due, `${text} at ${timestampMs}`);
    if (ids.has(id)) continue;
    ids.add(id);
    values.push(text.split(' ')[0] as string);
    if (values.length === count) break;
  }
  return values;
}

test('delays on Kafka fire when due, are cancelled, and outlive kill -9', {
  skip: skipWithoutKafka(),
}, async () => {
  // A broker of its own: all nodes of one share the partitions of its delay log.
  const broker = await startKafka({ heapMaxMib: 320 });
  const server = await startServer({ backend: 'kafka', kafkaBrokers: broker.address });
  let client = await connectDelay(server);
  const topic = uniqueTopic('delayed');
  await client.createTopic(topic, {
    partitions: 1,
    config: { 'message.timestamp.type': 'LogAppendTime' },
  });
  const startMs = Date.now();
  const send = (name: string, aheadMs: number) => {
    const dueAtMs = startMs + aheadMs;
    return client.produce(topic, { value: `${name} ${dueAtMs}`, dueAtMs }, { ack: 'replicated' });
  };
  await send('a', 1_500);
  const cancelled = await send('b', 60_000);
  await send('c', 6_000);
  const outcome = () => client.delayed.cancel({ id: cancelled.delayId ?? '' });
  assert.equal(await outcome(), 'cancelled');
  assert.deepEqual(await valuesOf(client, topic, 1), ['a']);
  await client.close();

  await server.kill('SIGKILL');
  await server.restart();
  client = await connectDelay(server);
  assert.deepEqual(await valuesOf(client, topic, 2), ['a', 'c']);
  const isEmpty = async () => (await client.delayed.list({ topic })).delays.length === 0;
  await until(isEmpty, { what: 'the tombstone of what was fired to be applied' });
  await client.close();
});
