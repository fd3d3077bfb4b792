import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { repoRoot } from './repo.ts';

function run(script: string, ...args: string[]) {
  const program = [join(repoRoot, 'scripts', script), ...args];
  const env = { ...process.env, NODE_TEST_CONTEXT: undefined };
  return spawnSync(process.execPath, program, { encoding: 'utf8', env, timeout: 60_000 });
}

test('a command line of the runners that makes no sense is their usage and exit code 2', () => {
  const lines: readonly [script: string, args: string, words: RegExp][] = [
    ['test.mjs', 'quick --frobnicate', /--frobnicate/],
    ['test.mjs', '--only', /--only/],
    ['test.mjs', 'no-such-lane', /usage/],
    ['fault.mjs', '--frobnicate', /--frobnicate/],
    ['fault.mjs', '--seed x', /--seed: a whole number/],
    ['fault.mjs', '--minutes never', /--minutes: a number above 0/],
    ['fault.mjs', '--clusters 2', /--clusters needs --minutes/],
    ['fault.mjs', '--minutes 1 failover', /failover: --minutes takes no files/],
  ];
  for (const [script, args, words] of lines) {
    const { status, stdout, stderr } = run(script, ...args.split(' '));
    const said = `${stdout}${stderr}`;
    assert.equal(status, 2, `${script} ${args}: ${said}`);
    assert.match(said, words);
    assert.match(said, /^usage: /m);
    assert.doesNotMatch(said, /^ +at /m, 'a stack trace');
  }
});

test('a seed without minutes goes to the fault tests, not to their runner', () => {
  const { status, stdout } = run('fault.mjs', '--seed', '7', 'no file has this name');
  assert.match(
    stdout,
    /^0 passed, 1 failed, 0 skipped$/m,
    'no test was chosen, which is a failure',
  );
  assert.equal(status, 1);
});
