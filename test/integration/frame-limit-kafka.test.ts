import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { connect } from '../support/connect.ts';
import { lettersOf } from '../support/dead-letters.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { createOn } from '../support/kafka-topics.ts';
import { consumeAll, shortFrames, tailAll } from '../support/long-records.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const skip = skipWithoutKafka();
const brokers = skip === false ? await sharedKafka() : '';

/** Writes values of these lengths to one partition, as another program would. */
async function write(topic: string, lengths: readonly number[]): Promise<void> {
  await createOn(brokers, [1], [topic], { 'max.message.bytes': '3000000' });
  const producer = kafkaClient(brokers).producer();
  await producer.connect();
  for (const length of lengths) {
    await producer.send({ topic, messages: [{ partition: 0, value: Buffer.alloc(length, 'x') }] });
  }
  await producer.disconnect();
}

describe('longer records of other programs on Kafka', { skip }, () => {
  test('short frames carry all that fits them, and what does not is a dead letter', async () => {
    const topic = uniqueTopic('orders');
    const sizes = [...new Array(60).fill(20_000), 1_000_000, 5, 70_000, 6];
    await write(topic, sizes);
    const server = await startServer({
      backend: 'kafka',
      kafkaBrokers: brokers,
      args: shortFrames,
    });
    const client = await connect(server);
    const named = sizes.map((size, i) => (size > 64 * 1024 ? `offset ${i}` : String(size)));
    assert.deepEqual(await tailAll(client, topic, sizes.length), named);
    const got = await consumeAll(client, topic, 62);
    assert.deepEqual(got.slice(59), [59, 61, 63]);
    const dead = async () => (await lettersOf(client, topic)).map(({ origin }) => origin.offset);
    // Whichever was read again first.
    const isDead = async () => (await dead()).toSorted((a, b) => a - b).join() === '60,62';
    await until(isDead, { what: 'the dead letters' });
  });

  test('one that the dead letters do not take keeps its place, and the others come', async () => {
    const topic = uniqueTopic('orders');
    await write(topic, [1, 2_000_000, 2]);
    const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers });
    const client = await connect(server);
    assert.deepEqual(await tailAll(client, topic, 3), ['1', 'offset 1', '2']);
    assert.deepEqual(await consumeAll(client, topic, 2), [0, 2]);
    const said = () => /billing\.dlq: Kafka refused the record/.test(server.stderr());
    await until(said, { what: 'the refusal' });
    const admin = kafkaClient(brokers).admin();
    await admin.connect();
    const configEntries = [
      { name: 'max.message.bytes', value: '3000000' },
      { name: 'retention.ms', value: '-1' },
      { name: 'retention.bytes', value: '-1' },
    ];
    const resources = [{ type: 2, name: `${topic}.billing.dlq`, configEntries }];
    await admin.alterConfigs({ validateOnly: false, resources });
    await admin.disconnect();
    await until(async () => (await lettersOf(client, topic)).length === 1, { what: 'the move' });
  });
});
