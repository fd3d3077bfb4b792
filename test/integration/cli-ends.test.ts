import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { exitOf } from '../support/child.ts';
import { repoRoot } from '../support/repo.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { GIVE_UP_MS, within } from '../support/wait.ts';

const at = ({ mqp }: TestServer) => ['--server', `${mqp.host}:${mqp.port}`];

test('a node that is not there is one line and what to do, with exit code 1', async () => {
  for (const words of [['status'], ['tail', 't'], ['produce', 't', '--timeout', '1s']]) {
    const { code, stderr } = await runCli([...words, '--server', '127.0.0.1:1'], 'x\n');
    assert.equal(code, 1);
    assert.match(stderr, /^mqproxy: cannot reach a node at 127\.0\.0\.1:1: .*ECONNREFUSED/);
    assert.match(stderr, /\n {2}start one with "mqproxy serve"/);
  }
});

test('of several nodes the first that answers is asked', async () => {
  const server = await startServer();
  const [, address] = at(server);
  const both = ['--server', `127.0.0.1:1,${address}`];
  const topic = uniqueTopic('several');
  assert.equal((await runCli(['produce', topic, ...both], 'a\n')).code, 0);
  const { stdout, stderr } = await runCli(['topic', 'list', ...both]);
  assert.match(stdout, new RegExp(topic), stderr);
  const none = await runCli(['status', '--server', '127.0.0.1:1,127.0.0.1:2']);
  assert.equal(none.code, 1);
  assert.match(none.stderr, /cannot reach a node at 127\.0\.0\.1:1 or 127\.0\.0\.1:2/);
  const bad = await runCli(['status', '--server', `${address},nowhere`]);
  assert.equal(bad.code, 2);
});

test('doctor works with a running node and without one', async () => {
  const server = await startServer();
  const listen = ['--listen', `${server.mqp.host}:${server.mqp.port}`];
  const words = ['doctor', '--data-dir', server.dataDir, '--admin.listen', '127.0.0.1:0', '--json'];
  const running = await runCli([...words, ...listen]);
  assert.equal(running.code, 0, running.stdout);
  assert.match(running.stdout, /is taken by a running node/);
  await server.kill('SIGTERM');
  const stopped = await runCli([...words, ...listen]);
  assert.equal(stopped.code, 0, stopped.stdout);
  assert.match(stopped.stdout, /is free/);
  assert.match(stopped.stdout, /none is running/);
  const any = await runCli([...words, '--listen', '127.0.0.1:0']);
  assert.equal(any.code, 0, any.stdout);
  assert.match(any.stdout, /127\.0\.0\.1 \(listen\) has a free port/);
  assert.match(any.stdout, /none is looked for/);
});

test('the outbox is refused while the node runs, and read when it is stopped', async () => {
  const server = await startServer();
  const data = ['--data-dir', server.dataDir];
  await runCli(['produce', uniqueTopic('cli'), ...at(server)], 'a\nb\n');
  const locked = await runCli(['outbox', 'verify', ...data]);
  assert.equal(locked.code, 1);
  assert.match(locked.stderr, /another process has/);
  assert.equal((await server.kill('SIGTERM')).code, 0);
  const verified = await runCli(['outbox', 'verify', ...data, '--json']);
  assert.equal(verified.code, 0, verified.stderr);
  const [lane] = [JSON.parse(verified.stdout) as unknown];
  assert.deepEqual(lane, {
    lane: 0,
    waiting: 0,
    undeliverable: 0,
    parked: 0,
    logged: 2,
    verified: true,
  });
  assert.match((await runCli(['outbox', 'inspect', ...data])).stdout, /^lane +waiting/);
  assert.equal((await runCli(['outbox', 'inspect', '--data-dir', tempDir()])).code, 1);
});

test('tail ends quietly when its reader goes away, and at once on SIGINT', async () => {
  const server = await startServer();
  const topic = uniqueTopic('cli');
  // More than a pipe holds: a reader that went away is noticed by the next write.
  await runCli(['produce', topic, ...at(server)], `${'x'.repeat(1000)}\n`.repeat(5000));
  const program = join(repoRoot, 'bin', 'mqproxy.js');
  const words = [program, 'tail', topic, ...at(server), '--from', 'beginning'];
  for (const leave of ['close', 'SIGINT'] as const) {
    const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    child.stdout.once('data', () => {
      if (leave === 'close') child.stdout.destroy();
      else child.kill(leave);
    });
    try {
      const { code } = await within(exitOf(child), GIVE_UP_MS, `tail to end by ${leave}`);
      assert.deepEqual([code, stderr], [0, ''], leave);
    } finally {
      child.kill('SIGKILL');
    }
  }
});

test('a second node on the same data folder is refused and ends', async () => {
  const server = await startServer();
  const free = ['--listen', '127.0.0.1:0', '--admin.listen', '127.0.0.1:0'];
  const { code, stdout, stderr } = await runCli(['serve', '--data-dir', server.dataDir, ...free]);
  assert.deepEqual([code, stdout], [1, '']);
  assert.match(stderr, /another process has/);
});
