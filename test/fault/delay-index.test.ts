import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { metric } from '../support/node-state.ts';
import { DiskFaults, preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until, within } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const rounds = countOf('MQP_DELAY_INDEX_ERRORS', isLong ? 4 : 2);
const perRound = 60;

/** The values of a topic until each of them has come; how long each came before its due time. */
async function arrivals(server: TestServer, topic: string, dues: ReadonlyMap<string, number>) {
  const client = await connect(server);
  const missing = new Set(dues.keys());
  const early: string[] = [];
  try {
    for await (const { value, timestampMs } of client.tail(topic, { from: 'beginning' })) {
      const name = Buffer.from(value ?? []).toString();
      missing.delete(name);
      if (timestampMs < (dues.get(name) ?? 0)) early.push(name);
      if (missing.size === 0) break;
    }
  } finally {
    await client.close();
  }
  return early;
}

test('delayed messages whose index cannot be written for a while fire all the same', {
  skip: skipWithoutPreload(),
}, async () => {
  console.log(`seed=${seed}`);
  const random = new Seeded(seed);
  const dataDir = tempDir('mqproxy-data-');
  const disk = new DiskFaults(tempDir());
  const env = preloadEnv({ pathPrefix: dataDir, faults: disk.file });
  const server = await startServer({ dataDir, env });
  const client = await connect(server, { timeoutMs: 20_000 });
  const topic = uniqueTopic('later');
  const dues = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const does = random.below(2) === 0 ? 'EIO' : 'ENOSPC';
    const from = 1 + random.below(8);
    disk.set({ on: 'write', from, to: from + random.below(6), does, path: '/delay/' });
    for (let i = 0; i < perRound; i++) {
      const value = `${round}.${i}`;
      const dueAtMs = Date.now() + 500 + random.below(3_000);
      dues.set(value, dueAtMs);
      await client.produce(topic, { value, dueAtMs });
    }
    await passing(random.below(1_000));
    disk.clear();
  }
  await client.close();
  const early = await within(arrivals(server, topic, dues), 60_000, 'all delayed messages');
  assert.deepEqual(early, []);
});

/** A node whose index of delayed messages fails, and is not opened again until `disk` is well. */
async function startFailed() {
  const dataDir = tempDir('mqproxy-data-');
  const disk = new DiskFaults(tempDir());
  const env = preloadEnv({ pathPrefix: dataDir, faults: disk.file });
  const server = await startServer({ dataDir, env });
  const client = await connect(server, { timeoutMs: 3_000 });
  const topic = uniqueTopic('failed');
  const every = { intervalMs: 3_600_000 };
  await client.delayed.series.schedule({ series: 'before', topic, value: 'x', every });
  disk.set({ on: 'write', does: 'EIO', to: Number.POSITIVE_INFINITY, path: '/delay/' });
  await client.delayed.series
    .schedule({ series: 'meanwhile', topic, value: 'x', every })
    .catch(() => {});
  await until(() => server.stderr().includes('wait for the cluster, or for the disk'), {
    what: 'an index that cannot be opened again',
  });
  return { server, disk, client };
}

test('while the index is opened again commands are to be tried later, and counts stay', {
  skip: skipWithoutPreload(),
}, async () => {
  const { server, disk, client } = await startFailed();
  const { series } = client.delayed;
  const applied = await metric(server, 'mqproxy_delay_applied_total');
  assert.ok(applied > 0, `applied ${applied}`);
  const later = { code: 'RETRY_LATER' };
  await assert.rejects(series.list(), later);
  await assert.rejects(series.cancel('before'), later);
  await assert.rejects(client.delayed.list(), later);
  await assert.rejects(client.delayed.stats(), later);
  const other = await connect(server);
  assert.ok(other.node?.features.includes('series'));
  await other.close();
  disk.clear();
  const countSeries = async () => (await series.list()).series.length;
  await until(async () => (await countSeries().catch(() => 0)) === 2, {
    what: 'both series',
  });
  assert.ok((await metric(server, 'mqproxy_delay_applied_total')) >= applied);
  await client.close();
});

test('a node whose index cannot be opened again ends on SIGTERM', {
  skip: skipWithoutPreload(),
}, async () => {
  const { server, client } = await startFailed();
  await client.close();
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
});
