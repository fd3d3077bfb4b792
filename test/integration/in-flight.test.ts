import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
// tidy-allow sleep: a gauge is sampled while the load runs
import { preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing } from '../support/wait.ts';

const skip = skipWithoutPreload();
const KiB = 1024;
/** What one read of a connection may bring beyond a limit that is not reached yet. */
const readBytes = 256 * KiB;
const value = 'v'.repeat(200);
/** Bytes of such a message on the wire, at least. */
const frameBytes = 200;
const small = ['--limits.frame-bytes-max', '64KiB', '--limits.message-bytes-max', '32KiB'];

/** A node whose syncs are slow, so that messages wait for their answer. */
async function startSlow(...args: string[]): Promise<TestServer> {
  const dataDir = tempDir('mqproxy-data-');
  const env = preloadEnv({ pathPrefix: join(dataDir, 'lanes'), delayMs: 50 });
  return startServer({ dataDir, env, args: [...small, ...args] });
}

/** What all clients get for so many messages each, and the highest the two gauges stood at. */
async function load(server: TestServer, clients: number, count: number) {
  const topic = uniqueTopic('flight');
  const most = { messages: 0, bytes: 0, samples: 0 };
  let isOver = false;
  const sampling = (async () => {
    const url = `http://${server.admin.host}:${server.admin.port}/metrics`;
    const gauge = (text: string, name: string) =>
      Number(new RegExp(`^mqproxy_in_flight_${name} (\\S+)$`, 'm').exec(text)?.[1]);
    while (!isOver) {
      const text = await (await fetch(url)).text();
      most.messages = Math.max(most.messages, gauge(text, 'messages'));
      most.bytes = Math.max(most.bytes, gauge(text, 'bytes'));
      most.samples++;
      await passing(5);
    }
  })();
  const producing = Array.from({ length: clients }, async () => {
    const client = await RawClient.connect(server.mqp);
    const { topicId } = await client.open(topic);
    const values = Array.from({ length: count }, () => value);
    const outcomes = await client.produce({ topic: topicId, first: 1, values }, 60_000);
    return outcomes.filter(({ name }) => name !== 'OK').length;
  });
  const refused = await Promise.all(producing).finally(() => {
    isOver = true;
  });
  await sampling;
  console.log(`samples=${most.samples} messages<=${most.messages} bytes<=${most.bytes}`);
  assert.deepEqual(
    refused,
    refused.map(() => 0),
    'what was held back is answered all the same',
  );
  assert(most.samples > 5 && most.messages > 0);
  return most;
}

test('beyond its messages in flight a connection is not read', { skip }, async () => {
  const server = await startSlow('--limits.in-flight-messages-max', '100');
  const { messages } = await load(server, 1, 10_000);
  assert(messages <= 100 + readBytes / frameBytes, `${messages} messages were in flight`);
});

test('beyond its bytes in flight a connection is not read', { skip }, async () => {
  const server = await startSlow('--limits.in-flight-bytes-max', '64KiB');
  const { bytes } = await load(server, 1, 10_000);
  assert(bytes <= 64 * KiB + readBytes, `${bytes} bytes were in flight`);
});

test('beyond the bytes of all connections none is read, and each gets on', { skip }, async () => {
  const mebibyte = ['--limits.in-flight-bytes-max', '1MiB'];
  const server = await startSlow(...mebibyte, '--limits.global-in-flight-bytes-max', '1MiB');
  const { bytes } = await load(server, 4, 8_000);
  assert(bytes <= KiB * KiB + readBytes, `${bytes} bytes were in flight`);
  assert(bytes > (KiB * KiB) / 2, `only ${bytes} bytes were in flight: the limit was not reached`);
});
