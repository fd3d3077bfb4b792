import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connect, connectDelay, delayNumbers } from '../support/connect.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { GIVE_UP_MS, until, within } from '../support/wait.ts';

interface Fired {
  readonly value: string;
  readonly id: string | undefined;
  readonly number: number;
  readonly series: string | undefined;
  readonly timestampMs: number;
}

/** The first `count` messages of a topic. */
function read(client: MqpClient, topic: string, count: number): Promise<Fired[]> {
  return within(readAll(client, topic, count), GIVE_UP_MS, `${count} messages of ${topic}`);
}

async function readAll(client: MqpClient, topic: string, count: number): Promise<Fired[]> {
  const fired: Fired[] = [];
  for await (const record of client.tail(topic, { from: 'beginning' })) {
    const header = (name: string) => {
      const found = record.headers.find(([it]) => it === name)?.[1];
      return found === undefined || found === null ? undefined : Buffer.from(found).toString();
    };
    fired.push({
      value: Buffer.from(record.value ?? '').toString(),
      id: record.id,
      number: Number(header('mq-series-number')),
      series: header('mq-series'),
      timestampMs: record.timestampMs,
    });
    if (fired.length === count) break;
  }
  return fired;
}

test('a series fires at its interval, each firing numbered, and ends by its count', async () => {
  const server = await startServer();
  // A series without a name is one of a partition that the node fires from.
  const client = await connectDelay(server);
  assert(client.node?.features.includes('series'));
  const topic = uniqueTopic('series');
  await client.createTopic(topic, { partitions: 1 });
  const beforeMs = Date.now();
  const every = { intervalMs: 1_000 };
  const { series } = client.delayed;
  const answer = await series.schedule({ topic, value: 'tick', key: 'k', every, count: 3 });
  assert.match(answer.series, /^s-[0-9a-f]{16}$/);
  assert(answer.nextMs >= beforeMs + 1_000);
  const fired = await read(client, topic, 3);
  for (const [i, one] of fired.entries()) {
    assert.deepEqual([one.value, one.number, one.series], ['tick', i + 1, answer.series]);
    assert.equal(one.id, fired[0]?.id?.replace(/1$/, String(i + 1)));
    assert(one.timestampMs >= answer.nextMs + i * 1_000, 'never early');
  }
  const isOver = async () => (await series.list()).series.length === 0;
  await until(isOver, { what: 'the series is over' });
  assert.equal(await series.cancel(answer.series), 'notFound');
  await client.close();
});

test('a series of growing waits fires at each of its times, and nothing after its end', async () => {
  const server = await startServer();
  const client = await connectDelay(server);
  const topic = uniqueTopic('growing');
  await client.createTopic(topic, { partitions: 1 });
  const { series } = client.delayed;
  // Due after 1, 5 and 21 seconds.
  const every = { firstMs: 1_000, factor: 4 };
  const untilMs = Date.now() + 13_000;
  const { nextMs } = await series.schedule({ topic, value: 'grown', every, untilMs });
  const isOver = async () => (await series.list()).series.length === 0;
  await until(isOver, { everyMs: 100, what: 'the series is over' });
  const [partition] = (await client.describeTopic(topic)).partitions;
  assert.equal(partition?.endOffset, 2);
  const fired = await read(client, topic, 2);
  for (const [i, { number, timestampMs }] of fired.entries()) {
    assert.equal(number, i + 1);
    assert(timestampMs >= nextMs + i * 4_000, `${i}: ${timestampMs}`);
  }
  await client.close();
});

