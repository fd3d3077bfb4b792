import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanUp } from '../support/clean-up.ts';
import { ConsumerProcess } from '../support/consume-crew.ts';
import { Ledger, produceNumbers, startConsumeNode, WAIT_MS } from '../support/consume-ledger.ts';
import { shortWaits } from '../support/dead-letters.ts';
import { sharedKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { metric } from '../support/node-state.ts';
import { RawConsumer } from '../support/raw-consumer.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const brokers = await sharedKafka();

/** Ten messages in each of the four partitions, from `m<from>` on. */
async function produceAll(at: { host: string; port: number }, topic: string, from: number) {
  for (const p of [0, 1, 2, 3]) {
    await produceNumbers(at, topic, from + 10 * p, from + 10 * p + 10, p);
  }
}

test('an owner that was frozen and wakes settles nothing any more, and what it commits changes nothing', async () => {
  const [one, two] = await Promise.all([startConsumeNode(brokers), startConsumeNode(brokers)]);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(one.mqp, topic, 0, 1);
  const asked = { group, topics: [topic], leaseMs: 600_000, creditMessages: 100 };
  const first = await RawConsumer.open(one.mqp, asked);
  const hasBegun = () => first.got.length === 1;
  await until(hasBegun, { timeoutMs: WAIT_MS, what: 'the first message' });
  // Its partition may be the other node's in a moment.
  assert.deepEqual(await first.ack(first.got.splice(0), true), []);
  const second = await RawConsumer.open(two.mqp, asked);
  const ledger = new Ledger();
  ledger.attach(second);
  const isShared = () => first.assigned > 0 && second.assigned > 0;
  await until(isShared, { timeoutMs: WAIT_MS, what: 'both nodes to read' });
  await produceAll(two.mqp, topic, 100);
  const isThere = () => first.got.length >= 10;
  await until(isThere, { timeoutMs: WAIT_MS, what: 'the first node to deliver' });
  const held = first.got.splice(0);
  // In the map of the first node, and perhaps not in a commit yet.
  const recorded = held.slice(0, 3);
  assert.deepEqual(await first.ack(recorded), []);
  one.signal('SIGSTOP');
  const rest = held.slice(3);
  const isTaken = () => rest.every(({ value }) => ledger.acked.has(value));
  await until(isTaken, { timeoutMs: WAIT_MS, what: 'the second node to take over' });
  one.signal('SIGCONT');
  const outcome = await first.ack(rest, true).catch(() => ['refused']);
  assert.notDeepEqual(outcome, [], 'a lease that was lost was settled');
  ledger.attach(first);
  await produceAll(two.mqp, topic, 200);
  const values = Array.from({ length: 40 }, (_, i) => `m${200 + i}`);
  const isDone = () => values.every((value) => ledger.acked.has(value));
  await until(isDone, { timeoutMs: WAIT_MS, what: 'what came later to be acked' });
  assert.deepEqual(ledger.afterAck, []);
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  cleanUp(() => admin.disconnect());
  const isWhole = async () => {
    const [offsets] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
    const floors = (offsets?.partitions ?? []).reduce((sum, p) => sum + Number(p.offset), 0);
    return floors === 81;
  };
  await until(isWhole, { timeoutMs: WAIT_MS, what: 'the floors to be at the ends' });
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
