import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { metric } from '../support/node-state.ts';
import { runCli } from '../support/run-cli.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';

interface Figures {
  readonly acked: number;
  readonly failed: number;
  readonly missing: number;
  readonly duplicates: number;
  readonly rate: number | null;
  readonly seconds: number;
  readonly requestsPerSecond: number;
  readonly latencyMs: Readonly<Record<string, number>>;
}

/** What `bench produce --json` has been printing: scripts read it. */
const keys = [
  ...['connections', 'inFlight', 'size', 'ack', 'rate', 'seconds', 'requestsPerSecond'],
  ...['acked', 'failed', 'failedByCode', 'missing', 'duplicates', 'drainSeconds', 'latencyMs'],
  ...['cpuSeconds', 'stealPercent', 'backend', 'commit', 'nodeVersion', 'cores'],
];
const shape = ['--connections', '4', '--size', '100', '--duration', '1s', '--json'];
const addressOf = ({ mqp }: TestServer) => `${mqp.host}:${mqp.port}`;
const bench = (server: TestServer, ...words: string[]) =>
  runCli(['bench', 'produce', '--server', addressOf(server), ...shape, ...words]);

test('a closed loop and an open one count every answer, in the documented keys', async () => {
  const server = await startServer();
  const closed = await bench(server, '--topic', 'closed');
  assert.equal(closed.code, 0, closed.stderr);
  const found = JSON.parse(closed.stdout) as Figures;
  assert.deepEqual(Object.keys(found), keys);
  assert.deepEqual(Object.keys(found.latencyMs), ['p50', 'p90', 'p99', 'p999', 'max']);
  const { failed, missing, duplicates, rate } = found;
  assert.deepEqual([failed, missing, duplicates, rate], [0, 0, 0, null]);
  assert(found.acked > 0 && found.requestsPerSecond > 0);
  assert.equal(await metric(server, 'mqproxy_messages_stored_total'), found.acked);

  const open = await bench(server, '--topic', 'open', '--rate', '1000');
  assert.equal(open.code, 0, open.stderr);
  const paced = JSON.parse(open.stdout) as Figures;
  const { acked, missing: lost, rate: asked } = paced;
  assert.deepEqual([acked, lost, asked], [1_000, 0, 1_000]);
});

test('what somebody else wrote meanwhile is shown as duplicates', async () => {
  const server = await startServer();
  const client = await connect(server);
  const running = bench(server, '--topic', 'shared', '--rate', '500', '--duration', '3s');
  const stored = () => metric(server, 'mqproxy_messages_stored_total');
  await until(async () => (await stored()) > 100, { what: 'the load' });
  const more = Array.from({ length: 50 }, (_, i) => client.produce('shared', { value: `${i}` }));
  await Promise.all(more);
  await client.close();
  const { code, stdout, stderr } = await running;
  assert.equal(code, 0, stderr);
  const { acked, missing, duplicates } = JSON.parse(stdout) as Figures;
  assert.deepEqual([acked, missing, duplicates], [1_500, 0, 50]);
});

test('fewer arrived than were answered is exit code 1', async () => {
  // A log that has lost seven messages of a partition.
  const entry = spoiltBuild({
    file: 'src/backend/embedded/embedded-log.js',
    find: /map\(\(\{ partition, startOffset, endOffset \}\) => \(\{([^}]*)\n\s*endOffset,/,
    replace: `map(({ partition, startOffset, endOffset }) => ({$1
      endOffset: endOffset - (partition === 0 && endOffset > 20 ? 7 : 0),`,
  });
  const server = await startServer({ entry });
  const { code, stdout } = await bench(server, '--rate', '500');
  assert.equal(code, 1);
  assert.equal((JSON.parse(stdout) as Figures).missing, 7);
});

test('a node with tokens is loaded with one, and TLS is refused in words', async () => {
  const folder = tempDir();
  const tokensFile = join(folder, 'tokens.yaml');
  const grant = "{ prefix: '', produce: true, consume: true, create: true }";
  const one = `- name: load\n    token: the-token-of-the-load\n    grants: [${grant}]`;
  writeFileSync(tokensFile, `tokens:\n  ${one}\n`);
  writeFileSync(join(folder, 'token'), 'the-token-of-the-load\n');
  const auth = ['--auth.mechanism', 'token', '--auth.tokens-file', tokensFile];
  const server = await startServer({ args: auth });
  const token = ['--token-file', join(folder, 'token')];
  const at = ['--server', addressOf(server), ...token, '--json'];

  const without = await bench(server, '--rate', '100');
  assert.equal(without.code, 1);
  assert.match(without.stderr, /AUTHENTICATION_FAILED: .*\n {2}.*--token-file/);
  const load = await bench(server, '--rate', '500', ...token);
  assert.equal(load.code, 0, load.stderr);
  assert.equal((JSON.parse(load.stdout) as Figures).acked, 500);
  const few = ['--count', '200', '--size', '64', '--ahead', '1s', '--over', '1s'];
  const delayed = await runCli(['bench', 'delay', ...at, '--topic', 'later', ...few]);
  assert.equal(delayed.code, 0, delayed.stderr);
  const consumed = await runCli(['bench', 'consume', ...at, '--count', '2000', '--size', '64']);
  assert.equal(consumed.code, 0, consumed.stderr);

  for (const what of ['produce', 'consume', 'pipe']) {
    const { code, stderr } = await runCli(['bench', what, ...at, '--tls']);
    assert.equal(code, 2);
    assert.match(stderr, /the load generator speaks no TLS: measure a node without it/);
  }
});
