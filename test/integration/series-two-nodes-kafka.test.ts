import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connect, connectDelay, delayNumbers } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { readTopic } from '../support/kafka-read.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const COUNT = 6;
const names = Array.from({ length: 12 }, (_, i) => `series-${i}`);
const patient = { timeoutMs: 60_000, everyMs: 200 };

const listOf = async (client: MqpClient) =>
  (await client.delayed.series.list({ limit: 100 })).series.map(({ series }) => series).sort();

/** The code that a request was refused with, or OK, and the owner that was named. */
async function refusalOf(work: Promise<unknown>): Promise<{ code: string; ownerNodeId?: string }> {
  try {
    await work;
    return { code: 'OK' };
  } catch (error) {
    return error as { code: string; ownerNodeId?: string };
  }
}

/** A series of this node that has not fired, however long a machine takes to cancel it. */
async function slowSeries(client: MqpClient, topic: string): Promise<string> {
  const every = { intervalMs: 3_600_000 };
  const { series } = await client.delayed.series.schedule({ topic, value: 'v', every });
  return series;
}

test('two nodes share series: who does not fire one names who does, and each number fires under one id', {
  skip: skipWithoutKafka(),
}, async () => {
  // A broker of its own: all nodes of one share the partitions of its delay log.
  const broker = await startKafka({ heapMaxMib: 320 });
  const brokers = { backend: 'kafka', kafkaBrokers: broker.address } as const;
  const servers = await Promise.all([startServer(brokers), startServer(brokers)]);
  const half = { partitions: 8 };
  const [one, two] = await Promise.all(servers.map((server) => connectDelay(server, half)));
  assert(one !== undefined && two !== undefined);
  const topic = uniqueTopic('series');
  const config = { 'message.timestamp.type': 'LogAppendTime' };
  await one.createTopic(topic, { partitions: 1, config });
  const asked = { topic, value: 'v', every: { intervalMs: 1_000 }, count: COUNT };
  const nodeOf = (client: MqpClient): string => client.node?.nodeId ?? '';

  const owners = new Map<string, { client: MqpClient; other: MqpClient; nextMs: number }>();
  for (const series of names) {
    const request = { ...asked, series, missed: 'all' } as const;
    const first = await refusalOf(one.delayed.series.cancel(series));
    const isTheirs = first.code === 'NOT_OWNER';
    const client: MqpClient = isTheirs ? two : one;
    const other: MqpClient = isTheirs ? one : two;
    const refused = await refusalOf(other.delayed.series.schedule(request));
    assert.equal(refused.code, 'NOT_OWNER');
    assert.equal(refused.ownerNodeId, nodeOf(client));
    const { nextMs } = await client.delayed.series.schedule(request);
    // At once: by the end of this loop the first may be over.
    assert((await listOf(client)).includes(series));
    assert(!(await listOf(other)).includes(series));
    owners.set(series, { client, other, nextMs });
  }
  for (const client of [one, two]) {
    const its = names.filter((series) => owners.get(series)?.client === client);
    assert(its.length > 1, 'each node fires some');
  }

  // What the wrong node refuses changes nothing; the right one does it.
  const gone = await slowSeries(two, topic);
  const goneToo = await slowSeries(two, topic);
  const refused = await refusalOf(one.delayed.series.cancel(gone));
  assert.equal(refused.ownerNodeId, nodeOf(two));
  const cli = (...asked: readonly (TestServer | undefined)[]) => {
    const addresses = asked.map((server) => `127.0.0.1:${server?.mqp.port}`).join();
    return runCli(['delay', 'series', 'cancel', gone, '--server', addresses]);
  };
  const wrong = await cli(servers[0]);
  assert.deepEqual([wrong.code, wrong.stdout], [1, '']);
  const words = `NOT_OWNER.*node ${nodeOf(two)}.*\\n {2}name that node too: --server`;
  assert.match(wrong.stderr, new RegExp(words));
  assert.equal((await cli(servers[0], servers[1])).stdout, 'cancelled\n');
  const both = await connect(servers);
  assert.equal(await both.delayed.series.cancel(goneToo), 'cancelled');
  assert.equal(nodeOf(both), nodeOf(one), 'it has asked the other, and stayed');
  const slow = { intervalMs: 5_000 };
  // A series without a name gets one that the node asked fires itself.
  const unnamed = await two.delayed.series.schedule({ ...asked, every: slow, count: 1 });
  assert((await listOf(two)).includes(unnamed.series));

  for (const client of [one, two]) {
    const fires = async () => (await delayNumbers(client)).seriesFired >= 3;
    await until(fires, { ...patient, what: 'series fire' });
  }
  await two.close();
  await servers[1]?.kill('SIGKILL');
  const hasAll = async () => (await delayNumbers(one)).ready === DELAY_PARTITIONS;
  await until(hasAll, { ...patient, what: 'the other to fire all' });
  await until(async () => (await listOf(one)).length === 0, { ...patient, what: 'all are over' });

  const ids = new Map<string, Set<string>>();
  let twice = 0;
  for (const { headers, mq, timestampMs } of await readTopic(broker.address, topic)) {
    const header = (wanted: string) => headers.find(([name]) => name === wanted)?.[1].toString();
    const [series = '', number = ''] = [header('mq-series'), header('mq-series-number')];
    const name = `${series} ${number}`;
    const dueMs = (owners.get(series)?.nextMs ?? 0) + (Number(number) - 1) * 1_000;
    if (series !== unnamed.series) assert(timestampMs >= dueMs, `${name} is early`);
    if (ids.has(name)) twice++;
    ids.set(name, (ids.get(name) ?? new Set()).add(mq?.id ?? ''));
  }
  for (const [name, its] of ids) assert.equal(its.size, 1, `${name} has one id`);
  for (const series of names) {
    for (let number = 1; number <= COUNT; number++) assert(ids.has(`${series} ${number}`));
  }
  console.log(`fired=${ids.size} twice=${twice}`);
  assert(twice <= names.length, 'only what was on its way at the kill is made twice');
  await one.close();
});
