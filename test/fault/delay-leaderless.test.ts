import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDelayId } from '../../protocol/src/delay-id.ts';
import { delayTopic } from '../../src/delay/delay-topic.ts';
import { connect, connectDelay } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const LEADERLESS = 3;
// So many that each of the sixteen partitions has some.
const COUNT = 256;
const patient = { timeoutMs: 90_000, everyMs: 500 };

/** Gives a partition of the delay log to the second broker alone. */
async function move(brokers: string): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const partitionAssignment = [{ partition: LEADERLESS, replicas: [2] }];
  await admin.alterPartitionReassignments({ topics: [{ topic: delayTopic, partitionAssignment }] });
  const isMoved = async () => {
    const [topic] = (await admin.fetchTopicMetadata({ topics: [delayTopic] })).topics;
    const one = topic?.partitions.find(({ partitionId }) => partitionId === LEADERLESS);
    return one?.leader === 2;
  };
  await until(isMoved, { ...patient, what: 'the second broker to lead it' });
  await admin.disconnect();
}

test('a partition of the delay log without a leader holds back no other of a node that starts', {
  skip: skipWithoutKafka(),
}, async () => {
  const first = await startKafka({ heapMaxMib: 320 });
  const server = await startServer({ backend: 'kafka', kafkaBrokers: first.address });
  const before = await connectDelay(server, patient);
  const topic = uniqueTopic('leaderless');
  await before.createTopic(topic, { partitions: 1 });
  // It comes late: topics of before have one replica each, on the first.
  const lone = await startKafka({ heapMaxMib: 320, joins: first });
  await move(first.address);
  const dueAtMs = Date.now() + 15_000;
  const sent = await Promise.all(
    Array.from({ length: COUNT }, (_, i) =>
      before.produce(topic, { value: `${i}`, dueAtMs }, { ack: 'replicated' }),
    ),
  );
  // The second byte of a delay id is its partition.
  const isTheirs = ({ delayId = '' }) => parseDelayId(delayId)[1] === LEADERLESS;
  const theirs = sent.filter(isTheirs).length;
  assert(theirs > 0 && theirs < COUNT, `${theirs} of ${COUNT} lie in it`);
  await before.close();
  await server.kill('SIGTERM');
  await lone.kill();
  await server.restart();

  const client = await connect(server, { timeoutMs: 60_000 });
  const fired = async () => (await client.describeTopic(topic)).partitions[0]?.endOffset ?? 0;
  const others = async () => (await fired()) >= COUNT - theirs;
  await until(others, { ...patient, what: 'what the others have fires' });
  assert.equal(await fired(), COUNT - theirs);
  await lone.start();
  await until(async () => (await fired()) >= COUNT, { ...patient, what: 'the rest fires' });
  assert.equal(await fired(), COUNT);
  await client.close();
});
