import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitOf } from '../support/child.ts';
import { repoRoot } from '../support/repo.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { GIVE_UP_MS, within } from '../support/wait.ts';

test('a full disk under stdout is one line and exit code 1, not a success', {
  skip: existsSync('/dev/full') ? false : 'needs /dev/full',
}, async () => {
  const server = await startServer();
  const at = ['--server', `${server.mqp.host}:${server.mqp.port}`];
  const topic = uniqueTopic('full');
  for (const words of [
    ['produce', topic, '--json', ...at],
    ['tail', topic, '--from', 'beginning', '--count', '1', ...at],
    ['status', ...at],
    ['--help'],
  ]) {
    const full = openSync('/dev/full', 'w');
    const program = join(repoRoot, 'bin', 'mqproxy.js');
    const child = spawn(process.execPath, [program, ...words], { stdio: ['pipe', full, 'pipe'] });
    closeSync(full);
    let stderr = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdin?.on('error', () => undefined);
    child.stdin?.end('line\n');
    try {
      const { code } = await within(exitOf(child), GIVE_UP_MS, words.join(' '));
      assert.deepEqual([code, words[0]], [1, words[0]], stderr);
      assert.match(stderr, /^mqproxy: stdout cannot be written: ENOSPC: [^\n]*\n$/);
    } finally {
      child.kill('SIGKILL');
    }
  }
});
