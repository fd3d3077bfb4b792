import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';

test('replicated on the embedded log is refused with what to do', async () => {
  const server = await startServer();
  const at = ['--server', `${server.mqp.host}:${server.mqp.port}`];
  const sent = await runCli(['produce', 'orders', ...at, '--ack', 'replicated'], 'x\n');
  assert.equal(sent.code, 1);
  assert.match(sent.stderr, /^line 1: NOT_SUPPORTED: .*so `stored` is its level/m);
});
