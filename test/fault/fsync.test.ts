import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeTopics } from '../support/data-dir.ts';
import {
  isSync,
  type PreloadCall,
  preloadEnv,
  readPreloadLog,
  skipWithoutPreload,
} from '../support/preload.ts';
import { RawClient } from '../support/raw-client.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';

const skip = skipWithoutPreload();
const delayMs = 300;
const drivers: Readonly<Record<string, { file: string; find: RegExp; replace: string }>> = {
  unsynced: {
    file: 'src/store/key-value-lane-store.js',
    find: /sync: true/g,
    replace: 'sync: false',
  },
};

/** Both stores of a lane: the embedded log, and the outbox before a Kafka that is away. */
const backends = ['embedded', 'kafka'] as const;
type Backend = (typeof backends)[number];
const name = 'fsync';

/** Nobody listens at the broker's address, so the node must know its topic from before. */
function start(backend: Backend, dataDir: string, env: Record<string, string>, entry?: string) {
  if (backend === 'kafka') writeTopics(dataDir, [name]);
  const kafka = { kafkaBrokers: '127.0.0.1:1', args: ['--lanes', '1'] };
  const more = { ...(backend === 'kafka' ? kafka : {}), ...(entry === undefined ? {} : { entry }) };
  return startServer({ backend, dataDir, env, ...more });
}

async function open(server: TestServer): Promise<{ client: RawClient; topic: number }> {
  const client = await RawClient.connect(server.mqp);
  const { topicId } = await client.open(name);
  return { client, topic: topicId };
}

/** Milliseconds from sending one message to its answer. */
async function answerTime(client: RawClient, topic: number, first: number): Promise<number> {
  const sent = performance.now();
  const [outcome] = await client.produce({ topic, first, values: ['v'] });
  assert.equal(outcome?.name, 'OK');
  return performance.now() - sent;
}

/** The syncs of the store's write-ahead log. */
function logSyncs(log: string, dataDir: string): PreloadCall[] {
  const store = join(dataDir, 'lanes', '0', 'store');
  return readPreloadLog(log).filter(
    (call) => isSync(call) && call.path.startsWith(store) && /\.log$/.test(call.path),
  );
}

for (const backend of backends) {
  test(`with every sync delayed by 300 ms no stored answer comes sooner, ${backend}`, {
    skip,
  }, async () => {
    const dataDir = tempDir('mqproxy-data-');
    const env = preloadEnv({ pathPrefix: join(dataDir, 'lanes'), delayMs });
    const server = await start(backend, dataDir, env);
    const { client, topic } = await open(server);
    const times: number[] = [];
    for (const first of [1, 2, 3, 4, 5]) times.push(await answerTime(client, topic, first));
    console.log(`answered after ms: ${times.map(Math.round).join(' ')}`);
    assert(Math.min(...times) >= delayMs, `an answer came after ${Math.min(...times)} ms`);
  });

  test(`one sync serves each micro-batch and precedes its answers, ${backend}`, {
    skip,
  }, async () => {
    const dataDir = tempDir('mqproxy-data-');
    const log = join(tempDir(), 'calls');
    const env = preloadEnv({ pathPrefix: dataDir, log });
    const server = await start(backend, dataDir, env);
    const { client, topic } = await open(server);
    const rounds: { sentNs: bigint; answeredNs: bigint }[] = [];
    const values = Array.from({ length: 200 }, (_, i) => `value ${i}`);
    for (let round = 0; round < 20; round++) {
      const sentNs = process.hrtime.bigint();
      await client.produce({ topic, first: 1 + round * values.length, values, batch: true });
      rounds.push({ sentNs, answeredNs: process.hrtime.bigint() });
    }
    const syncs = logSyncs(log, dataDir);
    for (const { sentNs, answeredNs } of rounds) {
      const within = syncs.filter(({ startNs, endNs }) => startNs >= sentNs && endNs <= answeredNs);
      assert.equal(within.length, 1, 'one frame of 200 messages is one batch, and one sync');
      assert.equal(within[0]?.result, 0);
    }
  });

  test(`under load one sync serves many messages, ${backend}`, { skip }, async () => {
    const dataDir = tempDir('mqproxy-data-');
    const log = join(tempDir(), 'calls');
    const server = await start(backend, dataDir, preloadEnv({ pathPrefix: dataDir, log }));
    const { client, topic } = await open(server);
    const before = logSyncs(log, dataDir).length;
    const { batches: batchesBefore } = await counters(server);
    const values = Array.from({ length: 20_000 }, () => 'v'.repeat(100));
    await client.produce({ topic, first: 1, values });
    const { batches } = await counters(server);
    const syncs = logSyncs(log, dataDir).length - before;
    console.log(`messages=20000 syncs=${syncs} batches=${batches - batchesBefore}`);
    assert.equal(syncs, batches - batchesBefore, 'one sync for each micro-batch');
    assert(syncs < 2_000);
  });

  test(`a build that writes unsynced is noticed, ${backend}`, { skip }, async () => {
    const dataDir = tempDir('mqproxy-data-');
    const env = preloadEnv({ pathPrefix: join(dataDir, 'lanes'), delayMs });
    const entry = spoiltBuild(...Object.values(drivers));
    const server = await start(backend, dataDir, env, entry);
    const { client, topic } = await open(server);
    // On a slow machine some answers take as long for other reasons.
    let quickestMs = Number.POSITIVE_INFINITY;
    for (let first = 1; first <= 100 && quickestMs >= delayMs; first++)
      quickestMs = Math.min(quickestMs, await answerTime(client, topic, first));
    assert(quickestMs < delayMs, 'this build was to answer before its sync');
  });
}

async function counters(server: TestServer): Promise<{ batches: number }> {
  const { host, port } = server.admin;
  const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
  const found = /^mqproxy_batch_messages_count\{lane="0"\} (\d+)/m.exec(text);
  return { batches: Number(found?.[1]) };
}
