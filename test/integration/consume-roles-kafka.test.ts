import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { cleanUp } from '../support/clean-up.ts';
import { connect } from '../support/connect.ts';
import { produceNumbers, startConsumeNode, WAIT_MS } from '../support/consume-ledger.ts';
import { Cores } from '../support/cores.ts';
import { sharedKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const patient = { timeoutMs: WAIT_MS };
/** From the last subscription's end until a node leaves the group. */
const LINGER_MS = 5_000;
const ALLOWED_MS = 5_000;

const brokers = await sharedKafka();
const [one, two, stranger] = await Promise.all([
  startConsumeNode(brokers),
  startConsumeNode(brokers),
  startServer({
    backend: 'kafka',
    kafkaBrokers: brokers,
    args: [
      ...['--cluster.secret', 'another one than the nodes of this test share'],
      ...['--topics.replication-factor', '1'],
    ],
  }),
]);
const admin = kafkaClient(brokers).admin();
await admin.connect();
cleanUp(() => admin.disconnect());

/** Who Kafka says is in a group. */
async function membersOf(group: string): Promise<string[]> {
  const { groups } = await admin.describeGroups([group]);
  return (groups[0]?.members ?? []).map(({ clientId }) => clientId);
}

test('a node with another cluster.secret is refused the group in words, and the group goes on', async () => {
  const topic = uniqueTopic('consume');
  const asked = { group: uniqueTopic('group'), topics: [topic], creditMessages: 1_000 };
  await produceNumbers(one.mqp, topic, 0, 4);
  const first = await RawConsumer.open(one.mqp, asked);
  assert.deepEqual(await first.ack(await first.take(4, WAIT_MS), true), []);
  const refused = await RawConsumer.open(stranger.mqp, asked);
  await until(() => refused.ended, { ...patient, what: 'the stranger to be refused' });
  assert.equal(refused.ended?.code, ErrorCode.ROLE_REFUSED);
  assert.match(
    refused.ended?.message ?? '',
    /was served with another cluster\.secret: .*[0-9a-f]{8}/,
  );
  for (const p of [0, 1, 2, 3]) await produceNumbers(one.mqp, topic, 10 * p, 10 * p + 10, p);
  const rest = await first.take(40, WAIT_MS);
  assert.deepEqual(await first.ack(rest, true), []);
  assert.equal(new Set(rest.map(({ partition }) => partition)).size, 4);
  assert.deepEqual(refused.got, []);
});

test('of two nodes and one partition the one waits, is told so, and takes over when the other has left', async () => {
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  const asked = { group, topics: [topic], leaseMs: 600_000 };
  await (await connect(one)).createTopic(topic, { partitions: 1 });
  const both = await Promise.all([one, two].map(({ mqp }) => RawConsumer.open(mqp, asked)));
  const isShared = async () =>
    (await membersOf(group)).length === 2 &&
    both
      .map(({ assigned }) => assigned)
      .sort()
      .join() === '0,1';
  await until(isShared, { ...patient, everyMs: 100, what: 'one to read, the other to wait' });
  await produceNumbers(one.mqp, topic, 0, 5);
  const [owner, waiting] = both.sort((a, b) => b.assigned - a.assigned) as [
    RawConsumer,
    RawConsumer,
  ];
  const came = await owner.take(5, WAIT_MS);
  assert.deepEqual([waiting.assigned, waiting.got], [0, []]);

  const [message] = came.splice(0, 1) as [RawDelivery];
  for (const at of [0, message.token.length - 1]) {
    const token: Buffer = Buffer.from(message.token);
    token.writeUInt8((token[at] as number) ^ 1, at);
    const failed: string[] = [`0/${message.index}/${ErrorCode.BAD_TOKEN}`];
    assert.deepEqual(await owner.ack([{ ...message, token }], true), failed);
  }
  assert.deepEqual(await owner.ack([message, ...came], true), []);

  await owner.unsubscribe();
  const cores = new Cores();
  const leftMs = performance.now();
  const hasLeft = async () => (await membersOf(group)).length === 1;
  await until(hasLeft, { ...patient, everyMs: 100, what: 'the node to leave the group' });
  const tookMs = performance.now() - leftMs;
  assert(tookMs >= LINGER_MS - 500, `${tookMs} ms`);
  if (cores.wereThere(`left the group after ${Math.round(tookMs)} ms`))
    assert(tookMs <= LINGER_MS + ALLOWED_MS, `${tookMs} ms`);
  const hasIt = () => waiting.assigned === 1;
  await until(hasIt, { ...patient, what: 'the other one to take over' });
  await produceNumbers(two.mqp, topic, 5, 6);
  const [next] = await waiting.take(1, WAIT_MS);
  assert.equal(next?.value, 'm5');
  assert.deepEqual(await waiting.ack([next as RawDelivery], true), []);
  await waiting.unsubscribe();
  const isEmpty = async () => (await membersOf(group)).length === 0;
  await until(isEmpty, { ...patient, everyMs: 100, what: 'nobody to be in the group' });
});
