import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { repoRoot } from './support/repo.ts';
import { tempDir } from './support/temp-dir.ts';
import {
  type Finding,
  findTangled,
  findUnmirrored,
  findUntidy,
  hotFiles,
  type TidyFile,
} from './support/tidy-rules.ts';

/** What the repository holds or is about to hold: tracked and new files, not ignored ones. */
function repositoryFiles(): string[] {
  const args = ['ls-files', '--cached', '--others', '--exclude-standard'];
  const { status, stdout, stderr } = spawnSync('git', args, { cwd: repoRoot, encoding: 'utf8' });
  assert.equal(status, 0, stderr);
  const paths = stdout.split('\n').filter((path) => path && existsSync(join(repoRoot, path)));
  return [...new Set(paths)];
}

const paths = repositoryFiles();

function tidyFiles(): TidyFile[] {
  return paths.map((path) => ({ path, text: readFileSync(join(repoRoot, path), 'utf8') }));
}

function shown(findings: readonly Finding[]): string {
  return findings.map(({ path, line, message }) => `${path}:${line} ${message}`).join('\n');
}

function refuse(findings: readonly Finding[]): void {
  if (findings.length > 0) assert.fail(`${findings.length} to tidy\n${shown(findings)}`);
}

test('every file keeps the rules that no linter knows', () => {
  refuse(findUntidy(tidyFiles()));
});

test('the folders inside a folder of src import in one direction', () => {
  refuse(findTangled(tidyFiles()));
});

test('inner folders that import in a circle are found', () => {
  const file = (path: string, imported: string): TidyFile => ({
    path: `src/room/${path}`,
    text: `import { x } from '${imported}';\n`,
  });
  const fine = [
    file('top.ts', './low/a.ts'),
    file('low/a.ts', './b.ts'),
    file('mid/a.ts', '../low/a.ts'),
    file('mid/b.ts', '../../other/c.ts'),
  ];
  assert.equal(shown(findTangled(fine)), '');
  const found = findTangled([
    ...fine,
    file('low/b.ts', '../mid/a.ts'),
    file('mid/c.ts', '../top.ts'),
  ]);
  assert.deepEqual(
    found.map(({ path }) => path),
    ['src/room/mid/a.ts', 'src/room/low/b.ts'],
  );
});

test('unit tests mirror the sources', () => {
  refuse(findUnmirrored(paths));
});

test('the lists of this test and of the runner name files that exist, those of the runner with a reason', () => {
  for (const path of hotFiles) assert.ok(paths.includes(path), `${path} of hotFiles is not there`);
  for (const list of ['slow-files.json', 'files-alone.json']) {
    const text = readFileSync(join(repoRoot, 'test', list), 'utf8');
    for (const [path, reason] of Object.entries(JSON.parse(text) as Record<string, string>)) {
      assert.ok(paths.includes(path), `${path} of ${list} is not there`);
      assert.ok(reason.split(' ').length >= 4, `${path} of ${list}: say why, in a sentence`);
    }
  }
});

