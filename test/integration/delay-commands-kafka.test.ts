import assert from 'node:assert/strict';
import { test } from 'node:test';
import kafkajs from 'kafkajs';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { limits } from '../../src/base/limits.ts';
import { delayTopicSpec } from '../../src/delay/delay-topic.ts';
import { connect, connectDelay, rehearse } from '../support/connect.ts';
import { Cores } from '../support/cores.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const skip = skipWithoutKafka();
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const hour = 3_600_000;
const patient = { everyMs: 100 };
const replicated = { ack: 'replicated' } as const;
// A broker of its own: all nodes of one share the partitions of its delay log.
const broker = skip === false ? await startKafka({ heapMaxMib: 320 }) : undefined;
const brokers = broker?.address ?? '';
const server =
  skip === false ? await startServer({ backend: 'kafka', kafkaBrokers: brokers }) : undefined;

/** A client of the node once it fires, and a topic whose records have their producers' times. */
async function setUp(name: string) {
  assert(server !== undefined);
  const client = await connectDelay(server);
  const topic = uniqueTopic(name);
  await client.createTopic(topic, { partitions: 1 });
  return { client, topic, server };
}

async function listed(client: MqpClient, topic: string, limit = 1_000) {
  const found = [];
  for (let cursor: string | undefined; ; ) {
    const query = { topic, limit, ...(cursor === undefined ? {} : { cursor }) };
    const page = await client.delayed.list(query);
    assert(page.delays.length <= limit);
    found.push(...page.delays);
    cursor = page.cursor;
    if (cursor === undefined) return found;
  }
}

test('what waits on Kafka is listed by pages, shown, replaced by its key, and moved both ways', {
  skip,
}, async () => {
  const { client, topic } = await setUp('commands');
  const startMs = Date.now();
  const send = (value: string, aheadMs: number, more = {}) =>
    client.produce(topic, { value, dueAtMs: startMs + aheadMs, ...more }, replicated);
  const a = await send('a', hour);
  const b = await send('b', 2 * hour, { headers: [['h', 'x']] });
  const sentMs = Date.now();
  const unique = { key: 'k', unique: true };
  await send('c1', hour, unique);
  const c = await send('c2', 3 * hour, unique);
  assert.equal((await send('c3', 1, { ...unique, ifAbsent: true })).delayId, c.delayId);
  const ids = async (limit?: number) => (await listed(client, topic, limit)).map(({ id }) => id);
  await until(async () => (await ids()).length === 3, patient);
  assert.deepEqual(await ids(1), [a.delayId, b.delayId, c.delayId]);
  const shown = await client.delayed.get({ topic, key: 'k' });
  assert.equal(Buffer.from(shown.value ?? '').toString(), 'c2');
  assert.deepEqual([shown.dueMs, shown.cluster], [c.dueAtMs, 0]);

  const id = b.delayId ?? '';
  for (const aheadMs of [4 * hour, 4 * hour, hour / 2]) {
    const dueMs = startMs + aheadMs;
    assert.deepEqual(await client.delayed.move({ id, dueMs }), { outcome: 'moved', dueMs });
    assert.equal((await client.delayed.get({ id })).dueMs, dueMs);
  }
  assert.deepEqual(await ids(2), [b.delayId, a.delayId, c.delayId]);
  const { dueMs = 0 } = await client.delayed.move({ id, delayMs: 300 });
  const records = () => readTopic(brokers, topic);
  await until(async () => (await records()).length > 0, patient);
  const [fired, ...more] = await records();
  assert.deepEqual([more, `${fired?.value}`, fired?.mq?.id], [[], 'b', b.id]);
  // The node's own clock, when it fired: neither when it was accepted nor when it was due.
  assert((fired?.timestampMs ?? 0) >= dueMs && (fired?.timestampMs ?? 0) <= Date.now());
  assert.deepEqual(
    fired?.headers.map(([name, value]) => [name, `${value}`]),
    [['h', 'x']],
  );
  assert.equal(fired?.mq?.dueMs, dueMs);
  const acceptedMs = fired?.mq?.acceptedMs ?? 0;
  assert(acceptedMs >= startMs && acceptedMs <= sentMs, `accepted ${acceptedMs}`);
  assert.equal(await client.delayed.cancel({ topic, key: 'k' }), 'cancelled');
});

