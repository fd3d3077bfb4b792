import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { exitOf } from '../support/child.ts';
import { cleanUp } from '../support/clean-up.ts';
import { repoRoot } from '../support/repo.ts';
import { tempDir } from '../support/temp-dir.ts';
import { GIVE_UP_MS, until, within } from '../support/wait.ts';

const skip = process.platform === 'linux' ? false : 'all processes are found by /proc';
const scripts = pathToFileURL(join(repoRoot, 'scripts')).href;

/** Says that it is there by a file of its process id, and has one of its own below it. */
const endless = `
  const { spawn } = require('node:child_process');
  const { BELOW: below, ...env } = process.env;
  if (below) spawn(process.execPath, [__filename], { env, detached: below === 'group' });
  require('node:fs').writeFileSync(\`\${__dirname}/\${process.pid}.pid\`, '');
  setInterval(() => {}, 1000);
`;

/** As the test runner: a test file in a group of its own, and others beside it, as Kafka is. */
const runnerOf = (built: string) => `
  import { spawn } from 'node:child_process';
  import { endChildrenOnSignals } from '${scripts}/end-children.mjs';
  import { killRunning, runFiles } from '${scripts}/run-files.mjs';
  endChildrenOnSignals(killRunning);
  const built = ${JSON.stringify(built)};
  for (const BELOW of ['child', 'group'])
    spawn(process.execPath, [built], { env: { ...process.env, BELOW } });
  const file = { source: 'endless', built, seconds: 1, alone: false };
  const env = { BELOW: 'group' };
  await runFiles([file], { cores: 1, atOnceMax: 1, env, timeoutMs: 600_000, say: () => {} });
`;

function isThere(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

for (const [signal, code] of [['SIGTERM', 143] as const, ['SIGINT', 130] as const]) {
  test(`the runner ends on ${signal} with all that is below it, in whatever group`, {
    skip,
  }, async () => {
    const folder = tempDir();
    const built = join(folder, 'endless.cjs');
    writeFileSync(built, endless);
    const files = () => readdirSync(folder).filter((name) => name.endsWith('.pid'));
    const pids = () => files().map((name) => parseInt(name, 10));
    cleanUp(() => {
      for (const pid of pids().filter(isThere)) process.kill(pid, 'SIGKILL');
    });
    const args = ['--input-type=module', '-e', runnerOf(built)];
    const runner = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    await until(() => pids().length === 6, { what: 'three children, and one below each' });
    runner.kill(signal);
    const exit = await within(exitOf(runner), GIVE_UP_MS, 'the runner to end');
    assert.deepEqual(exit, { code, signal: null });
    await until(() => !pids().some(isThere), { what: 'all of them to be gone' });
  });
}
