import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runNative } from '../../bench/programs.ts';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { repoRoot } from '../support/repo.ts';
import { startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const program = join(repoRoot, 'build', 'Release', 'mq_load');
const skip = existsSync(program) ? false : 'mq_load is not built';

async function recordsOf(port: number, topic: string): Promise<number> {
  const client = await MqpClient.connect({ servers: [`127.0.0.1:${port}`] });
  try {
    const { partitions } = await client.describeTopic(topic);
    return partitions.reduce((sum, { endOffset }) => sum + endOffset, 0);
  } finally {
    await client.close();
  }
}

test('mq_load sends exactly as many messages as asked, and each arrives once', {
  skip,
}, async () => {
  const { mqp } = await startServer();
  for (const [batch, topic] of [
    [1, 'singles'],
    [7, 'batches'],
  ] as const) {
    const shape = { port: mqp.port, topic, connections: 3, 'in-flight': 20, size: 30, batch };
    const report = await runNative('mq_load', { ...shape, count: 5000, duration: 60, warmup: 0 });
    assert.equal(report.acked, 5000);
    assert.equal(report.failed, 0);
    assert.equal(await recordsOf(mqp.port, topic), 5000);
  }
});

test('mq_load delays what it was told to delay, alone and in batches', { skip }, async () => {
  const { mqp } = await startServer();
  const client = await MqpClient.connect({ servers: [`127.0.0.1:${mqp.port}`] });
  for (const [batch, pending] of [
    [1, 500],
    [7, 1000],
  ] as const) {
    const shape = { port: mqp.port, topic: 'later', connections: 3, size: 30, batch };
    const run = { ...shape, count: 500, duration: 60, warmup: 0, delay: 3_600_000 };
    const report = await runNative('mq_load', run);
    assert.deepEqual([report.acked, report.failed], [500, 0]);
    await until(async () => (await client.delayed.stats()).pending === pending);
  }
  const { delays } = await client.delayed.list({ topic: 'later', limit: 1 });
  const [first] = delays;
  assert.equal(first === undefined ? 0 : first.dueMs - first.acceptedMs, 3_600_000);
  await client.close();
  assert.equal(await recordsOf(mqp.port, 'later'), 0);
});

test('mq_load offers the rate it was told, and counts every stretch', { skip }, async () => {
  const { mqp } = await startServer();
  const shape = { port: mqp.port, topic: 'offered', connections: 4, size: 30, warmup: 0 };
  const report = await runNative('mq_load', { ...shape, rate: 2000, duration: 1, window: 0.5 });
  assert.equal(report.acked, 2000);
  assert.equal(report.windows?.length, 2);
  const { p50, p99, max } = report.latencyMs;
  assert.ok(p50 > 0 && p50 <= p99 && p99 <= max, JSON.stringify(report.latencyMs));
});

test('mq_load says in one line what is wrong', { skip }, () => {
  const cases: readonly (readonly [words: string[], status: number, said: RegExp])[] = [
    [['--port', '1'], 1, /^mq_load: connect to 127\.0\.0\.1:1: Connection refused\n$/],
    [['--rate', 'x'], 2, /^mq_load: --rate cannot be 'x' .*\n$/],
    [['--nope', '1'], 2, /^mq_load: there is no flag --nope.*\n$/],
    [['--port'], 2, /^mq_load: a value is missing for --port.*\n$/],
    [['--batch', '65'], 2, /^mq_load: --batch is at most --in-flight.*\n$/],
  ];
  for (const [words, status, said] of cases) {
    const run = spawnSync(program, words, { encoding: 'utf8' });
    assert.match(run.stderr, said);
    assert.equal(run.status, status);
  }
});