test('series are replaced, listed, cancelled and refused over the wire', async () => {
  const server = await startServer();
  const client = await connect(server);
  const topic = uniqueTopic('wire');
  const { series } = client.delayed;
  const nightly = { cron: '0 3 * * *', timeZone: 'Europe/Berlin' };
  const base = { series: 'nightly', topic, value: 'v' };
  await series.schedule({ ...base, every: { intervalMs: 86_400_000 } });
  const { nextMs } = await series.schedule({ ...base, every: nightly, count: 5, missed: 'skip' });
  const local = new Date(nextMs).toLocaleTimeString('en-GB', { timeZone: 'Europe/Berlin' });
  assert.equal(local, '03:00:00');
  assert.equal(await series.cancel('nightly', 1), 'cancelled');
  assert.equal(await series.cancel('nightly', 1), 'tooLate');
  assert.equal(await series.cancel('nightly', 4), 'cancelled');
  assert.equal(await series.cancel('nightly', 6), 'notFound');
  const [listed] = (await series.list()).series;
  assert(listed !== undefined && (listed.nextMs ?? 0) > nextMs);
  assert.deepEqual([listed.nextNumber, listed.cancelled, listed.every], [2, [4], nightly]);
  const [delay] = (await client.delayed.list({ topic })).delays;
  assert.deepEqual([delay?.series, delay?.dueMs], ['nightly', listed.nextMs]);
  const ref = { id: delay?.id ?? '' };
  await assert.rejects(client.delayed.cancel(ref), { code: 'NOT_SUPPORTED' });
  await assert.rejects(client.delayed.move({ ...ref, delayMs: 1 }), { code: 'NOT_SUPPORTED' });
  const refused = (more: object, code: string, message: RegExp) =>
    assert.rejects(series.schedule({ ...base, every: nightly, ...more }), { code, message });
  await refused({ every: { cron: '61 3 * * *' } }, 'INVALID_ARGUMENT', /cannot be read/);
  await refused({ every: { ...nightly, timeZone: 'Berlin' } }, 'INVALID_ARGUMENT', /time zone/);
  await refused({ untilMs: 5 }, 'INVALID_ARGUMENT', /is over/);
  await refused({ series: 'n'.repeat(129) }, 'INVALID_ARGUMENT', /128 bytes/);
  await refused({ value: 'v'.repeat(1_048_576) }, 'MESSAGE_TOO_LARGE', /with its headers/);
  await refused({ key: 'k'.repeat(40_000) }, 'MESSAGE_TOO_LARGE', /the key has/);
  assert.equal((await series.list()).series[0]?.nextNumber, 2, 'it goes on as it was');
  assert.equal(await series.cancel('nightly'), 'cancelled');
  assert.deepEqual((await series.list()).series, []);
  await client.close();
});

