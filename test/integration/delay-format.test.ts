import assert from 'node:assert/strict';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connect } from '../support/connect.ts';
import { metricsOf } from '../support/dead-letters.ts';
import { repoRoot } from '../support/repo.ts';
import { startServer } from '../support/start-server.ts';
import { packFolder, unpackFolder } from '../support/store-fixture.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';

// A data folder with delayed messages and series as it was left by this format; a new one adds a
// file (`MQP_WRITE_FIXTURES=1` writes what is missing), and keeps the old ones. Whenever it is
// opened, what was due a few seconds after it was written is overdue.
const file = join(repoRoot, 'test', 'integration', 'fixtures', 'embedded-delays-format-1.bin');
const topic = 'kept';
const COUNT = 20;
/** Fires on the 29th of February, and not for those that were missed. */
const leap = { series: 'leap', every: { cron: '0 12 29 2 *', timeZone: 'Europe/Berlin' } } as const;
const thrice = { series: 'thrice', every: { intervalMs: 10_000 }, count: 3 } as const;

async function makeFolder(): Promise<string> {
  const server = await startServer();
  const client = await connect(server);
  await client.createTopic(topic, { partitions: 1 });
  const dueAtMs = Date.now() + 10_000;
  const sent = [];
  for (let i = 0; i < COUNT; i++) {
    sent.push(await client.produce(topic, { value: `${i}`, dueAtMs: dueAtMs + i }));
  }
  const one = { key: 'one', unique: true, delayMs: 12_000 };
  await client.produce(topic, { ...one, value: 'replaced' });
  await client.produce(topic, { ...one, value: 'replaces' });
  assert.equal(await client.delayed.cancel({ id: sent[7]?.delayId ?? '' }), 'cancelled');
  const { series } = client.delayed;
  await series.schedule({ ...leap, topic, value: 'leap', missed: 'skip', key: 'k' });
  await series.schedule({ ...thrice, topic, value: 'series', missed: 'all' });
  assert.equal(await series.cancel('thrice', 2), 'cancelled');
  await client.close();
  await server.kill('SIGTERM');
  return server.dataDir;
}

async function valuesOf(client: MqpClient, count: number): Promise<string[]> {
  const values: string[] = [];
  for await (const { value, headers } of client.tail(topic, { from: 'beginning' })) {
    const number = headers.find(([name]) => name === 'mq-series-number')?.[1];
    const text = Buffer.from(value ?? '').toString();
    values.push(number ? `${text} ${Buffer.from(number)}` : text);
    if (values.length === count) break;
  }
  return values;
}

for (const index of ['kept', 'lost']) {
  test(`delayed messages and series of format 1 go on, the index ${index}`, async () => {
    if (process.env['MQP_WRITE_FIXTURES'] === '1' && !existsSync(file)) {
      packFolder(await makeFolder(), file);
    }
    const dataDir = tempDir('mqproxy-format-');
    unpackFolder(file, dataDir);
    if (index === 'lost') rmSync(join(dataDir, 'delay'), { recursive: true });
    const server = await startServer({ dataDir });
    const client = await connect(server);
    const expected = Array.from({ length: COUNT }, (_, i) => `${i}`).filter((i) => i !== '7');
    expected.push('replaces', 'series 1', 'series 3');
    const end = async () => (await client.describeTopic(topic)).partitions[0]?.endOffset ?? 0;
    const all = { timeoutMs: 60_000, what: 'all that is overdue has fired' };
    await until(async () => (await end()) >= expected.length, all);
    const waits = async () =>
      (await client.delayed.list({ topic })).delays.map(({ series }) => series);
    await until(async () => (await waits()).join() === 'leap', { what: 'the series alone waits' });
    const values = await valuesOf(client, await end());
    assert.deepEqual(values.toSorted(), expected.toSorted());
    const plain = values.filter((value) => /^\d+$/.test(value)).map(Number);
    assert.deepEqual(
      plain,
      plain.toSorted((a, b) => a - b),
      'in the order of due times',
    );
    const [kept] = (await client.delayed.series.list()).series;
    assert.deepEqual(
      [kept?.series, kept?.every, kept?.missed, Buffer.from(kept?.key ?? '').toString()],
      [leap.series, leap.every, 'skip', 'k'],
    );
    assert((kept?.nextMs ?? 0) > Date.now());
    assert.equal(await client.delayed.series.cancel('leap'), 'cancelled');
    const replays = /mqproxy_delay_replays_total\{cluster="0"\} (\d+)/.exec(
      await metricsOf(server),
    )?.[1];
    assert.equal(
      Number(replays) > 0,
      index === 'lost',
      `${replays} partitions read from the start`,
    );
    await client.close();
  });
}
