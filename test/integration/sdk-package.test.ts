import assert from 'node:assert/strict';
import { execFile, execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { exitOf } from '../support/child.ts';
import { repoRoot } from '../support/repo.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { until } from '../support/wait.ts';

const run = promisify(execFile);
const sdk = join(repoRoot, 'sdk', 'ts');
const tsc = join(repoRoot, 'node_modules', 'typescript', 'bin', 'tsc');

/** A folder in which the built package and its one dependency are installed, and nothing else. */
function installed(): string {
  execFileSync(process.execPath, [join(sdk, 'build.mjs')], { stdio: 'inherit' });
  const folder = tempDir('mqproxy-sdk-');
  const target = join(folder, 'node_modules', '@mqproxy', 'client');
  mkdirSync(target, { recursive: true });
  cpSync(join(sdk, 'dist'), join(target, 'dist'), { recursive: true });
  cpSync(join(sdk, 'package.json'), join(target, 'package.json'));
  const { dependencies } = JSON.parse(readFileSync(join(sdk, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };
  for (const name of Object.keys(dependencies)) {
    const link = join(folder, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(repoRoot, 'node_modules', name), link);
  }
  return folder;
}

const folder = installed();
const readme = readFileSync(join(sdk, 'README.md'), 'utf8');
const sample = /```ts run\n([\s\S]*?)```/.exec(readme)?.[1];

test('the sample of the README produces and tails', async () => {
  assert.ok(sample, 'README.md has a block marked `ts run`');
  const { mqp } = await startServer();
  const file = join(folder, 'sample.mjs');
  writeFileSync(file, sample.replace('127.0.0.1:7650', `${mqp.host}:${mqp.port}`));
  const { stdout } = await run(process.execPath, [file]);
  assert.match(stdout, /^stored as [0-9a-f]{16}-0-1\n\d+\/0: \{"total":42\}\n$/);
});

test('the consumer of the README handles, tries again, and ends when it is told to', async () => {
  const text = /```ts consume\n([\s\S]*?)```/.exec(readme)?.[1];
  assert.ok(text, 'README.md has a block marked `ts consume`');
  const { mqp } = await startServer();
  const address = `${mqp.host}:${mqp.port}`;
  const client = await MqpClient.connect({ servers: [address] });
  await client.produce('orders', { key: 'k', value: 'v' });
  await client.close();
  const file = join(folder, 'consume.mjs');
  writeFileSync(file, text.replace('127.0.0.1:7650', address));
  const child = spawn(process.execPath, [file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    stdout += chunk;
  });
  try {
    await until(() => stdout.includes('attempt 2'));
    child.kill('SIGTERM');
    const { code } = await exitOf(child);
    assert.deepEqual([code, stdout], [0, 'k v attempt 1\nk v attempt 2\n']);
  } finally {
    child.kill('SIGKILL');
  }
});

test('CommonJS can require the package', async () => {
  const { mqp } = await startServer();
  const file = join(folder, 'require.cjs');
  const text = `
    const { MqpClient, MqpError } = require('@mqproxy/client');
    MqpClient.connect({ servers: ['${mqp.host}:${mqp.port}'] }).then(async (client) => {
      const { id } = await client.produce('orders', { value: 'a' });
      const refused = await client.produce('no/name', { value: 'a' }).catch((error) => error);
      console.log(id.length > 0, refused instanceof MqpError, refused.code);
      await client.close();
    });`;
  writeFileSync(file, text);
  const { stdout } = await run(process.execPath, [file]);
  assert.equal(stdout, 'true true INVALID_TOPIC\n');
});

test('a process that uses the client loads nothing native', async () => {
  const { mqp } = await startServer();
  const use = `
    async function use({ MqpClient }) {
      const client = await MqpClient.connect({ servers: ['${mqp.host}:${mqp.port}'] });
      await client.produce('native', { key: 'k', value: 'v', headers: [['h', 'x']] });
      for await (const record of client.tail('native', { from: 'beginning' })) break;
      await client.describeTopic('native');
      await client.close();
      process.report.excludeNetwork = true;
      const { sharedObjects } = process.report.getReport();
      console.log(sharedObjects.length > 0, sharedObjects.filter((path) => path.endsWith('.node')));
    }`;
  const kinds = {
    mjs: "await use(await import('@mqproxy/client'));",
    cjs: "use(require('@mqproxy/client'));",
  };
  for (const [kind, call] of Object.entries(kinds)) {
    const file = join(folder, `native.${kind}`);
    writeFileSync(file, `${use}\n${call}\n`);
    const { stdout } = await run(process.execPath, [file]);
    assert.equal(stdout, 'true []\n', kind);
  }
});

test('the types hold for both kinds of modules', async () => {
  const text = `import { MqpClient, MqpError, type ProduceResult } from '@mqproxy/client';
    export async function send(): Promise<ProduceResult> {
      const client = await MqpClient.connect({ servers: ['a:1'] });
      client.on('nodeChanged', ({ isOrderKept }) => isOrderKept satisfies boolean);
      return client.produce('orders', { value: null });
    }
    export const error: MqpError = new MqpError('X', 'x');
    // @ts-expect-error a value is needed
    export const bad = (client: MqpClient) => client.produce('orders', {});`;
  for (const kind of ['mts', 'cts']) {
    const file = join(folder, `types.${kind}`);
    writeFileSync(file, text);
    const flags = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023'];
    const types = ['--types', 'node', '--typeRoots', join(repoRoot, 'node_modules', '@types')];
    await run(process.execPath, [tsc, ...flags, ...types, file], { cwd: folder }).catch(
      (error: { stdout?: string }) => assert.fail(error.stdout),
    );
  }
});
