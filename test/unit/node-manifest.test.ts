import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeDataDir } from '../../src/node-manifest.ts';
import { tempDir } from '../support/temp-dir.ts';

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8);

/** A folder as an operator's `mkdir` makes it. */
function mkdir(path: string, mode = 0o755): string {
  mkdirSync(path);
  chmodSync(path, mode);
  return path;
}

test('a data folder that is made has mode 0700', () => {
  const dataDir = join(tempDir(), 'data');
  assert.equal(makeDataDir(dataDir), undefined);
  assert.equal(modeOf(dataDir), '700');
});

test('an empty data folder that others may look into is closed to them', () => {
  const dataDir = mkdir(join(tempDir(), 'data'));
  assert.equal(makeDataDir(dataDir), undefined);
  assert.equal(modeOf(dataDir), '700');
});

test('a folder in use keeps its mode with a word, and what holds messages is closed', () => {
  const dataDir = mkdir(join(tempDir(), 'data'));
  writeFileSync(join(dataDir, 'node.json'), '{}');
  const lanes = mkdir(join(dataDir, 'lanes'));
  const others = mkdir(join(dataDir, 'of-somebody-else'));
  assert.equal(makeDataDir(dataDir), `others may look into the data folder: chmod 700 ${dataDir}`);
  assert.deepEqual([modeOf(dataDir), modeOf(lanes), modeOf(others)], ['755', '700', '755']);
  chmodSync(dataDir, 0o700);
  assert.equal(makeDataDir(dataDir), undefined);
});
