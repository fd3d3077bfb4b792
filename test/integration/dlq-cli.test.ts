import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { connect } from '../support/connect.ts';
import { lettersOf, produce, textOf } from '../support/dead-letters.ts';
import { repoRoot } from '../support/repo.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const at = ({ mqp }: TestServer) => ['--server', `${mqp.host}:${mqp.port}`];

test('the command lists, shows, puts back and drops dead letters', async () => {
  const server = await startServer();
  const client = await connect(server);
  await produce(client, 'orders', ['a', 'b', 'c']);
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  void consumer.run((message) => message.nack({ dead: true, reason: `bad ${textOf(message)}` }));
  await until(async () => (await lettersOf(client)).length === 3);
  await consumer.close();
  const dlq = (action: string, ...more: string[]) =>
    runCli(['dlq', action, 'orders', '--group', 'billing', ...at(server), ...more]);
  const listed = await dlq('list');
  assert.equal(listed.code, 0, listed.stderr);
  assert.match(listed.stdout, /^place +id +last failure +attempts +fingerprint +reason\n/);
  assert.equal(listed.stdout.split('\n').length, 5);
  const lines = (await dlq('list', '--json', '--reason', 'bad b')).stdout.trim().split('\n');
  const [letter] = lines.map((line) => JSON.parse(line) as { id: string });
  assert.equal(lines.length, 1);
  const shown = await dlq('show', '--id', letter?.id ?? '');
  assert.match(shown.stdout, /^reason +bad b\nkey +-\nvalue +b\n/m);
  assert.equal((await dlq('show', '--id', 'none')).code, 1);
  assert.match((await dlq('redrive', '--dry-run')).stdout, /^3 dead letters would be put back/);
  assert.match((await dlq('redrive', '--reason', 'bad b')).stdout, /^1 dead letters were put back/);
  assert.match((await dlq('purge')).stdout, /^2 dead letters would be dropped; --yes drops them/);
  assert.match((await dlq('purge', '--yes')).stdout, /^2 dead letters were dropped/);
  assert.match((await dlq('list')).stdout, /^no dead letters/);
  assert.equal((await runCli(['dlq', 'list', 'orders', ...at(server)])).code, 2);
  assert.equal((await runCli(['dlq', 'lst', 'orders', ...at(server)])).code, 2);
  await client.close();
});

/** What a command shows on a terminal. */
async function onTerminal(words: readonly string[]): Promise<string> {
  const program = [process.execPath, join(repoRoot, 'bin', 'mqproxy.js'), ...words];
  const spawn = ['-c', 'import pty, sys; pty.spawn(sys.argv[1:])', ...program];
  const { stdout } = await promisify(execFile)('python3', spawn, { timeout: 60_000 });
  return stdout;
}

test('a redrive shows on a terminal how far it is, and then what it did', async () => {
  const server = await startServer();
  const client = await connect(server);
  await produce(client, 'orders', ['a', 'b', 'c', 'd', 'e']);
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  void consumer.run((message) => message.nack({ dead: true, reason: 'no' }));
  await until(async () => (await lettersOf(client)).length === 5);
  await consumer.close();
  const words = ['dlq', 'redrive', 'orders', '--group', 'billing', ...at(server), '--rate', '4'];
  const shown = await onTerminal(words);
  const bars = [...shown.matchAll(/\[(#*)(-*)\] (\d) of 5/g)];
  const counts = bars.map(([, , , moved]) => Number(moved));
  assert(new Set(counts).size >= 3, shown);
  assert.deepEqual(
    counts,
    [...counts].sort((a, b) => a - b),
  );
  for (const [, full = '', empty = '', moved] of bars) {
    assert.deepEqual([full.length, empty.length], [6 * Number(moved), 30 - 6 * Number(moved)]);
  }
  assert.match(shown, /5 dead letters were put back into orders\r\n$/);
  const quiet = await runCli([...words, '--json']);
  assert.deepEqual([quiet.code, quiet.stderr], [0, '']);
  await client.close();
});
