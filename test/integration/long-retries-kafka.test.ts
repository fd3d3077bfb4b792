import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import kafkajs from 'kafkajs';
import { LIST_DEAD } from '../../protocol/src/dead-letters.ts';
import { connect, untilDelays } from '../support/connect.ts';
import { produce, textOf } from '../support/dead-letters.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const { ConfigResourceTypes } = kafkajs;
const skip = skipWithoutKafka();
const brokers = skip === false ? await sharedKafka() : '';
const waits = ['--retry.in-place-max', '100', '--retry.backoff.table', '50,400'];
const kept = ['--dead-letters.retention', '1h'];
const args = [...waits, ...kept, '--retry.backoff.jitter-percent', '0', '--retry.attempts', '4'];

async function retentionMs(name: string): Promise<number> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const { resources } = await admin.describeConfigs({
    includeSynonyms: false,
    resources: [{ type: ConfigResourceTypes.TOPIC, name, configNames: ['retention.ms'] }],
  });
  await admin.disconnect();
  return Number(resources[0]?.configEntries[0]?.configValue);
}

describe('long retries on Kafka', { skip }, () => {
  test('a long wait leaves the topic, comes back with its attempts, and dies once', async () => {
    const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers, args });
    await untilDelays(server);
    const client = await connect(server);
    const of = { topic: uniqueTopic('orders'), group: uniqueTopic('billing') };
    const poison = Array.from({ length: 10 }, (_, i) => `poison${i}`);
    const has = { timeoutMs: 60_000, everyMs: 200, what: 'all poison is dead' };
    await produce(client, of.topic, [...poison, 'good']);
    const consumer = await client.subscribe({ group: of.group, topics: [of.topic] });
    const seen = new Map<string, string[]>();
    void consumer.run((message) => {
      const text = textOf(message);
      const { topic, attempt } = message;
      seen.set(text, [...(seen.get(text) ?? []), `${topic} ${attempt}`]);
      if (text !== 'good') throw new TypeError(`no customer ${text}`);
    });
    const letters = async () => (await client.ask(LIST_DEAD, of)).messages;
    await until(async () => (await letters()).length === poison.length, has);
    const retry = `${of.topic}.${of.group}.retry`;
    const way = [`${of.topic} 1`, `${of.topic} 2`, `${retry} 3`, `${retry} 4`];
    for (const text of poison) assert.deepEqual(seen.get(text), way);
    assert.deepEqual(seen.get('good'), [`${of.topic} 1`]);
    for (const { origin, attempts } of await letters()) {
      assert.deepEqual([origin.topic, attempts], [of.topic, 4]);
    }
    const week = 7 * 24 * 3_600_000;
    assert.equal(await retentionMs(retry), 400 + week);
    assert.equal(await retentionMs(`${of.topic}.${of.group}.dlq`), 3_600_000);
    await client.close();
  });
});
