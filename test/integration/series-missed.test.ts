import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connect } from '../support/connect.ts';
import { preloadEnv, skipWithoutPreload, WallClock } from '../support/preload.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const HOUR_MS = 3_600_000;

/** What each series fired, by its number. */
async function numbersOf(client: MqpClient, topic: string): Promise<Record<string, number[]>> {
  const [partition] = (await client.describeTopic(topic)).partitions;
  const numbers: Record<string, number[]> = {};
  let left = partition?.endOffset ?? 0;
  if (left === 0) return numbers;
  for await (const { value, headers } of client.tail(topic, { from: 'beginning' })) {
    const number = headers.find(([name]) => name === 'mq-series-number')?.[1];
    const series = Buffer.from(value ?? '').toString();
    numbers[series] ??= [];
    numbers[series].push(Number(Buffer.from(number ?? '').toString()));
    left -= 1;
    if (left === 0) break;
  }
  return numbers;
}

test('a node that was away for hours does about missed firings what each series says', {
  skip: skipWithoutPreload(),
}, async () => {
  const clock = new WallClock(tempDir());
  const server = await startServer({ env: preloadEnv({ clock: clock.file }) });
  const topic = uniqueTopic('missed');
  const first = await connect(server);
  await first.createTopic(topic, { partitions: 1 });
  for (const series of ['skip', 'once', 'all'] as const) {
    const every = { intervalMs: HOUR_MS };
    const asked = { series, topic, value: series, missed: series, count: 5 };
    await first.delayed.series.schedule({ ...asked, every });
  }
  const secondly = { series: 'burst', topic, value: 'burst', count: 1_000 };
  await first.delayed.series.schedule({ ...secondly, every: { intervalMs: 1_000 }, missed: 'all' });
  await first.delayed.series.cancel('all', 2);
  await first.close();
  await server.kill('SIGTERM');
  clock.setOffset(3 * HOUR_MS + 120_000);
  await server.restart();
  const client = await connect(server);
  const isMade = async () => (await numbersOf(client, topic))['burst']?.length === 1_000;
  await until(isMade, { everyMs: 200, what: 'a thousand missed firings' });
  const { burst, ...numbers } = await numbersOf(client, topic);
  assert.deepEqual(numbers, { once: [3], all: [1, 3] });
  assert.deepEqual(burst, [...Array.from({ length: 1_000 }, (_, i) => i + 1)], 'in order');
  const left = (await client.delayed.series.list()).series;
  const next = left.map(({ series, fired, nextNumber }) => `${series} ${fired} ${nextNumber}`);
  assert.deepEqual(next.sort(), ['all 2 4', 'once 1 4', 'skip 0 4']);
  clock.setOffset(4 * HOUR_MS + 30_000);
  const isNext = async () => (await numbersOf(client, topic))['skip']?.length === 1;
  await until(isNext, { everyMs: 200, what: 'the firing after those missed' });
  await client.close();
  clock.close();
});
