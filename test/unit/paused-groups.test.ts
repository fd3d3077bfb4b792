import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readPauses, writePauses } from '../../src/paused-groups.ts';
import { tempDir } from '../support/temp-dir.ts';

const pause = { by: 'ops', from: '10.0.0.1:5000', atMs: 1_700_000_000_000 };

test('what is paused comes back, and nothing is before the first pause', () => {
  const dataDir = tempDir('mqproxy-test-');
  assert.equal(readPauses(dataDir).size, 0);
  const pauses = new Map([
    ['billing', pause],
    ['mail', { ...pause, by: 'night shift' }],
  ]);
  writePauses(dataDir, pauses);
  assert.deepEqual(readPauses(dataDir), pauses);
  writePauses(dataDir, new Map());
  assert.equal(readPauses(dataDir).size, 0);
});

test('a file that says something else is refused, rather than that groups go on', () => {
  const dataDir = tempDir('mqproxy-test-');
  for (const text of ['', '{', '{"billing":true}', '{"billing":{"by":"ops"}}', 'null']) {
    writeFileSync(join(dataDir, 'paused-groups.json'), text);
    assert.throws(() => readPauses(dataDir), { code: 'DATA_DIR_REFUSED' });
  }
});

test('a pause that cannot be kept is an error', () => {
  const dataDir = tempDir('mqproxy-test-');
  mkdirSync(join(dataDir, 'paused-groups.json'));
  assert.throws(() => writePauses(dataDir, new Map([['g', pause]])), { code: 'DATA_DIR_REFUSED' });
});
