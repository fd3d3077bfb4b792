import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';

interface Figures {
  readonly received: number;
  readonly again: number;
  readonly missing: number;
  readonly failed: number;
  readonly redelivered: number;
  readonly withoutId: number;
  readonly acked: number;
  readonly idle: number;
  readonly latencyMs: { readonly p50: number };
}

test('the receiver of the bench takes every message once and acks each by its token', async () => {
  const { mqp } = await startServer();
  const server = ['--server', `${mqp.host}:${mqp.port}`];
  for (const wait of ['recorded', 'committed']) {
    const words = ['bench', 'consume', ...server, '--count', '20000', '--size', '100'];
    const done = await runCli([...words, '--ack-wait', wait, '--json']);
    assert.equal(done.code, 0, done.stderr);
    const { latencyMs, ...found } = JSON.parse(done.stdout) as Figures;
    const { received, again, missing, failed, redelivered, withoutId, acked } = found;
    const counts = { received, again, missing, failed, redelivered, withoutId, acked };
    assert.deepEqual(counts, {
      received: 20_000,
      again: 0,
      missing: 0,
      failed: 0,
      redelivered: 0,
      withoutId: 0,
      acked: 20_000,
    });
    assert.equal(latencyMs.p50, 0);
  }
});

test('a pipe measures from the time a message was to be sent', async () => {
  const { mqp } = await startServer();
  const words = ['bench', 'pipe', '--server', `${mqp.host}:${mqp.port}`];
  const done = await runCli([...words, '--rate', '1000', '--duration', '2s', '--json']);
  assert.equal(done.code, 0, done.stderr);
  const { received, missing, latencyMs } = JSON.parse(done.stdout) as Figures;
  assert.deepEqual([received, missing], [7_000, 0]);
  assert.ok(latencyMs.p50 > 0 && latencyMs.p50 < 60_000);
});

test('the parts of bench have help and options of their own', async () => {
  const help = await runCli(['bench', 'consume', '--help']);
  assert.match(help.stdout, /^Usage: mqproxy bench consume/);
  assert.equal((await runCli(['bench', 'consume', '--in-flight', '3'])).code, 2);
  assert.equal((await runCli(['bench', 'pip'])).code, 2);
});
