import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAll } from '../support/raw-client.ts';
import { repoRoot } from '../support/repo.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';

const client = join(repoRoot, 'test', 'support', 'client.py');
const hasPython = spawnSync('python3', ['--version']).status === 0;
const skip = hasPython ? false : 'needs python3';

interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(server: TestServer, words: readonly string[], input = ''): Promise<Ran> {
  const { host, port } = server.mqp;
  const child = spawn('python3', [client, host, String(port), ...words]);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  child.stdin.end(input);
  return new Promise((resolve) => {
    child.once('close', (code) => resolve({ code, stdout, stderr }));
  });
}

test('the Python client of the protocol page produces and tails', { skip }, async () => {
  const server = await startServer({ args: ['--topics.partitions', '1'] });
  const topic = uniqueTopic('python');
  const lines = Array.from({ length: 5_000 }, (_, i) => `line ${i + 1} äöü`);
  const produced = await run(server, ['produce', topic], `${lines.join('\n')}\n`);
  assert.deepEqual(produced, { code: 0, stdout: '', stderr: '' });
  const tailed = await run(server, ['tail', topic, String(lines.length)]);
  assert.equal(tailed.code, 0, tailed.stderr);
  assert.deepEqual(tailed.stdout.trimEnd().split('\n'), lines);
  assert.equal((await readAll(server.mqp, topic)).length, lines.length);
});

test('the Python client says what the node refused', { skip }, async () => {
  const server = await startServer();
  const { code, stderr } = await run(server, ['produce', 'not a topic'], 'x\n');
  assert.equal(code, 1);
  assert.match(stderr, /refused: code 23/);
});