test('every folder of src has its place in the layer table of biome.json', () => {
  const folders = readdirSync(join(repoRoot, 'src'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  const biome = readFileSync(join(repoRoot, 'biome.json'), 'utf8');
  for (const { name } of folders)
    assert.ok(biome.includes(`"src/${name}/**"`), `src/${name} has no layer`);
});

/**
 * What each rule must find: a path, a bad line, and a word of the replacement that the message
 * names.
 */
const bad: readonly (readonly [path: string, line: string, says: RegExp])[] = [
  ['src/server/x.ts', 'const at = Date.now();', /clock\.now/],
  ['src/server/x.ts', 'const at = new Date();', /clock\.now/],
  ['src/store/x.ts', 'const at = performance.now();', /clock\.monotonic/],
  ['src/store/x.ts', 'setTimeout(() => flush(), 50);', /clock\.setTimer/],
  ['src/lanes/x.ts', 'const jitter = Math.random();', /random\.float/],
  ['src/lanes/x.ts', 'const id = randomBytes(8);', /random\.bytes/],
  ['src/produce/x.ts', "throw new Error('no');", /coded\(/],
  ['sdk/ts/src/x.ts', "reject(new TypeError('no'));", /coded\(/],
  ['src/store/x.ts', 'const limit = process.env.LIMIT;', /Config/],
  ['src/lanes/ring.ts', 'const text = JSON.stringify(frame);', /reused buffer/],
  ['src/lanes/ring.ts', 'const all = Buffer.concat(parts);', /reused buffer/],
  ['src/lanes/ring.ts', 'log.debug({ frame });', /count it/],
  ['src/lanes/ring.ts', 'await written;', /callback/],
  ['src/lanes/ring.ts', 'const copy = { ...frame };', /spread/],
  ['src/lanes/ring.ts', 'frames.forEach(write);', /for loop/],
  ['test/unit/x.test.ts', 'await new Promise((r) => setTimeout(r, 5));', /until\(\)/],
  ['test/unit/x.test.ts', "import { setTimeout as nap } from 'node:timers/promises';", /until\(\)/],
  ['test/unit/x.test.ts', `import fc from '${'fast'}-check';`, /a dozen/],
  ['native/core/x.h', '#include <napi.h>', /native\/bind/],
  ['native/kafka/x.cc', '#include "node_api.h"', /native\/bind/],
  ['src/base/x.ts', `${'\n'.repeat(401)}end();`, /split it/],
  ['src/base/x.ts', `// ${'word '.repeat(25)}`, /break it/],
  ['test/unit/x.test.ts', "test('works', () => {});", /sentence/],
  ['docs/x.md', `see ${['', 'home', 'me', 'notes'].join('/')}`, /relative path/],
  ['src/base/x.ts', `// ${'TO'}${'DO'}: later`, /open an issue/],
];

for (const [path, line, says] of bad) {
  test(`the tidy rules find: ${line.trim().slice(0, 50)} (${path})`, () => {
    const [finding, ...more] = findUntidy([{ path, text: `${line}\n` }]);
    assert.match(finding?.message ?? 'nothing found', says);
    assert.deepEqual(more, []);
  });
}

test('the tidy rules leave comments, strings and lines with a reason alone', () => {
  const good = [
    '// Date.now() is in base/ only',
    "const words = 'setTimeout( and new Error(';",
    'const pattern = /Date.now()/;',
    'const at = Date.now(); // tidy-allow time: the first line of the log has no clock yet',
  ];
  assert.equal(shown(findUntidy([{ path: 'src/server/x.ts', text: good.join('\n') }])), '');
});

test('a unit test without a subject is found, one with an aspect of its subject is not', () => {
  const tests = [
    'test/unit/store/mark.test.ts',
    'test/unit/store/mark-recovery.test.ts',
    'test/unit/store/x.test.ts',
  ];
  const found = findUnmirrored(['src/store/mark.ts', ...tests]);
  assert.deepEqual(
    found.map(({ path }) => path),
    ['test/unit/store/x.test.ts'],
  );
});

test('Biome refuses what the layer table forbids, and nothing it allows', () => {
  const folder = tempDir();
  const config = JSON.parse(readFileSync(join(repoRoot, 'biome.json'), 'utf8')) as Record<
    string,
    unknown
  >;
  const write = (path: string, lines: readonly string[]): void => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), `${lines.join('\n')}\n`);
  };
  write('biome.json', [JSON.stringify({ ...config, $schema: undefined, vcs: undefined })]);
  const forbidden: [path: string, imported: string][] = [
    ['src/store/up.ts', '../produce/lane.ts'],
    ['src/backend/kafka/sibling.ts', '../../lanes/ring.ts'],
    ['src/server/root.ts', '../app.ts'],
    ['src/base/anything.ts', '../native/addon.ts'],
    ['src/app.ts', './cli/main.ts'],
    ['protocol/src/node.ts', '../../src/base/errors.ts'],
    ['sdk/ts/src/node.ts', '../../../src/base/errors.ts'],
  ];
  const allowed: [path: string, imported: string][] = [
    ['src/store/down.ts', '../base/errors.ts'],
    ['src/backend/kafka/own.ts', '../port.ts'],
    ['src/server/produce.ts', './produce/handler.ts'],
    ['src/cli/main.ts', '../app.ts'],
    ['src/server/wire.ts', '../../protocol/src/ping.ts'],
    ['sdk/ts/src/wire.ts', '../../../protocol/src/ping.ts'],
  ];
  for (const [path, imported] of [...forbidden, ...allowed]) {
    write(path, [`import type { A } from '${imported}';`, '', 'export type B = A;']);
  }
  write('src/base/default.ts', ['export default 1;']);
  write('src/base/any.ts', ['export const x: any = 1;']);
  write('src/base/barrel.ts', ["export * from './any.ts';"]);
  write('src/base/long.ts', [
    'export function long(): void {',
    ...Array<string>(75).fill('  long();'),
    '}',
  ]);
  write('src/base/one.ts', [
    "import type { Two } from './two.ts';",
    '',
    'export type One = Two | 1;',
  ]);
  write('src/base/two.ts', [
    "import type { One } from './one.ts';",
    '',
    'export type Two = One | 2;',
  ]);
  const biome = join(repoRoot, 'node_modules', '@biomejs', 'biome', 'bin', 'biome');
  const args = [biome, 'lint', '--reporter=github', '--max-diagnostics=none', '.'];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: folder, encoding: 'utf8' });
  const seen = new Set<string>();
  for (const [, rule = '', file = ''] of `${stdout}${stderr}`.matchAll(
    /title=lint\/(\S+?),file=(\S+?),/g,
  )) {
    seen.add(`${rule} ${file.slice(file.search(/(src|protocol|sdk)\//))}`);
  }
  for (const [path] of forbidden) assert.ok(seen.has(`style/noRestrictedImports ${path}`), path);
  for (const [path] of allowed) assert.ok(!seen.has(`style/noRestrictedImports ${path}`), path);
  const others = [
    'style/noDefaultExport src/base/default.ts',
    'suspicious/noExplicitAny src/base/any.ts',
    'performance/noReExportAll src/base/barrel.ts',
    'complexity/noExcessiveLinesPerFunction src/base/long.ts',
    'suspicious/noImportCycles src/base/one.ts',
    'suspicious/noImportCycles src/base/two.ts',
  ];
  for (const other of others) assert.ok(seen.has(other), other);
});
