import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import type { ProduceResult } from '../../sdk/ts/src/types.ts';
import { connect, delayNumbers } from '../support/connect.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const pending = countOf(
  'MQP_DELAYS',
  process.env['MQPROXY_TEST_SCALE'] === 'long' ? 200_000 : 10_000,
);
const batch = 500;

async function schedule(server: TestServer, topic: string, dues: readonly number[]) {
  const client = await connect(server);
  const sent: ProduceResult[] = [];
  for (let from = 0; from < dues.length; from += batch) {
    const messages = dues.slice(from, from + batch).map((dueAtMs) => ({ value: 'v', dueAtMs }));
    const results = await new Promise<readonly (ProduceResult | Error)[]>((resolve) => {
      client.produceBatch(topic, messages, {}, (_, all) => resolve(all));
    });
    for (const result of results) {
      assert(!(result instanceof Error), String(result));
      sent.push(result);
    }
  }
  await client.close();
  return sent;
}

async function cancelSome(server: TestServer, sent: readonly ProduceResult[], count: number) {
  const client = await connect(server);
  const cancelled = new Set<string>();
  const each = Math.floor(sent.length / count);
  const one = async (result: ProduceResult | undefined) => {
    const outcome = await client.delayed.cancel({ id: result?.delayId ?? '' });
    if (outcome === 'cancelled') cancelled.add(result?.id ?? '');
  };
  await Promise.all(Array.from({ length: count }, (_, i) => one(sent[i * each])));
  await client.close();
  return cancelled;
}

/** Reads the topic until all of `wanted` have come; how often each came, and when. */
async function arrivals(server: TestServer, topic: string, wanted: ReadonlySet<string>) {
  const client = await connect(server);
  const times = new Map<string, number[]>();
  let missing = wanted.size;
  for await (const { id, timestampMs } of client.tail(topic, { from: 'beginning' })) {
    const known = times.get(id ?? '');
    if (known === undefined) {
      times.set(id ?? '', [timestampMs]);
      if (wanted.has(id ?? '')) missing--;
    } else known.push(timestampMs);
    if (missing === 0) break;
  }
  await client.close();
  return times;
}

/** Some have fired since the start; on a slow machine all may have, before it. */
async function fires(server: TestServer): Promise<boolean> {
  const client = await connect(server);
  const { fired, pending: left, ready } = await delayNumbers(client);
  await client.close();
  return fired > 0 || (left === 0 && ready === DELAY_PARTITIONS);
}

test('kill -9 and a deleted index lose no delay, fire none early, and none that was cancelled', async () => {
  console.log(`seed=${seed} pending=${pending}`);
  const random = new Seeded(seed);
  const server = await startServer();
  const topic = uniqueTopic('kill');
  const client = await connect(server);
  await client.createTopic(topic, { partitions: 1 });
  await client.close();
  const startMs = Date.now() + 3_000;
  const dues = Array.from({ length: pending }, () => startMs + random.below(2_500));
  const sent = await schedule(server, topic, dues);
  const cancelled = await cancelSome(server, sent, 200);
  assert(cancelled.size > 0);

  await server.kill('SIGKILL');
  await server.restart();
  await until(() => fires(server), { what: 'the first fires' });
  await server.kill('SIGKILL');
  rmSync(join(server.dataDir, 'delay'), { recursive: true });
  await server.restart();

  const wanted = new Set(sent.map(({ id }) => id).filter((id) => !cancelled.has(id)));
  const times = await arrivals(server, topic, wanted);
  let duplicates = 0;
  for (const [i, { id }] of sent.entries()) {
    const came = times.get(id) ?? [];
    if (cancelled.has(id)) assert.equal(came.length, 0, `${id} was cancelled`);
    for (const at of came) assert(at >= (dues[i] as number), `${id} came ${at} before ${dues[i]}`);
    duplicates += Math.max(0, came.length - 1);
  }
  console.log(`fired=${wanted.size} lost=0 early=0 duplicates=${duplicates}`);
  assert(duplicates < pending / 2, 'only what was on its way is fired twice');
});
