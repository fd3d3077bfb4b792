import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repoRoot } from '../support/repo.ts';
import { runCommand, serveBy } from '../support/run-command.ts';
import { tempDir } from '../support/temp-dir.ts';

/** `npm ci` compiles RocksDB where there is no prebuilt one, and the addon is compiled anyway. */
const START_TIMEOUT_MS = 45 * 60_000;

test('a fresh clone starts by npm start alone, and takes messages', {
  skip: existsSync(join(repoRoot, '.git')) ? false : 'this is no clone',
}, async () => {
  const cwd = tempDir('mqproxy-clone-');
  runCommand('git', ['clone', '--quiet', repoRoot, cwd], repoRoot);
  const start = { command: 'npm', words: ['start', '--'], cwd, dataDir: tempDir() };
  const address = await serveBy({ ...start, timeoutMs: START_TIMEOUT_MS });
  const produce = ['mqproxy', 'produce', 'orders', '--server', address, '--json'];
  const answer = JSON.parse(runCommand('npx', produce, cwd, 'hello\n')) as { ack: string };
  assert.equal(answer.ack, 'stored');
  const tail = ['mqproxy', 'tail', 'orders', '--from', 'beginning', '--count', '1'];
  assert.equal(runCommand('npx', [...tail, '--server', address], cwd), 'hello\n');
});
