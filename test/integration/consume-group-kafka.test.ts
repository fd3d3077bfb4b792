import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { cleanUp } from '../support/clean-up.ts';
import { Ledger, produceNumbers, startConsumeNode, WAIT_MS } from '../support/consume-ledger.ts';
import { sharedKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { metric } from '../support/node-state.ts';
import { RawConsumer } from '../support/raw-consumer.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const brokers = await sharedKafka();

async function admin() {
  const made = kafkaClient(brokers).admin();
  await made.connect();
  cleanUp(() => made.disconnect());
  return made;
}

test('any number of consumers share the partitions, on a full disk too, and Kafka sees the floor of the group', async () => {
  const config = join(tempDir(), 'mqproxy.yaml');
  const leave = (bytes: string) => writeFileSync(config, `outbox: { freeBytesMin: ${bytes} }\n`);
  leave('1MiB');
  const node = await startConsumeNode(brokers, '--config', config);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(node.mqp, topic, 0, 2_000);
  leave('1024TiB');
  node.signal('SIGHUP');
  const isPressed = async () => (await metric(node, 'mqproxy_outbox_pressure')) > 0;
  await until(isPressed, { what: 'the soft mark' });
  const ledger = new Ledger();
  const asked = { group, topics: [topic], creditMessages: 50 };
  for (let i = 0; i < 8; i++) ledger.attach(await RawConsumer.open(node.mqp, asked));
  await ledger.ackedAll(2_000, 'every message to be acked');
  assert.deepEqual(ledger.afterAck, []);
  assert(Array.from(ledger.deliveries.values()).every((times) => times === 1));
  const kafka = await admin();
  await until(
    async () => {
      const [offsets] = await kafka.fetchOffsets({ groupId: group, topics: [topic] });
      const sum = (offsets?.partitions ?? []).reduce((all, p) => all + Number(p.offset), 0);
      return sum === 2_000;
    },
    { timeoutMs: WAIT_MS, what: 'Kafka to show the floor' },
  );
});

test("offsets that Kafka's own tools reset are honoured, with an empty map", async () => {
  const node = await startConsumeNode(brokers);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(node.mqp, topic, 0, 100);
  const ledger = new Ledger();
  ledger.attach(await RawConsumer.open(node.mqp, { group, topics: [topic] }));
  await ledger.ackedAll(100, 'all messages');
  await node.kill('SIGTERM');
  const kafka = await admin();
  const partitions = [0, 1, 2, 3].map((partition) => ({ partition, offset: '0' }));
  await kafka.setOffsets({ groupId: group, topic, partitions });
  await node.restart();
  const again = new Ledger();
  again.attach(await RawConsumer.open(node.mqp, { group, topics: [topic] }));
  await again.ackedAll(100, 'all messages again');
});

test('a group that nobody reads is reset to an offset and to a time, and one that is read to an offset', async () => {
  const node = await startConsumeNode(brokers);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(node.mqp, topic, 0, 20, 0);
  const atMs = Math.max(...(await readTopic(brokers, topic)).map((record) => record.timestampMs));
  await until(() => Date.now() > atMs + 1);
  await produceNumbers(node.mqp, topic, 20, 30, 0);
  const consumer = await RawConsumer.open(node.mqp, { group, topics: [topic] });
  /** All that comes from an offset on is acked, each message at its first delivery. */
  const finish = async (from: number): Promise<void> => {
    const came = await consumer.take(30 - from, WAIT_MS);
    assert.deepEqual(
      came.map(({ value, attempt }) => `${value} ${attempt}`),
      Array.from({ length: 30 - from }, (_, i) => `m${from + i} 1`),
    );
    assert.deepEqual(await consumer.ack(came, true), []);
  };
  await finish(0);
  const client = await MqpClient.connect({ servers: [`${node.mqp.host}:${node.mqp.port}`] });
  cleanUp(() => client.close());
  const kafka = await admin();
  const isLeft = async () => (await kafka.describeGroups([group])).groups[0]?.state === 'Empty';
  for (const { to, from, isRead } of [
    { to: { offset: 25 }, from: 25, isRead: false },
    { to: new Date(atMs + 1), from: 20, isRead: false },
    { to: { offset: 7 }, from: 7, isRead: true },
  ]) {
    if (!isRead) {
      await consumer.unsubscribe();
      await until(isLeft, {
        timeoutMs: WAIT_MS,
        everyMs: 100,
        what: 'the node to leave the group',
      });
    }
    assert.deepEqual(await client.groups.reset(group, topic, to, 0), [
      { cluster: 0, partition: 0, offset: from },
    ]);
    if (!isRead) await consumer.subscribe({ group, topics: [topic] });
    await finish(from);
  }
  assert.deepEqual(consumer.got, []);
});

test('a partition-ordered group has each partition at one consumer, in order, and commits up to a message', async () => {
  const node = await startConsumeNode(brokers);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  const client = await MqpClient.connect({ servers: [`${node.mqp.host}:${node.mqp.port}`] });
  cleanUp(() => client.close());
  const asked = { group, topics: [topic], mode: 'partition-ordered' } as const;
  await client.createTopic(topic, { partitions: 4 });
  const consumers = [await client.subscribe(asked), await client.subscribe(asked)];
  const next = [0, 0, 0, 0];
  const busy = new Set<number>();
  const wrong: string[] = [];
  let failed = 0;
  for (const consumer of consumers) {
    void consumer.run(
      async (message) => {
        const { partition, offset, attempt } = message;
        if (busy.has(partition)) wrong.push(`${partition}@${offset} beside another one`);
        if (next[partition] !== offset)
          wrong.push(`${partition}@${offset}, not ${next[partition]}`);
        busy.add(partition);
        await new Promise(setImmediate);
        busy.delete(partition);
        if (attempt < 3 && offset % 7 === 0) {
          failed++;
          await message.nack({ delayMs: 5 });
          return;
        }
        next[partition] = offset + 1;
      },
      { concurrency: 16 },
    );
  }
  for (const p of [0, 1, 2, 3]) await produceNumbers(node.mqp, topic, 0, 50, p);
  const isDone = () => next.every((offset) => offset === 50);
  await until(isDone, { timeoutMs: WAIT_MS, what: 'all to be handled' });
  await Promise.all(consumers.map((consumer) => consumer.close()));
  assert.deepEqual([wrong.slice(0, 5), failed], [[], 4 * 8 * 2]);

  const last = await client.subscribe(asked);
  await produceNumbers(node.mqp, topic, 50, 60, 2);
  for await (const message of last) {
    if (message.offset < 57) continue;
    await message.commit({ wait: 'committed' });
    break;
  }
  const kafka = await admin();
  const [offsets] = await kafka.fetchOffsets({ groupId: group, topics: [topic] });
  const floors = new Map(offsets?.partitions.map((one) => [one.partition, Number(one.offset)]));
  assert.deepEqual(
    [0, 1, 2, 3].map((p) => floors.get(p)),
    [50, 50, 58, 50],
  );
  await last.close();
});
