import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { repoRoot } from './repo.ts';
import { serveRefusal, startServer, type TestServer } from './start-server.ts';
import { tempDir } from './temp-dir.ts';
import { until } from './wait.ts';

/** A stand-in for the node: it says ready, and does on SIGTERM what a node does. */
const standIn = `
  const flag = (name) => process.argv[process.argv.indexOf(name) + 1];
  const listener = (address) => new Promise((resolve) => {
    const [host, port] = address.split(':');
    const server = require('node:net').createServer().listen(Number(port), host, () => resolve(host + ':' + server.address().port));
  });
  if (process.argv.includes('--refuse')) { console.error('the folder is in use'); process.exit(78); }
  process.on('SIGTERM', () => process.exit(0));
  (async () => {
    const [mqp, admin] = [await listener(flag('--listen')), await listener(flag('--admin.listen'))];
    console.error('started with ' + process.env.MQ_WORD);
    console.log('mqproxy ready mqp=' + mqp + ' admin=' + admin + ' backend=' + flag('--backend') + ' answers are fsynced');
  })();
`;

function program(): string {
  const file = join(tempDir(), 'stand-in.cjs');
  writeFileSync(file, standIn);
  return file;
}

test('a node is started, killed and started again on the same ports and data', async () => {
  const server = await startServer({ entry: program(), env: { MQ_WORD: 'one' } });
  const { mqp, admin, pid, dataDir } = server;
  assert.equal(server.ready['backend'], 'embedded');
  assert.ok(mqp.port > 0 && admin.port > 0 && mqp.port !== admin.port);
  assert.ok(existsSync(dataDir));
  assert.deepEqual(await server.kill(), { code: null, signal: 'SIGKILL' });
  await server.restart({ env: { MQ_WORD: 'two' } });
  assert.deepEqual(server.mqp, mqp);
  assert.notEqual(server.pid, pid);
  assert.match(server.stderr(), /with one\n.*with two\n/s);
  const { exited } = server;
  server.signal('SIGTERM');
  assert.deepEqual(await exited, { code: 0, signal: null });
});

test('a node that does not come up is told with its words and its exit code', async () => {
  const refused = await serveRefusal({ entry: program(), args: ['--refuse'] });
  assert.equal(refused.code, 78);
  assert.match(refused.stderr, /in use/);
  await assert.rejects(
    startServer({ entry: program(), args: ['--refuse'] }),
    /ended with 78.*in use/s,
  );
});

const leftBehind: TestServer[] = [];

test('a node may be left running by a test', async () => {
  leftBehind.push(await startServer({ entry: program() }));
});

test('a node left running was ended after its test, with its data', async () => {
  const [server] = leftBehind;
  assert.ok(server);
  await until(() => spawnSync('kill', ['-0', String(server.pid)]).status !== 0, {
    what: 'its end',
  });
  assert.equal(existsSync(server.dataDir), false);
});

test('a file with a failed test prints the log of its node and leaves no process', () => {
  const file = join(tempDir(), 'failing.test.mjs');
  const support = join(repoRoot, 'dist', 'test', 'support', 'start-server.js');
  const lines = [
    `import { test } from 'node:test';`,
    `import { startServer } from ${JSON.stringify(support)};`,
    `const server = await startServer({ entry: ${JSON.stringify(program())}, env: { MQ_WORD: 'loss' } });`,
    `console.log('pid=' + server.pid);`,
    `test('it fails', () => { throw new Error('no'); });`,
  ];
  writeFileSync(file, lines.join('\n'));
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8', env });
  assert.equal(status, 1);
  assert.match(stderr, /log of the node on \d+, its last lines\nstarted with loss/);
  assert.notEqual(spawnSync('kill', ['-0', /pid=(\d+)/.exec(stdout)?.[1] ?? '0']).status, 0);
});
