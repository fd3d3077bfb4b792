import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { type Exit, exitOf, Tail } from '../support/child.ts';
import { cleanUp } from '../support/clean-up.ts';
import { type Block, blocksOf } from '../support/markdown.ts';
import { repoRoot } from '../support/repo.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { within } from '../support/wait.ts';

const run = promisify(execFile);
const readme = readFileSync(join(repoRoot, 'README.md'), 'utf8');
const timeoutMs = 60_000;

/**
 * A folder with an `npx` and an `npm` of the test's own, so that a block runs as it stands: `npx
 * mqproxy` is this checkout, told where the node of the block before listens; `npm` works on it
 * from outside, without the installing step, which the test runner did.
 */
function shims(folder: string): string {
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const write = (name: string, lines: readonly string[]): void => {
    writeFileSync(join(bin, name), ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(join(bin, name), 0o755);
  };
  write('npx', [
    '[ "$1" = mqproxy ] || { echo "this npx only knows mqproxy, not $1" >&2; exit 2; }',
    'command=$2; shift 2',
    'case $command in',
    'produce|consume|tail|topic|group|delay|dlq|cluster|status|bench) set -- "$@" --server "$README_SERVER" ;;',
    'esac',
    `exec '${process.execPath}' '${join(repoRoot, 'bin', 'mqproxy.js')}' "$command" "$@"`,
  ]);
  write('npm', [
    'PATH=$(echo "$PATH" | cut -d: -f2-); export PATH npm_config_ignore_scripts=true',
    `exec npm --silent --prefix '${repoRoot}' "$@"`,
  ]);
  return bin;
}

/** A shell that runs one block, in a process group of its own. */
class BlockRun {
  readonly stdout = new Tail();
  readonly stderr = new Tail();
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;

  constructor(block: Block, folder: string, server: string) {
    const env: NodeJS.ProcessEnv = {
      ...process.env,
      NODE_TEST_CONTEXT: undefined,
      PATH: `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`,
      README_SERVER: server,
      MQPROXY_LISTEN: '127.0.0.1:0',
      MQPROXY_ADMIN_LISTEN: '127.0.0.1:0',
      MQPROXY_DATA_DIR: join(folder, 'data'),
    };
    const args = ['-e', '-o', 'pipefail', '-c', block.text];
    const options = { cwd: folder, env, detached: true } as const;
    this.#child = spawn('bash', args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#child.stdout?.on('data', (chunk: Buffer) => this.stdout.add(chunk));
    this.#child.stderr?.on('data', (chunk: Buffer) => this.stderr.add(chunk));
    this.exited = exitOf(this.#child);
    const kill = (): void => this.kill();
    cleanUp(kill, kill);
  }

  /** Ends the shell and what it started. */
  kill(): void {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, 'SIGKILL');
    } catch (error) {
      // The group has ended already.
      assert.equal((error as NodeJS.ErrnoException).code, 'ESRCH');
    }
  }

  /** Where the node listens that the block has started. */
  async ready(): Promise<string> {
    const line = this.stdout.match(/^mqproxy ready .*mqp=(\S+).*$/m);
    const early = this.exited.then(() => assert.fail(`no ready line:\n${this.stderr.text}`));
    const [, address = ''] = await within(Promise.race([line, early]), timeoutMs, 'the ready line');
    return address;
  }
}

test('every block of README.md that is marked to run does, in order, as it stands', async () => {
  const folder = tempDir('mqproxy-readme-');
  shims(folder);
  let node: BlockRun | undefined;
  let address = '';
  const outputs: string[] = [];
  for (const block of blocksOf(readme).filter(({ info }) => /^sh run\b/.test(info))) {
    const shell = new BlockRun(block, folder, address);
    if (block.info === 'sh run server') {
      node?.kill();
      node = shell;
      address = await shell.ready();
      continue;
    }
    const { code } = await within(shell.exited, timeoutMs, block.text);
    assert.equal(code, 0, `${block.text}\n${shell.stdout.text}\n${shell.stderr.text}`);
    outputs.push(shell.stdout.text);
  }
  const [lines = '', answers = ''] = outputs;
  const numbers = Array.from({ length: 1000 }, (_, i) => `${i + 1}\n`).join('');
  assert.equal(lines, numbers, 'what went in by produce came out by tail');
  assert.match(answers, /^\{"n":1,"id":"[0-9a-f]{16}-0-1","ack":"stored","partition":\d,/);
  assert.match(node?.stdout.text ?? '', /backend=kafka kafka=127\.0\.0\.1:9092/);
});

test('the TypeScript client of README.md produces and reads back in ten lines', async () => {
  const [block] = blocksOf(readme).filter(({ info }) => info === 'ts run');
  assert.ok(block, 'README.md has a block marked `ts run`');
  assert.ok(block.text.trim().split('\n').filter(Boolean).length <= 10, 'it has ten lines at most');
  const { mqp } = await startServer();
  const sdk = pathToFileURL(join(repoRoot, 'dist', 'sdk', 'ts', 'src', 'index.js')).href;
  const file = join(tempDir('mqproxy-readme-'), 'sample.mjs');
  const text = block.text
    .replace("'@mqproxy/client'", `'${sdk}'`)
    .replace('127.0.0.1:7650', `${mqp.host}:${mqp.port}`);
  writeFileSync(file, text);
  const { stdout } = await run(process.execPath, [file], { timeout: timeoutMs });
  assert.match(stdout, /^stored as [0-9a-f]{16}-0-1\n\d\/0: \{"total":42\}\n$/);
});

test('npx finds the command of a checkout without asking a registry', async () => {
  const args = ['--offline', '--no', '--', 'mqproxy', '--version'];
  const { stdout } = await run('npx', args, { cwd: repoRoot, timeout: timeoutMs });
  assert.match(stdout, /^mqproxy \d+\.\d+\.\d+\n$/);
});

test('README.md is short, and says in one sentence what this is', () => {
  assert.ok(readme.trimEnd().split('\n').length <= 150, 'README.md has 150 lines at most');
  const [, first = ''] = readme.split(/\n\n/);
  assert.equal(first.match(/[.!?](\s|$)/g)?.length, 1, first);
});
