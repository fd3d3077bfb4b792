import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repoRoot } from './repo.ts';
import { tempDir } from './temp-dir.ts';

/** A PATH on which only these programs are. */
function pathWith(...programs: readonly string[]): string {
  const folder = tempDir();
  for (const program of programs) {
    writeFileSync(join(folder, program), '#!/bin/sh\n');
    chmodSync(join(folder, program), 0o755);
  }
  return folder;
}

/** What a function without arguments of a module says, in a process of that PATH. */
function said(module: string, name: string, env: Record<string, string>): string | undefined {
  const url = pathToFileURL(join(repoRoot, module));
  const code = `import { ${name} } from '${url}'; console.log(${name}() ?? '');`;
  const args = ['--input-type=module', '-e', code];
  const { stdout, status, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  return stdout.trim() || undefined;
}

const missingTools = (...programs: string[]) =>
  said('scripts/build-native.mjs', 'missingTools', { PATH: pathWith(...programs) });

test('a missing compiler, make or Python is one line that says what to install', {
  skip: process.platform === 'linux' ? false : 'the words are those of Linux',
}, () => {
  assert.equal(missingTools('c++', 'make', 'python3'), undefined);
  assert.equal(missingTools('clang++', 'gmake', 'python3'), undefined);
  assert.match(
    missingTools('make', 'python3') ?? '',
    /^mqproxy: .* needs g\+\+, .*apt-get install g\+\+ /,
  );
  assert.match(missingTools('c++', 'python3') ?? '', /needs make, .*apt-get install make /);
  assert.match(missingTools('c++', 'make') ?? '', /needs python3, .*apt-get install python3 /);
  const all = missingTools() ?? '';
  assert.match(all, /needs g\+\+ make python3, .*dnf install gcc-c\+\+ make python3/);
  assert.equal(all.split('\n').length, 1);
});

test('without Java or Maven the tests on a real Kafka say in one line what to install', () => {
  const module = 'dist/test/support/kafka.js';
  const missing = (...programs: string[]) =>
    said(module, 'kafkaMissing', { PATH: pathWith(...programs) });
  assert.equal(missing('java', 'mvn'), undefined);
  assert.match(
    missing('mvn') ?? '',
    /^real Kafka needs Java 17; install with: apt-get install \S+/,
  );
  assert.match(missing() ?? '', /^real Kafka needs Java 17/);
  assert.equal((missing() ?? '').split('\n').length, 1);
  const skips = said(module, 'skipWithoutKafka', { PATH: pathWith(), CI: 'true' });
  assert.equal(skips, 'false', 'a build machine skips nothing');
});
