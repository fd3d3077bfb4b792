import assert from 'node:assert/strict';
import { test } from 'node:test';
import { schedule } from '../../src/cli/load/delay-bench.ts';
import { connectDelay, delayNumbers } from '../support/connect.ts';
import { metric } from '../support/node-state.ts';
import { preloadEnv, skipWithoutPreload, WallClock } from '../support/preload.ts';
import { rssOf } from '../support/process-use.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const pending = countOf('MQP_DELAYS_PENDING', isLong ? 10_000_000 : 500_000);
const dayMs = 86_400_000;
const spanMs = 300 * dayMs;
/** One in so many comes due when the clock is put forward by a day and a half. */
const soonOneIn = 250;
/** What a node with ten million of them may hold, once what it freed was given back. */
const rssMaxMib = 600;
const patienceMs = 240_000 * Math.max(1, pending / 2_000_000);

test(`${pending} delays wait in an index that is read in pages, kept over kill -9, and fired from`, {
  skip: skipWithoutPreload(),
}, async () => {
  const clock = new WallClock(tempDir());
  const server = await startServer({ env: preloadEnv({ clock: clock.file }) });
  const topic = uniqueTopic('pending');
  let client = await connectDelay(server);
  const startMs = Date.now() + dayMs;
  const isSoon = (i: number) => i % soonOneIn === 0;
  const dueOf = (i: number) =>
    startMs + (isSoon(i) ? i % 1_000 : 2 * dayMs + Math.floor((i * spanMs) / pending));
  await schedule(client, { topic, count: pending, size: 100 }, dueOf);
  const isThere = async () => (await delayNumbers(client)).pending === pending;
  await until(isThere, { timeoutMs: patienceMs, everyMs: 100, what: 'all to be in the index' });
  const rssMib = () => Math.round(rssOf(server.pid) / 2 ** 20);
  const peakMib = rssMib();
  const isSmall = () => rssMib() <= rssMaxMib;
  await until(isSmall, { timeoutMs: 120_000, everyMs: 500, what: `RSS of ${rssMaxMib} MiB` });
  console.log(`pending=${pending} rss=${peakMib} MiB, then ${rssMib()} MiB`);
  assert.equal((await delayNumbers(client)).near, 0, 'what is far is not held in memory');
  const first = await client.delayed.list({ topic, limit: 100 });
  assert.deepEqual(
    first.delays.map(({ dueMs }) => dueMs),
    first.delays.map(({ dueMs }) => dueMs).sort((a, b) => a - b),
  );
  assert.equal(first.delays[0]?.dueMs, startMs);
  await client.close();

  await server.kill('SIGKILL');
  await server.restart();
  client = await connectDelay(server);
  assert.equal((await delayNumbers(client)).pending, pending);
  assert((await metric(server, 'mqproxy_delay_replays_total')) === 0, 'only its end is read again');
  clock.setOffset(1.5 * dayMs);
  const soon = Math.ceil(pending / soonOneIn);
  const isOver = async () => (await delayNumbers(client)).pending === pending - soon;
  await until(isOver, { timeoutMs: patienceMs, everyMs: 100, what: 'those that are due to fire' });
  const { fired, near } = await delayNumbers(client);
  assert.equal(fired, soon);
  assert.equal(near, 0);
  assert.equal(await metric(server, 'mqproxy_delay_fired_early_total'), 0);
  await client.close();
});
