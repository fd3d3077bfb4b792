import assert from 'node:assert/strict';
import { test } from 'node:test';
import { WAIT_MS } from '../support/consume-ledger.ts';
import { type KafkaBroker, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { countOf } from '../support/seeded.ts';
import { type Address, startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
// tidy-allow sleep: segments are rolled by their age
import { passing, until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const BEYOND = countOf('MQP_ACKS_BEYOND', isLong ? 10_000_000 : 100_000);
/** One message of so many stays open: many runs, and fewer open ones than there is credit. */
const SPACING = Math.max(8, Math.ceil(BEYOND / 20_000));
const ACKS = '__mqproxy.acks';
/** Of the topic of ack maps: a record that is written so much later begins another segment. */
const SEGMENT_MS = 500;
const patient = { timeoutMs: isLong ? 1_800_000 : WAIT_MS };
const asked = {
  group: uniqueTopic('group'),
  topics: [uniqueTopic('consume')],
  creditMessages: 40_000,
  creditBytes: 32 << 20,
  leaseMs: 43_200_000,
};
const topic = asked.topics[0] as string;

/** Scattered without a pattern that a map could be made shorter by. */
function isOpen(offset: number): boolean {
  const mixed = Math.imul(offset ^ (offset >>> 15), 0x2c1b_3c6d);
  return offset === 0 || ((mixed ^ (mixed >>> 12)) >>> 0) % SPACING === 0;
}

/** As a node makes it, but for what an operator may set otherwise: when it is cleaned. */
async function makeAcksTopic({ address }: KafkaBroker): Promise<void> {
  const admin = kafkaClient(address).admin();
  await admin.connect();
  const settings = {
    'cleanup.policy': 'compact',
    'retention.ms': '-1',
    'segment.bytes': String(1024 * 1024),
    'segment.ms': String(SEGMENT_MS),
    'min.cleanable.dirty.ratio': '0.01',
  };
  const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }));
  const made = { topic: ACKS, numPartitions: 16, replicationFactor: 1, configEntries };
  await admin.createTopics({ topics: [made] });
  await admin.disconnect();
}

async function produceAll(at: Address): Promise<void> {
  const client = await RawClient.connect(at);
  const { topicId } = await client.open(topic);
  for (let from = 0; from < BEYOND; from += 5_000) {
    const length = Math.min(5_000, BEYOND - from);
    const values = Array.from({ length }, (_, i) => `m${from + i}`);
    const run = { topic: topicId, first: from + 1, values, partition: 0, batch: true };
    const outcomes = await client.produce(run, WAIT_MS);
    assert(outcomes.every(({ name }) => name === 'OK'));
  }
  client.socket.destroy();
}

/** Acks `count` messages that `keep` does not hold back; the last of them is answered committed. */
async function ackAll(at: Address, keep: (offset: number) => boolean, count: number) {
  const consumer = await RawConsumer.open(at, asked);
  let acked = 0;
  let tail: Promise<unknown> = Promise.resolve();
  const take = (messages: readonly RawDelivery[]): void => {
    const some = messages.filter(({ offset }) => !keep(offset));
    tail = tail.then(async () => {
      const isLast = acked + some.length === count;
      if (some.length > 0) assert.deepEqual(await consumer.ack(some, isLast), []);
      // The cleaner leaves the newest segment alone, and a quick machine would write no other.
      const isMost = acked < count * 0.8 && acked + some.length >= count * 0.8;
      acked += some.length;
      if (isMost) await passing(2 * SEGMENT_MS);
    });
  };
  consumer.onDelivered = take;
  take(consumer.got.splice(0));
  await until(() => acked >= count, { ...patient, what: `${count} acks` });
  await tail;
  assert.equal(acked, count);
}

/** Records of the ack maps that were written, and those that are there. */
async function mapsOf({ address }: KafkaBroker): Promise<{ written: number; kept: number }> {
  const admin = kafkaClient(address).admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(ACKS);
  await admin.disconnect();
  const written = ends.reduce((sum, { high }) => sum + Number(high), 0);
  return { written, kept: (await readTopic(address, ACKS)).length };
}

test('acks beyond an unfinished head are kept on Kafka over kill -9 and its cleaner, and none comes again', async () => {
  const broker = await startKafka({ heapMaxMib: 320, config: { 'log.cleaner.backoff.ms': '200' } });
  await makeAcksTopic(broker);
  // Many commits, so that there is something to clean.
  const args = ['--topics.replication-factor', '1', '--consume.ack-commit', '5ms'];
  const server = await startServer({ backend: 'kafka', kafkaBrokers: broker.address, args });
  const open = Array.from({ length: BEYOND }, (_, offset) => offset).filter(isOpen);
  const opened = await RawClient.connect(server.mqp);
  await opened.open(topic);
  await Promise.all([ackAll(server.mqp, isOpen, BEYOND - open.length), produceAll(server.mqp)]);
  await server.kill();

  const isClean = async () => {
    const maps = await mapsOf(broker);
    return maps.kept < maps.written && maps;
  };
  const { written, kept } = await until(isClean, {
    ...patient,
    everyMs: 500,
    what: "Kafka's cleaner",
  });
  console.log(`acked=${BEYOND - open.length} open=${open.length} maps=${written} kept=${kept}`);
  await server.restart();
  const isStill = (offset: number): boolean => isOpen(offset) && offset % 2 === 0;
  const left = open.filter(isStill);
  await ackAll(server.mqp, isStill, open.length - left.length);
  await server.kill();

  await server.restart();
  const last = await RawConsumer.open(server.mqp, asked);
  const came = await last.take(left.length, patient.timeoutMs);
  assert.deepEqual(
    came.map(({ offset }) => offset).sort((a, b) => a - b),
    left,
  );
  // What is produced now is read behind all that was acked: nothing else is on its way.
  const client = await RawClient.connect(server.mqp);
  const { topicId } = await client.open(topic);
  await client.produce({ topic: topicId, first: 1, values: ['new'], partition: 0 });
  const [next] = await last.take(1, patient.timeoutMs);
  assert.deepEqual([next?.offset, next?.value, last.got.length], [BEYOND, 'new', 0]);
});
