import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { DiskFaults, preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, within } from '../support/wait.ts';

const rounds = countOf('MQP_DELAY_INDEX_ERRORS', 4);
const perRound = 60;

/** The values of a topic until each of them has come; how long each came before its due time. */
async function arrivals(server: TestServer, topic: string, dues: ReadonlyMap<string, number>) {
  const { host, port } = server.mqp;
  const client = await MqpClient.connect({ servers: [`${host}:${port}`] });
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
  const { host, port } = server.mqp;
  const client = await MqpClient.connect({ servers: [`${host}:${port}`], timeoutMs: 20_000 });
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
