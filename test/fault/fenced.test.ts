import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { FencedKafka } from '../support/fenced-kafka.ts';
import { skipWithoutKafka } from '../support/kafka.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const timeoutMs = 60_000;
const rounds = countOf('MQP_FENCED_ROUNDS', process.env['MQPROXY_TEST_SCALE'] === 'long' ? 20 : 4);

/** Reads until a value comes: what was sent again may come before it once more. */
async function find(
  records: AsyncIterator<{ readonly value: Uint8Array | null }>,
  wanted: string,
): Promise<void> {
  for (;;) {
    const { value: record } = await records.next();
    if (Buffer.from(record?.value ?? '').toString() === wanted) return;
  }
}

// librdkafka drops all its brokers at such an answer, and adds none by itself any more.
test('a node goes on after its only broker was fenced, without a restart', {
  skip: skipWithoutKafka(),
}, async () => {
  const kafka = await FencedKafka.start();
  const server = await startServer({ backend: 'kafka', kafkaBrokers: kafka.address });
  const client = await connect(server);
  const topic = uniqueTopic('fenced');
  await client.createTopic(topic, { partitions: 1 });
  const consumer = await client.subscribe({ group: uniqueTopic('g'), topics: [topic] });
  const records = [consumer, client.tail(topic, { from: 'beginning' })];
  const readers = records.map((each) => each[Symbol.asyncIterator]());
  const send = async (value: string) => {
    await client.produce(topic, { value }, { ack: 'replicated', timeoutMs });
    for (const reader of readers) await find(reader, value);
  };
  await send('before');

  // Not each thaw makes every client deaf: two answers have to come in one look of librdkafka's.
  for (let round = 1; round <= rounds; round++) {
    kafka.freeze();
    await until(() => kafka.heldMetadata >= 2, { timeoutMs, what: 'clients to ask for metadata' });
    kafka.thaw();
    await send(`after ${round}`);
  }
  await client.close({ timeoutMs: 0 });
});
