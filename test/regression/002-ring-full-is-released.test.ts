import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RawClient } from '../support/raw-client.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';

const ring = ['--lane.ring-bytes', '1MiB', '--limits.frame-bytes-max', '256KiB'];
const args = [...ring, '--limits.message-bytes-max', '128KiB'];

/** Six clients that together send more than fifty times what the ring holds. */
async function overfill(entry: string | undefined, timeoutMs: number): Promise<void> {
  const server = await startServer({ args, ...(entry === undefined ? {} : { entry }) });
  const topic = uniqueTopic('ring');
  const values = Array.from({ length: 600 }, (_, i) => Buffer.alloc(16 * 1024, i));
  const clients = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const client = await RawClient.connect(server.mqp);
      const { topicId } = await client.open(topic);
      client.send({ topic: topicId, first: 1, values });
      return client;
    }),
  );
  const ids = values.map((_, i) => i + 1);
  for (const client of clients) {
    const outcomes = await client.answersTo(ids, timeoutMs);
    assert(outcomes.every(({ code }) => code === 0));
  }
}

test('sessions that found the ring full are taken up again', async () => {
  await overfill(undefined, 120_000);
});

test('without the note that they wait they hang', async () => {
  const find = /this\.hooks\.onNoRoom\(this, where\);/;
  const entry = spoiltBuild({ file: 'src/server/session.js', find, replace: '' });
  await assert.rejects(overfill(entry, 4_000), /waited 4000 ms/);
});
