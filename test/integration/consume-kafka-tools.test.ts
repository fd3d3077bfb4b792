import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import kafkajs from 'kafkajs';
import { ErrorCode } from '../../protocol/src/generated.ts';
import type { ProtocolError } from '../../protocol/src/protocol-error.ts';
import { encodeSubscribe } from '../../protocol/src/subscribe.ts';
import { untilDelays } from '../support/connect.ts';
import { produceNumbers, startConsumeNode, WAIT_MS } from '../support/consume-ledger.ts';
import { startKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { describedGroup, kafkaTool } from '../support/kafka-tool.ts';
import { metric } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { runCli } from '../support/run-cli.ts';
import type { TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const { ConfigResourceTypes } = kafkajs;

// One of its own: it is left with internal topics that no node may use.
const { address: brokers } = await startKafka({ heapMaxMib: 320 });

/** The first `count` values that a plain consumer of the group gets, which acks nothing. */
async function plainly(group: string, topic: string, count: number): Promise<string[]> {
  const consumer = kafkaClient(brokers).consumer({ groupId: group, maxWaitTimeInMs: 100 });
  const got: string[] = [];
  await consumer.connect();
  await consumer.subscribe({ topic });
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ message }) => void got.push(String(message.value)),
  });
  await until(() => got.length >= count, { timeoutMs: WAIT_MS, what: 'a plain consumer to read' });
  await consumer.disconnect();
  return got.slice(0, count);
}

const inOrder = (messages: readonly RawDelivery[]) =>
  messages.map(({ offset }) => offset).sort((a, b) => a - b);

/** A group that has acked of sixty messages the first forty and the one at 50. */
async function withFloorAt40() {
  const node = await startConsumeNode(brokers);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(node.mqp, topic, 0, 60, 0);
  const consumer = await RawConsumer.open(node.mqp, { group, topics: [topic] });
  const got = await consumer.take(60, WAIT_MS);
  const acked = got.filter(({ offset }) => offset < 40 || offset === 50);
  assert.deepEqual(await consumer.ack(acked, true), []);
  return { node, topic, group, consumer };
}

test("Kafka's own tools show a group's offsets and lag, others take it over, and a reset is honoured", async () => {
  const { node, topic, group, consumer } = await withFloorAt40();
  const [row, ...others] = await describedGroup(brokers, group, topic);
  const shown = { partition: 0, offset: '40', end: '60', lag: '20', clientId: node.ready['node'] };
  assert.deepEqual(row, shown);
  assert.deepEqual(
    others.map(({ end, lag }) => [end, lag]),
    [
      ['0', '0'],
      ['0', '0'],
      ['0', '0'],
    ],
  );
  consumer.client.cut();
  await node.kill('SIGTERM');
  // It knows the floor, and nothing of what is acked above it.
  const expected = Array.from({ length: 20 }, (_, i) => `m${40 + i}`);
  assert.deepEqual(await plainly(group, topic, 20), expected);
  await node.restart();
  const again = await RawConsumer.open(node.mqp, { group, topics: [topic] });
  const rest = await again.take(19, WAIT_MS);
  assert.deepEqual(
    inOrder(rest),
    [40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 51, 52, 53, 54, 55, 56, 57, 58, 59],
  );
  again.client.cut();
  await node.kill('SIGTERM');
  const reset = ['--reset-offsets', '--to-offset', '45', '--execute'];
  await kafkaTool('groups', brokers, '--group', group, '--topic', `${topic}:0`, ...reset);
  await node.restart();
  const last = await RawConsumer.open(node.mqp, { group, topics: [topic] });
  const after = await last.take(15, WAIT_MS);
  assert.deepEqual(
    inOrder(after),
    Array.from({ length: 15 }, (_, i) => 45 + i),
  );
});

/** kcat, by either of its names. */
const kcat = ['kcat', 'kafkacat'].find((name) =>
  (process.env['PATH'] ?? '').split(delimiter).some((folder) => existsSync(join(folder, name))),
);

