import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayIdOfKey, formatDelayId } from '../../protocol/src/delay-id.ts';
import { connect, delayNumbers } from '../support/connect.ts';
import { metric } from '../support/node-state.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

interface Line {
  readonly id?: string;
  readonly delayId?: string;
  readonly dueAtMs?: number;
  readonly dueMs?: number;
  readonly topic?: string;
  readonly value?: string;
  readonly key?: string;
  readonly cluster?: number;
  readonly cursor?: string;
  readonly outcome?: string;
}

const hour = 3_600_000;

/** A node, its program, and a topic of the test's own. */
async function setUp() {
  const server = await startServer();
  const at = ['--server', `${server.mqp.host}:${server.mqp.port}`];
  const topic = uniqueTopic('cli');
  const run = async (words: readonly string[], input = '') => {
    const { code, stdout, stderr } = await runCli([...words, ...at], input);
    return { code, stdout, stderr };
  };
  const json = async (words: readonly string[], input = '', code = 0): Promise<Line[]> => {
    const done = await run([...words, '--json'], input);
    assert.equal(done.code, code, `${words.join(' ')}: ${done.stderr}`);
    return done.stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Line);
  };
  const client = await connect(server);
  /** What is sent is on its way to the delay log for a moment. */
  const untilPending = (count: number) =>
    until(async () => (await delayNumbers(client)).pending === count, { what: `${count} pending` });
  return { server, client, topic, run, json, untilPending };
}

test('produce says when each line is due and under which id, for every way to delay it', async () => {
  const { client, topic, run, json, untilPending } = await setUp();
  const produce = ['produce', topic];
  const within = async (words: readonly string[], aheadMs: number) => {
    const fromMs = Date.now();
    const lines = await json([...produce, ...words], 'one\ntwo\n');
    for (const { delayId = '', dueAtMs = 0 } of lines) {
      assert.match(delayId, /^d1-[0-9a-f]{48}$/);
      const late = dueAtMs - fromMs - aheadMs;
      assert(late >= 0 && late <= Date.now() - fromMs, `${words}: ${dueAtMs} is ${late} off`);
    }
    assert.equal(new Set(lines.map(({ delayId }) => delayId)).size, 2);
  };
  await within(['--delay', '2h'], 2 * hour);
  await within(['--level', '1h'], hour);
  const dueMs = Math.floor(Date.now() / 1000) * 1000 + 3 * hour;
  for (const due of [new Date(dueMs).toISOString(), String(dueMs)]) {
    const [line] = await json([...produce, '--due', due], 'x\n');
    assert.equal(line?.dueAtMs, dueMs);
  }
  await untilPending(6);

  const [soon] = await json([...produce, '--delay', '50ms'], 'soon\n');
  for await (const { id, value } of client.tail(topic, { from: 'beginning' })) {
    assert.deepEqual([id, Buffer.from(value ?? '').toString()], [soon?.id, 'soon']);
    break;
  }

  const keyed = [...produce, '--key-separator', ':', '--unique', '--delay', '1h'];
  const id = formatDelayId(delayIdOfKey(topic, 'k'));
  const sent = await json(keyed, 'k:first\nk:second\n');
  assert.deepEqual([...new Set(sent.map(({ delayId }) => delayId))], [id]);
  await untilPending(7);
  assert.equal((await json([...keyed, '--if-absent'], 'k:third\n'))[0]?.delayId, id);
  await json(keyed, 'other:one\n');
  await untilPending(8);
  const [shown] = await json(['delay', 'show', id]);
  assert.deepEqual([shown?.value, shown?.key], ['second', 'k']);

  const refused = await json([...produce, '--delay', '401d'], 'x\n', 1);
  assert.deepEqual(refused, [{ n: 1, error: 'BEYOND_HORIZON' }]);
  for (const words of [
    ['--due', 'soon'],
    ['--delay', '1h', '--level', '1h'],
    ['--level', 'x'],
  ]) {
    assert.equal((await run([...produce, ...words])).code, 2);
  }
});