test('every level is accepted under its name, and the shortest fires a second later', {
  skip,
}, async () => {
  const { client, topic } = await setUp('levels');
  const names = '1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h'.split(' ');
  const unit: Readonly<Record<string, number>> = { s: 1_000, m: 60_000, h: hour };
  const cores = new Cores();
  const levels = names.map((name) => parseInt(name, 10) * (unit[name.slice(-1)] ?? 0));
  await Promise.all(
    levels.map(async (levelMs) => {
      const askedMs = Date.now();
      const { dueAtMs = 0 } = await client.produce(topic, { value: `${levelMs}`, levelMs });
      assert(
        dueAtMs >= askedMs + levelMs && dueAtMs <= Date.now() + levelMs,
        `${levelMs}: ${dueAtMs}`,
      );
    }),
  );
  const records = () => readTopic(brokers, topic);
  await until(async () => (await records()).length > 0, patient);
  const [{ mq, value, timestampMs } = {}] = await records();
  const { acceptedMs = 0, dueMs = 0 } = mq ?? {};
  assert.deepEqual([`${value}`, dueMs - acceptedMs], ['1000', 1_000]);
  assert((timestampMs ?? 0) >= dueMs, 'never early');
  const lateMs = (timestampMs ?? 0) - dueMs;
  if (cores.wereThere(`lateMs=${lateMs}`)) assert(lateMs < 5_000);
  const waiting = (await listed(client, topic)).map((it) => it.dueMs - it.acceptedMs);
  assert.deepEqual(waiting.slice(-14), levels.slice(-14));
  const words = ['produce', topic, '--server', `${server?.mqp.host}:${server?.mqp.port}`];
  for (const name of ['2h', '1m']) {
    const { code, stderr } = await runCli([...words, '--level', name], 'x\n');
    assert.equal(code, 0, stderr);
  }
});

test('cancels and moves that race the fire are each as they were answered', {
  skip,
}, async () => {
  const { client, topic } = await setUp('race');
  const count = isLong ? 4_000 : 400;
  const startMs = Date.now() + 2_000 + 3 * (await rehearse(client, count));
  const dues = Array.from({ length: count }, (_, i) => startMs + i * 5);
  const sent = await Promise.all(
    dues.map((dueAtMs, i) => client.produce(topic, { value: `${i}`, dueAtMs }, replicated)),
  );
  const outcomes: Promise<string>[] = [];
  // Half of them about when they are due, half so early that a slow machine has some in time.
  const earlyMs = (i: number) => (i % 4 < 2 ? 30 - (i % 16) * 5 : 100 * (i % 16));
  const asked = dues.map((dueMs, i) => ({ i, atMs: dueMs - earlyMs(i) }));
  for (const { i, atMs } of asked.sort((a, b) => a.atMs - b.atMs)) {
    await until(() => Date.now() >= atMs, { everyMs: 1 });
    const id = sent[i]?.delayId ?? '';
    const moved = () => client.delayed.move({ id, dueMs: startMs + hour });
    outcomes[i] = i % 2 === 0 ? client.delayed.cancel({ id }) : moved().then((it) => it.outcome);
  }
  const answers = await Promise.all(outcomes);
  const of = (...words: string[]) => answers.filter((answer) => words.includes(answer)).length;
  console.log(
    `cancelled=${of('cancelled')} moved=${of('moved')} tooLate=${of('tooLate')} notFound=${of('notFound')}`,
  );
  const inTime = of('tooLate', 'notFound');
  const records = () => readTopic(brokers, topic);
  await until(async () => (await records()).length >= inTime, patient);
  const times = new Map<string, number>();
  for (const { value } of await records()) times.set(`${value}`, (times.get(`${value}`) ?? 0) + 1);
  for (const [i, answer] of answers.entries()) {
    const isKept = answer === 'cancelled' || answer === 'moved';
    assert.equal(times.get(`${i}`), isKept ? undefined : 1, `${i} was ${answer}`);
  }
  // What was published is listed until the node has heard so.
  const left = async () => (await listed(client, topic)).length === of('moved');
  await until(left, { ...patient, what: 'what was moved away to be left' });
  const waiting = await listed(client, topic);
  assert(waiting.every(({ dueMs }) => dueMs === startMs + hour));
  assert(of('cancelled') > 0 && of('moved') > 0 && inTime > 0, 'they did race');
});

test('a move that was answered holds over kill -9', { skip }, async () => {
  const { client, topic, server: node } = await setUp('kill');
  const numbers = Array.from({ length: 100 }, (_, i) => i);
  // Moved before they are due, however slow the machine is.
  const aheadMs = 3_000 + 5 * (await rehearse(client, 2 * numbers.length));
  const startMs = Date.now();
  const send = (value: string, dueAtMs: number) =>
    client.produce(topic, { value, dueAtMs }, replicated);
  const sooner = await Promise.all(numbers.map((i) => send(`sooner ${i}`, startMs + hour)));
  const later = await Promise.all(numbers.map((i) => send(`later ${i}`, startMs + aheadMs)));
  const move = (all: typeof sooner, dueMs: number) =>
    Promise.all(
      all.map(async ({ delayId = '' }) => {
        assert.equal((await client.delayed.move({ id: delayId, dueMs })).outcome, 'moved');
      }),
    );
  const dueMs = startMs + aheadMs + 1_000;
  await Promise.all([move(sooner, dueMs), move(later, startMs + hour)]);
  await client.close();
  await node.kill('SIGKILL');
  await node.restart();
  const again = await connectDelay(node);
  const records = () => readTopic(brokers, topic);
  const idsOf = async () => new Set((await records()).map(({ mq }) => mq?.id));
  await until(async () => (await idsOf()).size >= sooner.length, patient);
  for (const { value, timestampMs } of await records()) {
    assert.match(`${value}`, /^sooner/);
    assert(timestampMs >= dueMs, `${value} came ${timestampMs - dueMs} ms too soon`);
  }
  assert.deepEqual([...(await idsOf())].sort(), sooner.map(({ id }) => id).sort());
  // What was published is listed until the node has heard so.
  const left = async () => (await listed(again, topic)).length === later.length;
  await until(left, { ...patient, what: 'what was moved away to be left' });
  const waiting = await listed(again, topic);
  assert.deepEqual(new Set(waiting.map((it) => it.dueMs)), new Set([startMs + hour]));
});

