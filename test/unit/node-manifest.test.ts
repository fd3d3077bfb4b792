import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemRandom } from '../../src/base/random.ts';
import { makeDataDir, openDataDir, readManifest } from '../../src/node-manifest.ts';
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

const request = { lanes: 'auto' } as const;

test('the backend of a folder is changed while no lane was opened, and refused after', () => {
  const dataDir = join(tempDir(), 'data');
  const kafka = openDataDir(dataDir, { ...request, backend: 'kafka', lanes: 1 }, systemRandom);
  const embedded = openDataDir(dataDir, { ...request, backend: 'embedded' }, systemRandom);
  assert.deepEqual(embedded, { ...kafka, backend: 'embedded' });
  assert.equal(readManifest(dataDir).backend, 'embedded');
  mkdirSync(join(dataDir, 'lanes', '0'), { recursive: true });
  assert.throws(() => openDataDir(dataDir, { ...request, backend: 'kafka' }, systemRandom), {
    code: 'DATA_DIR_REFUSED',
    message: /belongs to the embedded backend and may hold messages of it/,
    hint: 'give another --data-dir, or go back to --backend embedded',
  });
  assert.equal(readManifest(dataDir).backend, 'embedded');
});
