import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { cleanUp } from '../support/clean-up.ts';
import { ConsumerProcess } from '../support/consume-crew.ts';
import { produceNumbers, startConsumeNode, WAIT_MS } from '../support/consume-ledger.ts';
import { shortWaits } from '../support/dead-letters.ts';
import { sharedKafka } from '../support/kafka.ts';
import { kafkaClient, scanTopic } from '../support/kafka-read.ts';
import { metric } from '../support/node-state.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const brokers = await sharedKafka();

/** So many messages that every second ack is more than a commit has room for. */
const COUNT = 3_000;
const ACKS = '__mqproxy.acks';
const isOdd = ({ offset }: RawDelivery): boolean => offset % 2 === 1;

/** By owner, as its epoch says: records that hold the map of partition 0. */
async function mapsOf(group: string, topic: string): Promise<Map<number, number>> {
  const text = `0\0${group}\0${topic}\x000`;
  const place = createHash('sha256').update(text).digest().subarray(0, 16);
  const maps = new Map<number, number>();
  await scanTopic(brokers, ACKS, ({ key }) => {
    if (key === null || !key.subarray(1, 17).equals(place)) return;
    const epoch = key.readUIntBE(17, 6);
    maps.set(epoch, (maps.get(epoch) ?? 0) + 1);
  });
  return maps;
}

test('an owner that was frozen and wakes settles nothing any more, and the map it writes late changes nothing', async () => {
  // The acks of the first wait so long for their commit that it is frozen before.
  const [one, two] = await Promise.all([
    startConsumeNode(brokers, '--consume.ack-commit', '3s'),
    startConsumeNode(brokers),
  ]);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(one.mqp, topic, 0, COUNT, 0);
  const asked = { group, topics: [topic], leaseMs: 600_000, creditMessages: COUNT };
  const first = await RawConsumer.open(one.mqp, asked);
  const held = await first.take(COUNT, WAIT_MS);
  assert.deepEqual(await first.ack(held.filter(isOdd)), []);
  one.signal('SIGSTOP');
  const even = held.filter((message) => !isOdd(message));
  const second = await RawConsumer.open(two.mqp, asked);
  const taken = await second.take(COUNT, WAIT_MS);
  const settled = taken.filter((message) => !isOdd(message));
  assert.deepEqual(await second.ack(settled, true), []);
  const before = await mapsOf(group, topic);
  assert.equal(before.size, 1, 'only the second has written its map');
  one.signal('SIGCONT');
  const outcome = await first.ack(even, true).catch(() => ['refused']);
  assert.notDeepEqual(outcome, [], 'a lease that was lost was settled');
  const isWritten = async () => (await mapsOf(group, topic)).size === 2;
  await until(isWritten, { timeoutMs: WAIT_MS, everyMs: 500, what: 'the first to write its map' });
  // What each of them has acked is what the other has not.
  await second.unsubscribe();
  await two.kill('SIGTERM');
  const rest = await first.take(COUNT / 2, WAIT_MS);
  const offsets = rest.map(({ offset }) => offset).sort((a, b) => a - b);
  assert.deepEqual(
    offsets,
    Array.from({ length: COUNT / 2 }, (_, i) => 2 * i + 1),
  );
  assert.deepEqual(await first.ack(rest, true), []);
  assert.deepEqual(first.got, []);
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  cleanUp(() => admin.disconnect());
  const [offset] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  assert.equal(offset?.partitions.find(({ partition }) => partition === 0)?.offset, `${COUNT}`);
});

test('a consumer that is frozen past its leases loses them to another, and its late acks are refused', async () => {
  const node = await startConsumeNode(brokers, ...shortWaits);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(node.mqp, topic, 0, 1, 0);
  const at = ['--server', `${node.mqp.host}:${node.mqp.port}`];
  const words = ['consume', topic, ...at, '--group', group, '--lease', '200ms'];
  const frozen = new ConsumerProcess([...words, '--credit', '5', '--json']);
  const isThere = () => frozen.printed.length === 1;
  await until(isThere, { timeoutMs: WAIT_MS, what: 'the process to consume' });
  const inFlight = () => metric(node, 'mqproxy_consume_in_flight_messages');
  const isAcked = async () => (await inFlight()) === 0;
  await until(isAcked, { timeoutMs: WAIT_MS, what: 'it to ack its first message' });
  frozen.signal('SIGSTOP');
  await produceNumbers(node.mqp, topic, 1, 21, 0);
  const isOut = async () => (await inFlight()) === 5;
  await until(isOut, { timeoutMs: WAIT_MS, what: 'some to be leased by the frozen one' });
  const other = await RawConsumer.open(node.mqp, { group, topics: [topic] });
  const taken = await other.take(20, WAIT_MS);
  const again = taken.filter(({ attempt }) => attempt > 1).map(({ value }) => value);
  assert(again.length >= 5);
  assert.equal(new Set(taken.map(({ value }) => value)).size, 20);
  frozen.signal('SIGCONT');
  // It may have been given one of them more than once.
  const refused = () => frozen.stderr.text.match(/comes again: .*/g) ?? [];
  const isTold = () => frozen.printed.length > 5 && refused().length === frozen.printed.length - 1;
  await until(isTold, { timeoutMs: WAIT_MS, what: 'its late acks to be refused' });
  const printed = new Set(frozen.printed.slice(1).map(({ value }) => value));
  assert.deepEqual([...printed].sort(), again.sort());
  // They changed nothing: the leases are the other's still.
  assert.deepEqual(await other.ack(taken, true), []);
  await frozen.kill();
  await produceNumbers(node.mqp, topic, 21, 31, 0);
  const rest = await other.take(10, WAIT_MS);
  assert.deepEqual(
    rest.map(({ value }) => value),
    Array.from({ length: 10 }, (_, i) => `m${21 + i}`),
  );
  assert.deepEqual(await other.ack(rest, true), []);
  assert.deepEqual(other.got, []);
});
