import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RawClient } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

/** Sends `frames` times 50 messages one behind the other; how long the answers took, in ms. */
async function timeFor(client: RawClient, topic: number, first: number, frames: number) {
  const began = performance.now();
  for (let i = 0; i < frames; i++) {
    const values = Array.from({ length: 50 }, (_, n) => `${i} ${n}`);
    const outcomes = await client.produce({ topic, first: first + 50 * i, values });
    assert(outcomes.every(({ name }) => name === 'OK'));
  }
  return performance.now() - began;
}

test('a rate slows its token down and refuses nothing, and SIGHUP takes it away', async () => {
  const file = join(tempDir(), 'mqproxy.yaml');
  writeFileSync(file, 'rates: { perToken: { messages: 100 } }\n');
  const server = await startServer({ args: ['--config', file] });
  const client = await RawClient.connect(server.mqp, { producerId: 9n });
  const { topicId: topic } = await client.open(uniqueTopic('rates'));
  // 400 messages at 100 a second, of which a second's worth may be sent at once.
  const slow = await timeFor(client, topic, 1, 8);
  assert(slow > 2_000, `400 messages took ${slow} ms at 100 a second`);
  writeFileSync(file, '{}\n');
  server.signal('SIGHUP');
  await until(() => /were read again/.test(server.stderr()), { what: 'the reload' });
  // At the old rate this would take more than 40 seconds.
  assert((await timeFor(client, topic, 401, 90)) < 40_000);
});
