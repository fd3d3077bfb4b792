import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { repoRoot } from '../support/repo.ts';
import { runCommand, serveBy } from '../support/run-command.ts';
import { type ServerOptions, startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Packs the package and installs it in an empty folder: where. */
function installPacked(): string {
  const packed = tempDir();
  runCommand('npm', ['pack', '--ignore-scripts', '--pack-destination', packed], repoRoot);
  const { version } = JSON.parse(readFileSync(join(repoRoot, 'package.json'), 'utf8')) as {
    version: string;
  };
  const tarball = join(packed, `mqproxy-${version}.tgz`);

  const files = runCommand('tar', ['-tzf', tarball], packed).trim().split('\n');
  const surplus = files.filter((file) => /(^|\/)tests?\/|\.test\.|\.map$|\.d\.ts$/.test(file));
  assert.deepEqual(surplus, []);

  const folder = tempDir();
  const allowScripts = Object.fromEntries(
    ['mqproxy', 'node-rdkafka', 'rocksdb', '@nxtedition/rocksdb', 'msgpackr-extract'].map(
      (name) => [name, true],
    ),
  );
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ private: true, allowScripts }));
  runCommand('npm', ['install', '--no-audit', '--no-fund', tarball], folder);
  return folder;
}

/** Sends a thousand messages and tails them, both by `npx`. */
function exchange(folder: string, server: string): void {
  const address = ['--server', server];
  const numbers = [...Array(1000).keys()].map((n) => String(n + 1));
  runCommand(
    'npx',
    ['mqproxy', 'produce', 'orders', ...address],
    folder,
    `${numbers.join('\n')}\n`,
  );
  const tail = ['mqproxy', 'tail', 'orders', '--from', 'beginning', '--count', '1000', ...address];
  const values = runCommand('npx', tail, folder).trim().split('\n');
  assert.deepEqual(
    values.sort((a, b) => Number(a) - Number(b)),
    numbers,
  );
}

/** Starts a node of the installed package, which carries messages and ends by itself. */
async function carries(folder: string, backend: Pick<ServerOptions, 'backend' | 'kafkaBrokers'>) {
  const entry = join(folder, 'node_modules', 'mqproxy', 'bin', 'mqproxy.js');
  const server = await startServer({ entry, ...backend });
  exchange(folder, `${server.mqp.host}:${server.mqp.port}`);
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
}

test('the packed package installs in an empty folder, serves, and carries messages', async (t) => {
  const folder = installPacked();
  await t.test('by npx alone', async () => {
    const serve = { command: 'npx', words: ['mqproxy', 'serve'], cwd: folder };
    exchange(folder, await serveBy({ ...serve, dataDir: tempDir() }));
  });
  await t.test('on the embedded backend', () => carries(folder, { backend: 'embedded' }));
  await t.test('to a real Kafka', { skip: skipWithoutKafka() }, async () => {
    const { address } = await startKafka({ heapMaxMib: 320 });
    await carries(folder, { backend: 'kafka', kafkaBrokers: address });
  });
});
