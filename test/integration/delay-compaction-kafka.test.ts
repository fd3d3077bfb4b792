import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connectDelay } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

// The cleaner leaves records alone for a minute, as the node wants it: `npm test` has no time.
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const skip = skipWithoutKafka() || (isLong ? false : 'with MQPROXY_TEST_SCALE=long');
const count = 300;
const delayLog = '__mqproxy.delay';
const hour = 3_600_000;

/** The delay log as the node wants it, and cleaned as soon as that allows. */
async function makeDelayLog(brokers: string): Promise<void> {
  const config = {
    'cleanup.policy': 'compact',
    'delete.retention.ms': '86400000',
    'min.compaction.lag.ms': '60000',
    'max.message.bytes': String(1024 * 1024 + 128 * 1024),
    'segment.ms': '1000',
    'min.cleanable.dirty.ratio': '0.01',
    'max.compaction.lag.ms': '61000',
  };
  const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }));
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const numPartitions = DELAY_PARTITIONS;
  await admin.createTopics({ topics: [{ topic: delayLog, numPartitions, configEntries }] });
  await admin.disconnect();
}

test('the cleaner leaves of the delay log what waits: a lost index is the same as before', {
  skip,
}, async () => {
  const broker = await startKafka({
    heapMaxMib: 320,
    config: { 'log.cleaner.backoff.ms': '500' },
  });
  await makeDelayLog(broker.address);
  const server = await startServer({ backend: 'kafka', kafkaBrokers: broker.address });
  let client = await connectDelay(server);
  const topic = uniqueTopic('cleaned');
  await client.createTopic(topic, { partitions: 1 });
  const startMs = Date.now();
  const send = (of: MqpClient, value: string, aheadMs: number) =>
    of.produce(topic, { value, dueAtMs: startMs + aheadMs }, { ack: 'replicated' });
  // A third fires, a third is cancelled; of the rest some are moved, and stand twice in the log.
  const sent = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      send(client, `${i}`, i % 3 === 0 ? 2_000 : hour + i * 1_000),
    ),
  );
  for (const [i, { delayId: id = '' }] of sent.entries()) {
    if (i % 3 === 1) assert.equal(await client.delayed.cancel({ id }), 'cancelled');
    const dueMs = startMs + 2 * hour + i * 1_000;
    if (i % 6 === 2) assert.equal((await client.delayed.move({ id, dueMs })).outcome, 'moved');
  }
  const listed = async () => {
    const { delays } = await client.delayed.list({ topic, limit: 1_000 });
    return delays.map(({ id, dueMs, messageId, valueBytes }) => ({
      id,
      dueMs,
      messageId,
      valueBytes,
    }));
  };
  const third = count / 3;
  await until(async () => (await listed()).length === third, { everyMs: 200 });
  const isWritten = async () =>
    (await readTopic(broker.address, delayLog)).length >= count + 2 * third + third / 2;
  await until(isWritten, { everyMs: 500, what: 'every end to be in the log' });

  // Each makes a new segment of its partition, so that those before it may be cleaned.
  const cleaned = async () => {
    await Promise.all(Array.from({ length: 100 }, (_, i) => send(client, `more ${i}`, 3 * hour)));
    const ids = new Map<string, { values: number; ends: number }>();
    for (const { key, value } of await readTopic(broker.address, delayLog)) {
      const id = `d1-${key?.toString('hex')}`;
      const of = ids.get(id) ?? { values: 0, ends: 0 };
      if (value === null) of.ends++;
      else of.values++;
      ids.set(id, of);
    }
    // What fired or was cancelled has its end left, and what was moved its last record.
    return sent.every(({ delayId = '' }, i) => {
      const { values = 0, ends = 0 } = ids.get(delayId) ?? {};
      return i % 3 === 2 ? values === 1 && ends === 0 : values === 0;
    });
  };
  const patient = { timeoutMs: 150_000, everyMs: 3_000, what: 'all of the log to be cleaned' };
  await until(cleaned, patient);
  const before = await listed();
  assert.equal(
    before.filter(({ messageId }) => sent.some(({ id }) => id === messageId)).length,
    third,
  );
  await client.close();
  await server.kill('SIGTERM');
  rmSync(join(server.dataDir, 'delay'), { recursive: true });

  await server.restart();
  client = await connectDelay(server);
  assert.deepEqual(await listed(), before);
  for (const [i, { delayId: id = '' }] of sent.entries()) {
    if (i % 3 === 1) assert.equal(await client.delayed.cancel({ id }), 'notFound');
    if (i % 30 === 2)
      assert.equal((await client.delayed.move({ id, delayMs: 0 })).outcome, 'moved');
  }
  const fired = async () => (await readTopic(broker.address, topic)).map(({ value }) => `${value}`);
  const all = third + Math.ceil(count / 30);
  await until(async () => (await fired()).length >= all, { everyMs: 200 });
  const expected = sent.flatMap((_, i) => (i % 3 === 0 || i % 30 === 2 ? [`${i}`] : []));
  assert.deepEqual((await fired()).sort(), expected.sort());
});