test('bench delay refuses a topic whose times are its producers’', { skip }, async () => {
  const { topic } = await setUp('bench');
  const words = ['bench', 'delay', '--server', `${server?.mqp.host}:${server?.mqp.port}`];
  const refused = await runCli([...words, '--topic', topic, '--count', '1']);
  assert.equal(refused.code, 2);
  assert.match(refused.stderr, /message\.timestamp\.type .*and bench needs LogAppendTime/);
  const own = ['--topic', uniqueTopic('bench'), '--count', '10', '--over', '1ms', '--ahead', '1s'];
  const done = await runCli([...words, ...own]);
  assert.equal(done.code, 0, done.stderr);
});

/** Sets one setting of the delay log, as an operator would; the others stay. */
async function setDelayLog(name: string, value: string): Promise<string> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    const resource = { type: kafkajs.ConfigResourceTypes.TOPIC, name: '__mqproxy.delay' };
    const found = await admin.describeConfigs({ resources: [resource], includeSynonyms: false });
    const all = found.resources[0]?.configEntries ?? [];
    const own = all.filter((entry) => !entry.isDefault && entry.configName !== name);
    const configEntries = own.map((entry) => ({
      name: entry.configName,
      value: entry.configValue,
    }));
    const changed = [...configEntries, { name, value }];
    await admin.alterConfigs({
      validateOnly: false,
      resources: [{ ...resource, configEntries: changed }],
    });
    return all.find((entry) => entry.configName === name)?.configValue ?? '';
  } finally {
    await admin.disconnect();
  }
}

const largestBytes = Number(delayTopicSpec(limits.messageBytesMax).config['max.message.bytes']);

/** Compared settings of the delay log: what is weaker, what a node needs, what is stronger. */
const compared = [
  ['cleanup.policy', 'compact,delete', 'compact', 'compact'],
  ['min.compaction.lag.ms', '59999', '60000', '120000'],
  ['delete.retention.ms', '86399999', '86400000', '172800000'],
  ['max.message.bytes', '1048588', `${largestBytes}`, `${largestBytes + 1}`],
] as const;

test('a delay log that somebody made weaker is refused in words, and all else is served', {
  skip,
}, async () => {
  const { client, topic, server: node } = await setUp('changed');
  await client.produce(topic, { value: 'waits', delayMs: hour }, replicated);
  await client.close();
  const refused = async (setting: string, found: string, needed: string) => {
    await node.restart();
    const words = `internal topic __mqproxy.delay: ${setting} is ${found}, and must be ${needed}`;
    await until(() => node.stderr().includes(words), { ...patient, what: words });
    const other = await connect(node);
    assert(!other.node?.features.includes('delay'));
    const late = other.produce(topic, { value: 'x', delayMs: hour });
    await assert.rejects(late, { code: 'NOT_SUPPORTED' });
    const asked = { code: 'NOT_SUPPORTED', message: new RegExp(words) };
    await assert.rejects(other.delayed.list({ topic }), asked);
    await assert.rejects(other.delayed.series.list(), asked);
    await other.produce(topic, { value: 'now' }, replicated);
    await other.close();
  };
  for (const [setting, weak, needed] of compared) {
    assert.equal(await setDelayLog(setting, weak), needed);
    await refused(setting, weak, needed);
    await setDelayLog(setting, needed);
  }
  for (const [setting, , , strong] of compared) await setDelayLog(setting, strong);
  await node.restart();
  const back = await connectDelay(node);
  assert.equal((await listed(back, topic)).length, 1);
  await back.close();
  const values = (await readTopic(brokers, topic)).map(({ value }) => `${value}`);
  assert.deepEqual(new Set(values), new Set(['now']));
  // Kafka takes no partitions back, so this comes last.
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  await admin.createPartitions({ topicPartitions: [{ topic: '__mqproxy.delay', count: 17 }] });
  await admin.disconnect();
  await refused('partitions', '17', '16');
});
