import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { repoRoot } from '../support/repo.ts';
import { tempDir } from '../support/temp-dir.ts';

const script = pathToFileURL(join(repoRoot, 'scripts', 'tree.mjs')).href;
const { treeOf } = (await import(script)) as { treeOf(root: string): string };

test('a tree is another one when a file of it differs, whether git knows that file or not', () => {
  const folder = tempDir('mqproxy-test-');
  const write = (name: string, text: string | Buffer) => writeFileSync(join(folder, name), text);
  const git = (...args: string[]) => {
    const as = ['-c', 'user.name=t', '-c', 'user.email=t@localhost'];
    const { status, stderr } = spawnSync('git', [...as, ...args], { cwd: folder });
    assert.equal(status, 0, String(stderr));
  };
  git('init', '-q');
  write('.gitignore', 'ignored\n');
  write('known', 'one\n');
  write('known.bin', Buffer.from([0, 1]));
  git('add', '.');
  git('commit', '-qm', 'one');
  const seen = [treeOf(folder)];
  const change = (work: () => void) => {
    work();
    const tree = treeOf(folder);
    assert(!seen.includes(tree), `change ${seen.length} was not seen`);
    seen.push(tree);
  };
  change(() => write('known', 'two\n'));
  change(() => write('known.bin', Buffer.from([0, 2])));
  change(() => write('new file', 'one\n'));
  change(() => write('new file', 'two\n'));
  change(() => symlinkSync('nowhere', join(folder, 'link')));
  change(() => git('init', '-q', 'another'));
  write('ignored', 'one\n');
  assert.equal(treeOf(folder), seen.at(-1));
  mkdirSync(join(folder, 'empty'));
  assert.equal(treeOf(folder), seen.at(-1));
  rmSync(join(folder, 'new file'));
  assert(!seen.includes(treeOf(folder)));
});

test('the scale is read by tests alone: a file that does not name it is not run with more', () => {
  const folder = join(repoRoot, 'test');
  const readers = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
    .filter((name) => readFileSync(join(folder, name), 'utf8').includes('MQPROXY_TEST_SCALE'));
  assert.deepEqual(readers, []);
});
