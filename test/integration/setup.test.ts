import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { cleanUp } from '../support/clean-up.ts';
import { cacheDir, repoRoot } from '../support/repo.ts';
import { removeDir, tempDir } from '../support/temp-dir.ts';

/**
 * A clone with little to compile, whose packages are those of this one. Its addon counts as built,
 * and its folder is its own: what is stale here must not be built from there, for it would look for
 * its libraries from a folder that goes with the test.
 */
async function littleClone(): Promise<string> {
  const folder = mkdtempSync(join(cacheDir, 'clone-'));
  cleanUp(
    () => removeDir(folder),
    () => removeDir(folder),
  );
  const copied = ['package.json', 'package-lock.json', 'tsconfig.json', 'binding.gyp', 'scripts'];
  for (const name of [...copied, 'native']) {
    cpSync(join(repoRoot, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(repoRoot, 'node_modules'), join(folder, 'node_modules'));
  mkdirSync(join(folder, 'build', 'Release'), { recursive: true });
  for (const name of ['Makefile', 'Release/mq_native.node'])
    writeFileSync(join(folder, 'build', name), '');
  const { stampBuild } = await import(
    pathToFileURL(join(folder, 'scripts', 'build-native.mjs')).href
  );
  stampBuild();
  mkdirSync(join(folder, '.cache'));
  cpSync(join(cacheDir, 'npm-ci.sha256'), join(folder, '.cache', 'npm-ci.sha256'));
  mkdirSync(join(folder, 'src'));
  writeFileSync(join(folder, 'src', 'one.ts'), 'export const one: number = 1;\n');
  return folder;
}

/** What `npm start` and `npm test` run first. */
function setup(folder: string) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['scripts/setup.mjs'], {
    cwd: folder,
    encoding: 'utf8',
  });
  return { status, stdout, lines: stderr.split('\n').filter((line) => line !== '') };
}

test('a second start builds nothing, and a touched source is built again', async () => {
  const folder = await littleClone();
  const built = join(folder, 'dist', 'src', 'one.js');
  const first = setup(folder);
  assert.deepEqual([first.status, first.stdout], [0, ''], first.lines.join('\n'));
  assert.equal(first.lines.length, 1);
  assert.match(first.lines[0] ?? '', /^setup: tsc -b … \d+\.\d s$/);
  assert(existsSync(built));
  assert.deepEqual(setup(folder), { status: 0, stdout: '', lines: [] });

  writeFileSync(join(folder, 'src', 'one.ts'), 'export const one: number = 2;\n');
  assert.match(setup(folder).lines.join('\n'), /^setup: tsc -b … \d+\.\d s$/);
  assert.match(readFileSync(built, 'utf8'), /one = 2/);
  // Touched alone is enough to ask the compiler, which finds nothing to do.
  utimesSync(join(folder, 'src', 'one.ts'), 1, 1);
  assert.match(setup(folder).lines.join('\n'), /^setup: tsc -b /);
  assert.deepEqual(setup(folder).lines, []);
});

/** A PATH with what npm itself needs, and with compilers that do nothing under these names. */
function pathWith(...compilers: readonly string[]): string {
  const folder = tempDir();
  for (const name of ['npm', 'sh']) symlinkSync(programOf(name), join(folder, name));
  symlinkSync(process.execPath, join(folder, 'node'));
  for (const name of compilers) {
    writeFileSync(join(folder, name), '#!/bin/sh\n');
    chmodSync(join(folder, name), 0o755);
  }
  return folder;
}

function programOf(name: string): string {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const found = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
  assert(found !== undefined, `${name} is on the PATH`);
  return found;
}

test('`npm start` without a compiler, make or Python is one line that says what to install', {
  skip: process.platform === 'linux' ? false : 'the words are those of Linux',
}, async () => {
  const folder = await littleClone();
  rmSync(join(folder, 'build'), { recursive: true });
  for (const [apt, ...compilers] of [
    ['g++', 'make', 'python3'],
    ['make', 'c++', 'python3'],
    ['python3', 'c++', 'make'],
  ] as const) {
    const { status, stdout, stderr } = spawnSync('npm', ['start'], {
      cwd: folder,
      env: { HOME: folder, PATH: pathWith(...compilers) },
      encoding: 'utf8',
    });
    assert.notEqual(status, 0);
    // npm says before which script it runs, and some versions of it after that this one failed.
    assert.doesNotMatch(stdout, /mqproxy ready/);
    const own = stderr.split('\n').filter((line) => line !== '' && !line.startsWith('npm '));
    assert.equal(own.length, 1, stderr);
    const [line = ''] = own;
    assert(line.startsWith(`mqproxy: building the native part needs ${apt}, `), line);
    assert(line.includes(`install with: apt-get install ${apt} `), line);
  }
});

test('an error of the compiler ends a start with exit code 1 and what it said', async () => {
  const folder = await littleClone();
  writeFileSync(join(folder, 'src', 'one.ts'), "export const one: number = 'two';\n");
  const { status, lines } = setup(folder);
  assert.equal(status, 1);
  assert.match(lines.join('\n'), /^setup: tsc -b … FAILED after .*\n.*src\/one\.ts.*TS2322/s);
});