test('kcat reads the end of a partition, and goes on as the group from its floor', {
  skip: kcat === undefined ? 'kcat (or kafkacat) is not installed: apt-get install kcat' : false,
}, async () => {
  const { node, topic, group, consumer } = await withFloorAt40();
  consumer.client.cut();
  await node.kill('SIGTERM');
  const run = async (...words: string[]): Promise<string[]> => {
    const all = ['-b', brokers, ...words];
    const { stdout } = await promisify(execFile)(kcat as string, all, { timeout: WAIT_MS });
    return stdout.trim().split('\n');
  };
  assert.deepEqual(await run('-Q', '-t', `${topic}:0:-1`), [`${topic} [0] offset 60`]);
  const read = await run('-q', '-e', '-f', '%p/%o %s\n', '-G', group, topic);
  // Its lag: from the floor to the end.
  assert.deepEqual(
    read,
    Array.from({ length: 20 }, (_, i) => `0/${40 + i} m${40 + i}`),
  );
});

test('retention that overtook the floor of a group that was away is counted and said', async () => {
  const { node, topic, group, consumer } = await withFloorAt40();
  consumer.client.cut();
  await node.kill('SIGTERM');
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  // It looks for leaders in what it knows, and does not ask by itself.
  await admin.fetchTopicOffsets(topic);
  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '55' }] });
  await node.restart();
  const after = await RawConsumer.open(node.mqp, { group, topics: [topic] });
  assert.deepEqual(inOrder(await after.take(5, WAIT_MS)), [55, 56, 57, 58, 59]);
  const lost = await metric(node, 'mqproxy_consume_lost_messages_total{cause="retention"}');
  assert.equal(lost, 14, 'those from 40 to 54 but for the one that was acked');
  const [said = ''] = node.stderr().match(/.*retention freed messages.*/) ?? [];
  const { messages, ...where } = JSON.parse(said);
  assert.deepEqual([where.group, where.topic, where.partition, messages], [group, topic, 0, 14]);
  const isCommitted = async () => {
    const [offsets] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
    return offsets?.partitions.some(({ offset }) => offset === '55');
  };
  await until(isCommitted, { timeoutMs: WAIT_MS, what: 'the floor to follow' });
  await admin.disconnect();
});

const MARKS = '__mqproxy.redriven';
/** `deadLetters.retention`, which is more than a week beyond the longest wait. */
const MONTH_MS = String(30 * 24 * 3_600_000);

async function isSaid(node: TestServer, words: string): Promise<void> {
  const isThere = () => node.stderr().includes(words);
  await until(isThere, { timeoutMs: WAIT_MS, what: `the log to say "${words}"` });
}

/** Alters topics that are there as an operator does; what is not named goes back to its default. */
async function alter(settings: Readonly<Record<string, Readonly<Record<string, string>>>>) {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  const resources = Object.entries(settings).map(([name, config]) => ({
    type: ConfigResourceTypes.TOPIC,
    name,
    configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
  }));
  await admin.alterConfigs({ validateOnly: false, resources });
  await admin.disconnect();
}

function doctorOf(node: TestServer) {
  return runCli([
    ...['doctor', '--backend', 'kafka', '--kafka.brokers', brokers],
    ...['--listen', '127.0.0.1:0', '--data-dir', node.dataDir],
    ...['--server', `${node.mqp.host}:${node.mqp.port}`],
  ]);
}

