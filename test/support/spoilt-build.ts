import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { cleanUp } from './clean-up.ts';
import { cacheDir, repoRoot } from './repo.ts';
import { removeDir } from './temp-dir.ts';

/** One change of the built program. */
export interface Spoil {
  /** From the repository's root, `src/produce/intake/dedupe-window.js` for example. */
  readonly file: string;
  readonly find: RegExp;
  readonly replace: string;
}

/**
 * A copy of the build in which something was broken on purpose: to show that a test would notice.
 * Give the answer to `startServer` as `entry`; it is gone after the test.
 */
export function spoiltBuild(...spoils: readonly Spoil[]): string {
  return relative(repoRoot, join(spoiltFolder(spoils), 'bin', 'mqproxy.js'));
}

/**
 * Runs a test file (`unit/produce/forwarder` for example) against such a copy: the titles of the
 * tests that failed there.
 */
export function failedBy(name: string, ...spoils: readonly Spoil[]): string[] {
  const folder = spoiltFolder(spoils);
  cpSync(join(repoRoot, 'dist', 'test'), join(folder, 'dist', 'test'), { recursive: true });
  const file = join(folder, 'dist', 'test', `${name}.test.js`);
  const { stdout, error } = spawnSync(process.execPath, ['--test-reporter', 'tap', file], {
    encoding: 'utf8',
    env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    timeout: 120_000,
  });
  assert.equal(error, undefined);
  assert.match(stdout, /^# tests [1-9]/m, 'no test ran');
  return [...stdout.matchAll(/^not ok \d+ - (.*)$/gm)].map(([, title = '']) => title);
}

function spoiltFolder(spoils: readonly Spoil[]): string {
  mkdirSync(cacheDir, { recursive: true });
  // Below the repository, so that its packages and its addon are found.
  const folder = mkdtempSync(join(cacheDir, 'spoilt-'));
  cleanUp(
    () => removeDir(folder),
    () => removeDir(folder),
  );
  cpSync(join(repoRoot, 'bin'), join(folder, 'bin'), { recursive: true });
  for (const part of ['src', 'protocol', 'sdk']) {
    cpSync(join(repoRoot, 'dist', part), join(folder, 'dist', part), { recursive: true });
  }
  for (const { file, find, replace } of spoils) {
    const path = join(folder, 'dist', file);
    const text = readFileSync(path, 'utf8');
    const spoilt = text.replace(find, replace);
    assert.notEqual(spoilt, text, `${find} is not in ${file} any more: spoil it anew`);
    writeFileSync(path, spoilt);
  }
  return folder;
}
