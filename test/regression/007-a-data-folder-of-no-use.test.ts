import assert from 'node:assert/strict';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runCli } from '../support/run-cli.ts';
import { serveRefusal, startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';

const serve = ['serve', '--listen', '127.0.0.1:0', '--admin.listen', '127.0.0.1:0', '--data-dir'];

test('a data folder that is a file, or below one, is refused in words', async () => {
  const file = join(tempDir(), 'file');
  writeFileSync(file, '');
  for (const dataDir of [file, join(file, 'data')]) {
    const { code, stdout, stderr } = await runCli([...serve, dataDir]);
    assert.deepEqual([code, stdout], [1, '']);
    assert.match(
      stderr,
      /^mqproxy: the data folder cannot be used: E(EXIST|NOTDIR): .*\n {2}give a folder/,
    );
  }
});

test('a data folder that the file system does not let be made is no endless start', {
  skip: existsSync('/proc/self') ? false : 'needs /proc',
}, async () => {
  const { code, stderr } = await runCli([...serve, '/proc/mqproxy/data']);
  assert.equal(code, 1);
  assert.match(stderr, /^mqproxy: the data folder cannot be used: ENOENT: /);
});

test('more lanes for an embedded log are refused without a command that refuses too', async () => {
  const server = await startServer();
  await server.kill('SIGTERM');
  const { code, stderr } = await serveRefusal({ dataDir: server.dataDir, args: ['--lanes', '3'] });
  assert.equal(code, 78);
  assert.match(stderr, /lanes: the embedded log has one lane, not 3/);
  assert.doesNotMatch(stderr, /relane/);
});