test('the program adds, lists and cancels series, and says what is wrong', async () => {
  const server = await startServer();
  await (await connectDelay(server)).close();
  const topic = uniqueTopic('program');
  const at = ['--server', `${server.mqp.host}:${server.mqp.port}`];
  const run = (words: readonly string[], input = '') =>
    runCli(['delay', 'series', ...words, ...at], input);
  const name = ['--name', 'hourly'];
  const added = await run(['add', topic, ...name, '--every', '1h', '--json'], 'tick\n');
  assert.equal(added.code, 0, added.stderr);
  assert.equal((JSON.parse(added.stdout) as { series: string }).series, 'hourly');
  const berlin = ['--cron', '0 3 * * *', '--time-zone', 'Europe/Berlin', '--value', 'v'];
  const nightly = await run(['add', topic, '--name', 'nightly', ...berlin]);
  assert.match(nightly.stdout, /^nightly {2}first \d{4}-.*Z\n$/);
  const growing = ['--first', '1m', '--factor', '2', '--max', '1h', '--value', 'v', '--key', 'k'];
  const grown = await run(['add', topic, ...growing, '--until', '2100-01-01', '--count', '9']);
  assert.match(grown.stdout, /^s-[0-9a-f]{16} {2}first/);
  const table = (await run(['list'])).stdout;
  assert.match(table, /1h +hourly/);
  assert.match(table, /0 3 \* \* \* Europe\/Berlin +nightly/);
  assert.match(table, /1m × 2 up to 1h +s-/);
  const lines = (await run(['list', '--json'])).stdout.trim().split('\n');
  const keyed = lines.map((line) => JSON.parse(line)).find(({ key }) => key === 'k');
  assert.deepEqual([keyed.count, keyed.untilMs, keyed.missed], [9, 4_102_444_800_000, 'once']);
  assert.equal((await run(['cancel', 'hourly', '--number', '7'])).stdout, 'cancelled\n');
  assert.equal((await run(['cancel', 'hourly', '--json'])).stdout, '{"outcome":"cancelled"}\n');
  assert.deepEqual(await run(['cancel', 'hourly']), { code: 1, stdout: 'notFound\n', stderr: '' });
  const wrong = async (words: readonly string[], code: number, stderr: RegExp) => {
    const ended = await run(words, 'v');
    assert.deepEqual([ended.code, ended.stdout], [code, '']);
    assert.match(ended.stderr, stderr);
  };
  await wrong([], 2, /delay series needs one of add, list, cancel/);
  await wrong(['ad', topic], 2, /did you mean add/);
  await wrong(['add'], 2, /takes a TOPIC/);
  await wrong(['add', topic], 2, /take one of --every, --cron/);
  await wrong(['add', topic, '--every', '10ms'], 2, /--every: "10ms"/);
  await wrong(['add', topic, '--first', '1s'], 2, /--factor from 1 to 1000/);
  await wrong(['add', topic, '--every', '1s', '--time-zone', 'UTC'], 2, /belongs to --cron/);
  await wrong(['add', topic, '--cron', '* * *'], 1, /cron "\* \* \*" has 3 fields; it takes 5/);
  await wrong(['cancel'], 2, /takes a NAME/);
});

/** Numbers that came, and the ids they came under. */
function byNumber(fired: readonly Fired[]): Map<number, Set<string>> {
  const numbers = new Map<number, Set<string>>();
  for (const { number, id = '' } of fired) {
    numbers.set(number, (numbers.get(number) ?? new Set()).add(id));
  }
  return numbers;
}

async function firedOf(server: TestServer): Promise<number> {
  const client = await connect(server);
  const { seriesFired } = await delayNumbers(client);
  await client.close();
  return seriesFired;
}

test('kill -9 while series fire loses no number, and one made twice has one id', async () => {
  const server = await startServer();
  const topic = uniqueTopic('kill');
  const first = await connect(server);
  await first.createTopic(topic, { partitions: 1 });
  const every = { intervalMs: 1_000 };
  const names = ['a', 'b', 'c', 'd'];
  const schedule = (series: string) =>
    first.delayed.series.schedule({ series, topic, value: series, every, count: 6, missed: 'all' });
  const answers = await Promise.all(names.map(schedule));
  await first.close();
  for (const fired of [2, 1]) {
    await until(async () => (await firedOf(server)) >= fired, { what: `${fired} firings` });
    await server.kill('SIGKILL');
    await server.restart();
  }
  const client = await connect(server);
  const isOver = async () => (await client.delayed.series.list()).series.length === 0;
  await until(isOver, { what: 'the series are over' });
  const seen: Fired[] = [];
  const enough = async () => {
    const end = (await client.describeTopic(topic)).partitions[0]?.endOffset ?? 0;
    seen.splice(0, seen.length, ...(await read(client, topic, end)));
    return seen.length >= 24;
  };
  await until(enough, { what: 'all firings' });
  for (const [i, series] of names.entries()) {
    const mine = seen.filter((one) => one.series === series);
    const numbers = byNumber(mine);
    assert.deepEqual([...numbers.keys()].sort(), [1, 2, 3, 4, 5, 6]);
    for (const ids of numbers.values()) assert.equal(ids.size, 1);
    for (const { number, timestampMs } of mine) {
      assert(timestampMs >= (answers[i]?.nextMs ?? 0) + (number - 1) * 1_000, 'never early');
    }
  }
  console.log(`fired=${seen.length} twice=${seen.length - 24}`);
  await client.close();
});
