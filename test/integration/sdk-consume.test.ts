import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import type { ConsumedMessage } from '../../sdk/ts/src/consume-types.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until as untilSoon } from '../support/wait.ts';

const server = await startServer();
/** Patient: the machine may be busy. */
const until = (look: () => boolean) => untilSoon(look);

async function clientOf(t: TestContext): Promise<MqpClient> {
  const client = await MqpClient.connect({ servers: [`${server.mqp.host}:${server.mqp.port}`] });
  t.after(() => client.close());
  return client;
}

async function filled(client: MqpClient, count: number, keys = 7): Promise<string> {
  const topic = uniqueTopic('sdk');
  const messages = Array.from({ length: count }, (_, i) => ({
    value: `${i}`,
    key: `k${i % keys}`,
  }));
  await new Promise<void>((resolve, reject) => {
    client.produceBatch(topic, messages, {}, (error) => (error ? reject(error) : resolve()));
  });
  return topic;
}

const text = ({ value }: ConsumedMessage) => Buffer.from(value ?? '').toString();

test('many handlers of two consumers handle every message once', async (t) => {
  const client = await clientOf(t);
  const other = await clientOf(t);
  const topic = await filled(client, 2000);
  const seen: string[] = [];
  const consumers = await Promise.all(
    [client, other].map((each) => each.subscribe({ group: 'twins', topics: [topic] })),
  );
  for (const consumer of consumers) {
    void consumer.run(
      async (message) => {
        await new Promise(setImmediate);
        seen.push(text(message));
      },
      { concurrency: 32 },
    );
  }
  await until(() => seen.length >= 2000);
  await Promise.all(consumers.map((consumer) => consumer.close()));
  assert.equal(seen.length, 2000);
  assert.equal(new Set(seen).size, 2000);
});

test('a key is handled in order, failures and all', async (t) => {
  const client = await clientOf(t);
  const topic = await filled(client, 200, 5);
  const seen = new Map<string, number[]>();
  const failed = new Set<string>();
  const consumer = await client.subscribe({
    group: 'ordered',
    topics: [topic],
    mode: 'key-ordered',
  });
  void consumer.run(async (message) => {
    const value = text(message);
    const key = Buffer.from(message.key ?? '').toString();
    await new Promise(setImmediate);
    if (Number(value) % 17 === 0 && !failed.has(value)) {
      failed.add(value);
      await message.nack({ delayMs: 5, reason: 'the first time' });
      return;
    }
    const values = seen.get(key) ?? [];
    seen.set(key, [...values, Number(value)]);
  });
  await until(() => [...seen.values()].flat().length >= 200);
  await consumer.close();
  assert.equal(failed.size, 12);
  for (const [key, values] of seen) {
    assert.deepEqual(
      values,
      [...values].sort((a, b) => a - b),
      key,
    );
    assert.equal(values.length, 40);
  }
});

test('what is given back comes again with its attempt counted, what is extended does not', async (t) => {
  const client = await clientOf(t);
  const topic = await filled(client, 2);
  const leaseMs = 3_000;
  const consumer = await client.subscribe({ group: 'retry', topics: [topic], leaseMs });
  const endMs = performance.now() + 1.5 * leaseMs;
  const attempts: [string, number][] = [];
  void consumer.run(async (message) => {
    attempts.push([text(message), message.attempt]);
    if (text(message) === '0' && message.attempt < 3) await message.nack({ delayMs: 0 });
    // Longer than its lease: it is extended meanwhile.
    else if (text(message) === '1') await until(() => performance.now() > endMs);
  });
  await until(() => attempts.length >= 4 && consumer.heldMessages === 0);
  await consumer.close();
  assert.deepEqual(attempts.sort(), [
    ['0', 1],
    ['0', 2],
    ['0', 3],
    ['1', 1],
  ]);
});

test('a lease that nobody extends ends, and its late ack is refused', async (t) => {
  const client = await clientOf(t);
  const topic = await filled(client, 1);
  const consumer = await client.subscribe({ group: 'late', topics: [topic], leaseMs: 2_000 });
  const iterator = consumer[Symbol.asyncIterator]();
  const first = (await iterator.next()).value as ConsumedMessage;
  const second = (await iterator.next()).value as ConsumedMessage;
  assert.deepEqual([first.offset, first.attempt, second.attempt], [second.offset, 1, 2]);
  await assert.rejects(first.ack(), { code: 'LEASE_LOST' });
  await second.ack({ wait: 'committed' });
  await consumer.close();
});

test('a partition-ordered group acks everything up to a message', async (t) => {
  const client = await clientOf(t);
  const topic = uniqueTopic('sdk');
  for (let i = 0; i < 10; i++) await client.produce(topic, { value: `${i}`, partition: 0 });
  const options = { group: 'batch', topics: [topic], mode: 'partition-ordered' } as const;
  const consumer = await client.subscribe(options);
  const values: string[] = [];
  for await (const message of consumer) {
    values.push(text(message));
    if (values.length < 10) continue;
    await message.commit({ wait: 'committed' });
    break;
  }
  assert.deepEqual(
    values,
    Array.from({ length: 10 }, (_, i) => `${i}`),
  );
  const { partitions } = await client.groups.describe('batch');
  assert.equal(partitions.find(({ partition }) => partition === 0)?.floor, 10);
});

test('a partition is handled in order, failures and all', async (t) => {
  const client = await clientOf(t);
  const topic = uniqueTopic('sdk');
  const messages = Array.from({ length: 100 }, (_, i) => ({ value: `${i}`, partition: i % 2 }));
  await Promise.all(messages.map((message) => client.produce(topic, message)));
  const options = { group: 'strict', topics: [topic], mode: 'partition-ordered' } as const;
  const consumer = await client.subscribe(options);
  const seen: [number[], number[]] = [[], []];
  const failed = new Set<number>();
  void consumer.run(async (message) => {
    const value = Number(text(message));
    await new Promise(setImmediate);
    if (value % 13 === 0 && !failed.has(value)) {
      failed.add(value);
      await message.nack({ delayMs: value % 2 === 0 ? 5 : 0 });
      return;
    }
    seen[message.partition]?.push(value);
  });
  await until(() => seen.flat().length >= 100 && consumer.heldMessages === 0);
  await consumer.close();
  assert.equal(failed.size, 8);
  for (const values of seen)
    assert.deepEqual(
      values,
      [...values].sort((a, b) => a - b),
    );
  assert.equal(seen.flat().length, 100);
});

test('a group takes one mode at a time', async (t) => {
  const client = await clientOf(t);
  const topic = await filled(client, 1);
  const consumer = await client.subscribe({ group: 'mode', topics: [topic] });
  const other = { group: 'mode', topics: [topic], mode: 'key-ordered' } as const;
  await assert.rejects(client.subscribe(other), { code: 'GROUP_CONFLICT' });
  await consumer.close();
});