test('delay list, show, cancel, move and stats do on a node what they say', async () => {
  const { topic, run, json, untilPending } = await setUp();
  const startMs = Date.now() + hour;
  const other = uniqueTopic('other');
  for (let i = 0; i < 5; i++) {
    const to = i === 2 ? other : topic;
    await json(['produce', to, '--due', String(startMs + i * 1_000)], `v${i}\n`);
  }
  await untilPending(5);
  const dues = (lines: readonly Line[]) =>
    lines.flatMap(({ dueMs }) => (dueMs === undefined ? [] : [(dueMs - startMs) / 1_000]));
  const list = ['delay', 'list'];
  assert.deepEqual(dues(await json(list)), [0, 1, 2, 3, 4]);
  const ofTopic = [...list, '--topic', topic];
  const from = ['--from', new Date(startMs + 1_000).toISOString(), '--to', String(startMs + 4_000)];
  assert.deepEqual(dues(await json([...ofTopic, ...from])), [1, 3]);
  const page = await json([...ofTopic, '--limit', '3']);
  const cursor = page.at(-1)?.cursor ?? '';
  assert.deepEqual(dues(page), [0, 1, 3]);
  const last = await json([...ofTopic, '--limit', '3', '--cursor', cursor]);
  assert.deepEqual([dues(last), last.at(-1)?.cursor], [[4], undefined]);
  assert.match(
    (await run(ofTopic)).stdout,
    new RegExp(`^due +topic +bytes +id\n.*Z +${topic} +2 +d1-`),
  );
  assert.equal((await run([...list, '--cursor', 'c'])).code, 1);

  const ids = page.map(({ id }) => id ?? '');
  const [shown] = await json(['delay', 'show', ids[0] ?? '']);
  const { id, dueMs, value, cluster } = shown ?? {};
  assert.deepEqual([id, shown?.topic, dueMs, value, cluster], [ids[0], topic, startMs, 'v0', 0]);
  assert.match((await run(['delay', 'show', ids[0] ?? ''])).stdout, /^value {2}v0$/m);

  const to = String(startMs + 9_000);
  const [moved] = await json(['delay', 'move', ids[0] ?? '', '--due', to]);
  assert.deepEqual(moved, { outcome: 'moved', dueMs: startMs + 9_000 });
  assert.equal((await run(['delay', 'move', ids[0] ?? ''])).code, 2);
  assert.deepEqual(dues(await json(ofTopic)), [1, 3, 4, 9]);
  assert.equal((await run(['delay', 'cancel', ids[1] ?? ''])).stdout, 'cancelled\n');
  assert.deepEqual(await json(['delay', 'cancel', ids[1] ?? ''], '', 1), [{ outcome: 'notFound' }]);
  const gone = await run(['delay', 'show', ids[1] ?? '']);
  assert.deepEqual([gone.code, /NOT_FOUND|nothing waits/.test(gone.stderr)], [1, true]);

  const [stats] = (await json(['delay', 'stats'])) as unknown as Record<string, number>[];
  const { pending, cancelled, nextDueMs } = stats ?? {};
  assert.deepEqual(
    { pending, cancelled, nextDueMs },
    { pending: 4, cancelled: 1, nextDueMs: startMs + 2_000 },
  );
  assert.match((await run(['delay', 'stats', '--topic', other])).stdout, /^pending {2}1$/m);
  await json(['delay', 'move', ids[2] ?? '', '--delay', '0s']);
  await untilPending(3);
});

test('metrics count what fired late, what was cancelled, moved and asked too late, and the loads', async () => {
  const { server, client, topic } = await setUp();
  const count = (name: string) => metric(server, `mqproxy_delay_${name}_total{`);
  const counts = () =>
    Promise.all(['fired_late', 'cancelled', 'moved', 'too_late', 'fired_early'].map(count));
  assert.deepEqual(await counts(), [0, 0, 0, 0, 0]);
  const schedule = async (input: object) => {
    const { delayId = '' } = await client.produce(topic, { value: 'v', ...input });
    return { id: delayId };
  };
  await schedule({ dueAtMs: Date.now() - 60_000 });
  await until(async () => (await count('fired_late')) === 1, { what: 'what was due long ago' });
  const found = { cancelled: 0, moved: 0, tooLate: 0 };
  const ask = async (what: Promise<string>): Promise<string> => {
    const outcome = await what;
    if (outcome in found) found[outcome as keyof typeof found]++;
    return outcome;
  };
  const id = await schedule({ delayMs: hour });
  await until(async () => (await delayNumbers(client)).pending === 1, { what: 'it is applied' });
  const move = async () => (await client.delayed.move({ ...id, delayMs: 2 * hour })).outcome;
  assert.deepEqual([await ask(move()), await ask(move())], ['moved', 'moved']);
  assert.equal(await ask(client.delayed.cancel(id)), 'cancelled');
  // What has fired is known for a moment, until that is applied from the log.
  const isTooLate = async () => {
    const due = await schedule({ delayMs: 0 });
    for (let i = 0; i < 50 && found.tooLate === 0; i++) await ask(client.delayed.cancel(due));
    return found.tooLate > 0;
  };
  await until(isTooLate, { what: 'a cancel that is too late' });
  const { cancelled, moved, tooLate } = found;
  const [late = 0, ...others] = await counts();
  assert(late >= 1 && late <= (await count('fired')), `${late} are late`);
  assert.deepEqual(others, [cancelled, moved, tooLate, 0]);
  assert((await count('loads')) > 0);
});
