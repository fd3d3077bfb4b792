import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer, TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';

const skip = skipWithoutPreload();

/** A node that is slow to start, since each of its syncs takes a quarter of a second. */
async function starting(): Promise<TestServer> {
  const dataDir = tempDir('mqproxy-data-');
  const env = preloadEnv({ pathPrefix: dataDir, delayMs: 250 });
  const server = new TestServer({ dataDir, env });
  server.spawn();
  await until(() => existsSync(join(dataDir, 'node.json')), { what: 'its first file' });
  assert.equal(server.stdout(), '');
  return server;
}

// The signals were heard only once the node was ready: during a long recovery the first SIGHUP
// killed it.
test('SIGTERM while a node starts ends it in order, with 0', { skip }, async () => {
  const server = await starting();
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
  assert.equal(server.stdout(), '', 'it was never ready');
  const again = await startServer({ dataDir: server.dataDir });
  await RawClient.connect(again.mqp);
});

test('SIGHUP while a node starts is heeded when it is ready', { skip }, async () => {
  const server = await starting();
  server.signal('SIGHUP');
  await until(() => /^mqproxy ready /m.test(server.stdout()), {
    what: 'the ready line',
  });
  await until(() => /were read again/.test(server.stderr()), { what: 'the reload' });
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
});

test('a second signal while a node starts ends it at once', { skip }, async () => {
  const server = await starting();
  server.signal('SIGINT');
  const exit = await server.kill('SIGTERM');
  assert([130, 143].includes(exit.code ?? 0), `it ended with ${exit.code}`);
});