test('dead letters, retries and marks whose topics were weakened are refused in words, and doctor names them', async () => {
  const node = await startConsumeNode(brokers, '--retry.in-place-max', '100');
  const topic = uniqueTopic('consume');
  const [dead, late] = [uniqueTopic('dead'), uniqueTopic('late')];
  const [dlq, retry] = [`${topic}.${dead}.dlq`, `${topic}.${late}.retry`];
  await produceNumbers(node.mqp, topic, 0, 2, 0);
  /** Refuses a message of one group for good, and puts one of the other off. */
  const fail = async () => {
    for (const [group, isDead] of [
      [dead, true],
      [late, false],
    ] as const) {
      const consumer = await RawConsumer.open(node.mqp, { group, topics: [topic] });
      const [first] = await consumer.take(1, WAIT_MS);
      assert(first !== undefined);
      assert.deepEqual(await consumer.nack([first], isDead ? undefined : 3_600_000, isDead), []);
    }
  };
  const purge = () =>
    runCli([
      ...['dlq', 'purge', topic, '--group', dead, '--yes'],
      ...['--server', `${node.mqp.host}:${node.mqp.port}`],
    ]);
  await untilDelays(node);
  await fail();
  const areMade = async () =>
    (await metric(node, 'mqproxy_dead_letters_total')) === 1 &&
    (await metric(node, 'mqproxy_messages_put_off_total')) === 1;
  await until(areMade, { timeoutMs: WAIT_MS, what: 'a dead letter and a retry' });
  assert.equal((await purge()).code, 0);
  const size = { 'max.message.bytes': '1114112' };
  const hour = { 'retention.ms': '3600000', ...size };
  await alter({ [dlq]: hour, [retry]: hour, [MARKS]: { 'cleanup.policy': 'delete' } });
  await node.restart();
  await untilDelays(node);
  await fail();
  for (const name of [dlq, retry]) {
    const fault = `internal topic ${name}: retention.ms is 3600000, and must be ${MONTH_MS}`;
    await isSaid(node, `a failed message could not be moved: ${fault}`);
  }
  const { code, stderr } = await purge();
  assert.equal(code, 1);
  assert.match(stderr, /__mqproxy\.redriven: cleanup\.policy is delete, and must be compact/);
  const compact = { 'cleanup.policy': 'compact', ...size };
  const ofDays = { 'retention.ms': MONTH_MS, 'retention.bytes': '-1' };
  await alter({ [dlq]: hour, [retry]: { ...compact, ...ofDays } });
  const { stdout } = await doctorOf(node);
  for (const words of [
    `${dlq}: retention.ms is 3600000, and must be ${MONTH_MS}`,
    `${retry}: cleanup.policy is compact, and must be delete`,
    '__mqproxy.redriven: cleanup.policy is delete, and must be compact',
  ]) {
    const line = stdout.split('\n').find((one) => one.includes(words));
    assert.match(line ?? stdout, /^FAIL {2}topics/);
  }
  await alter({
    [dlq]: { ...ofDays, ...size },
    [retry]: { ...ofDays, ...size },
    [MARKS]: { 'cleanup.policy': 'compact', 'segment.bytes': String(64 << 20) },
  });
});

test("internal topics that Kafka's own tool weakened refuse the role, in words, and doctor names them", async () => {
  const node = await startConsumeNode(brokers);
  const topic = uniqueTopic('consume');
  await produceNumbers(node.mqp, topic, 0, 1);
  await RawConsumer.open(node.mqp, { group: 'g', topics: [topic] });
  const entity = ['--alter', '--entity-type', 'topics', '--entity-name', '__mqproxy.acks'];
  const changes = [
    ['cleanup.policy=delete', /__mqproxy\.acks.*cleanup\.policy.*delete.*compact/],
    ['cleanup.policy=compact,retention.ms=3600000', /__mqproxy\.acks.*retention\.ms.*3600000.*-1/],
  ] as const;
  const well = await doctorOf(node);
  assert.match(well.stdout, /OK {4}topics {4}\d+ internal topics are as they must be/);
  for (const [config, words] of changes) {
    await kafkaTool('configs', brokers, ...entity, '--add-config', config);
    await node.restart();
    const client = await RawClient.connect(node.mqp);
    const asked = { group: 'g', topics: [topic] };
    await assert.rejects(
      client.request((w, id) => encodeSubscribe(w, id, asked)),
      ({ code, message }: ProtocolError) => code === ErrorCode.ROLE_REFUSED && words.test(message),
    );
    client.cut();
    const { code, stdout } = await doctorOf(node);
    assert.equal(code, 1);
    const [line] = stdout.split('\n').filter((one) => words.test(one));
    assert.match(line ?? stdout, /^FAIL {2}topics/);
    assert.match(stdout, /→ set \S+ of __mqproxy\.acks to \S+: nodes refuse what needs it/);
  }
});
