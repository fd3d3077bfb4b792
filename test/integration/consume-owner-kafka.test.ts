import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import type { Subscribe } from '../../protocol/src/subscribe.ts';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { MqpError } from '../../sdk/ts/src/errors.ts';
import { produceNumbers, startConsumeNode, WAIT_MS } from '../support/consume-ledger.ts';
import { FaultProxy } from '../support/fault-proxy.ts';
import { sharedKafka } from '../support/kafka.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import type { TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';

const brokers = await sharedKafka();
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';

/** Two nodes, each with a consumer and partitions of a topic that has messages in all four. */
async function sharedBetween(one: TestServer, two: TestServer, asked: Subscribe) {
  const [topic = ''] = asked.topics ?? [];
  await produceNumbers(one.mqp, topic, 0, 1);
  const first = await RawConsumer.open(one.mqp, asked);
  const second = await RawConsumer.open(two.mqp, asked);
  const isShared = () => first.assigned > 0 && second.assigned > 0;
  await until(isShared, { timeoutMs: WAIT_MS, what: 'both nodes to read' });
  for (const p of [0, 1, 2, 3]) await produceNumbers(one.mqp, topic, 10 * p, 10 * p + 5, p);
  return { first, second };
}

test('an ack at the wrong node names the node that reads the partition, which takes it', async () => {
  const [one, two] = await Promise.all([startConsumeNode(brokers), startConsumeNode(brokers)]);
  const topic = uniqueTopic('consume');
  const asked = { group: uniqueTopic('group'), topics: [topic], leaseMs: 600_000 };
  const { first, second } = await sharedBetween(one, two, asked);
  const came = () => first.got.length > 0 && second.got.length > 0;
  await until(came, { timeoutMs: WAIT_MS, what: 'both to be delivered to' });
  const theirs = second.got.slice(0, 1);
  assert.deepEqual(await first.ack(theirs), [`0/${theirs[0]?.index}/${ErrorCode.NOT_OWNER}`]);
  assert.deepEqual(first.owners, [`0:${two.ready['node']}`]);
  assert.deepEqual(await second.ack(theirs, true), []);
});

test('a consumer that has lost its node acks there by another address what that node leased it', async () => {
  const [one, two] = await Promise.all([startConsumeNode(brokers), startConsumeNode(brokers)]);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  const asked = { group, topics: [topic], leaseMs: 600_000, creditMessages: 1 };
  // They keep the partitions where they are, also when the consumer changes its node.
  await sharedBetween(one, two, asked);
  const round = async (): Promise<boolean> => {
    const proxy = await FaultProxy.start(one.mqp);
    const servers = [proxy, two.mqp, one.mqp].map(({ host, port }) => `${host}:${port}`);
    const client = await MqpClient.connect({ servers });
    try {
      const consumer = await client.subscribe(asked);
      const { value: message } = await consumer[Symbol.asyncIterator]().next();
      assert.equal(client.node?.nodeId, one.ready['node']);
      await proxy.setMode('refuse');
      const hasMoved = () => client.node?.nodeId === two.ready['node'];
      await until(hasMoved, { timeoutMs: WAIT_MS, what: 'the other node' });
      await message?.ack({ wait: 'committed' });
      return true;
    } catch (error) {
      // The lease of a connection that was lost is short: a slow machine takes another.
      if (!(error instanceof MqpError) || error.code !== 'LEASE_LOST') throw error;
      return false;
    } finally {
      await client.close({ timeoutMs: 0 });
      await proxy.close();
    }
  };
  await until(round, { timeoutMs: WAIT_MS, what: 'an ack in time' });
});

test('the ack of a long handler counts at the other node when its own is stopped in order', async () => {
  const [one, two] = await Promise.all([startConsumeNode(brokers), startConsumeNode(brokers)]);
  const topic = uniqueTopic('consume');
  // Beyond what a stop waits for: the lease is handed over.
  const asked = { group: uniqueTopic('group'), topics: [topic], leaseMs: 600_000 };
  await produceNumbers(one.mqp, topic, 0, 5, 0);
  const first = await RawConsumer.open(one.mqp, asked);
  const held = await first.take(5, WAIT_MS);
  const second = await RawConsumer.open(two.mqp, asked);
  const [stopped] = await Promise.all([
    one.kill('SIGTERM'),
    until(() => second.assigned === 4, { timeoutMs: WAIT_MS, what: 'the other node to read' }),
  ]);
  assert.equal(stopped.code, 0);
  // A handler may take its time: nobody else gets what it has.
  if (isLong) await passing(60_000);
  assert.deepEqual(second.got, []);
  const settled = async () => (await second.ack(held, true).catch(() => ['away'])).length === 0;
  await until(settled, { timeoutMs: WAIT_MS, what: 'the acks to be taken', everyMs: 200 });
  await produceNumbers(two.mqp, topic, 5, 6, 0);
  const [next] = await second.take(1, WAIT_MS);
  assert.equal(next?.value, 'm5');
});

const CONSUMERS = 16;
const CREDIT = 256;
const PARTITIONS = [0, 1, 2, 3];
/** Every second message is held: as many as all consumers have credit for. */
const EACH = (2 * CONSUMERS * CREDIT) / PARTITIONS.length;

test('a planned stop hands a thousand leases of each partition over, and not one message comes again', async () => {
  const [one, two] = await Promise.all([startConsumeNode(brokers), startConsumeNode(brokers)]);
  const topic = uniqueTopic('consume');
  const asked = { group: uniqueTopic('group'), topics: [topic], leaseMs: 600_000 };
  for (const p of PARTITIONS) await produceNumbers(one.mqp, topic, p * EACH, (p + 1) * EACH, p);
  const held: RawDelivery[] = [];
  const acks: Promise<string[]>[] = [];
  for (let i = 0; i < CONSUMERS; i++) {
    const consumer = await RawConsumer.open(one.mqp, { ...asked, creditMessages: CREDIT });
    const take = (messages: readonly RawDelivery[]): void => {
      held.push(...messages.filter(({ offset }) => offset % 2 === 1));
      const others = messages.filter(({ offset }) => offset % 2 === 0);
      if (others.length > 0) acks.push(consumer.ack(others));
    };
    consumer.onDelivered = take;
    take(consumer.got.splice(0));
  }
  const most = CONSUMERS * CREDIT;
  await until(() => held.length === most, { timeoutMs: WAIT_MS, what: `${most} open leases` });
  assert.deepEqual((await Promise.all(acks)).flat(), []);
  const second = await RawConsumer.open(two.mqp, { ...asked, creditMessages: 2 * most });
  const [stopped] = await Promise.all([
    one.kill('SIGTERM'),
    until(() => second.assigned === 4, { timeoutMs: WAIT_MS, what: 'the other node to read' }),
  ]);
  assert.equal(stopped.code, 0);
  // What is produced now is read behind all that was there before.
  for (const p of PARTITIONS) await produceNumbers(two.mqp, topic, -1 - p, -p, p);
  const came = await second.take(PARTITIONS.length, WAIT_MS);
  assert.deepEqual(
    came.map(({ offset }) => offset),
    PARTITIONS.map(() => EACH),
  );
  for (let from = 0; from < held.length; from += 1_024) {
    const some = held.slice(from, from + 1_024);
    assert.deepEqual(await second.ack(some, true), []);
  }
  assert.deepEqual(second.got, []);
});
