import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Random } from '../../src/base/random.ts';
import { clusterSecret } from '../../src/cluster-secret.ts';
import { tempDir } from '../support/temp-dir.ts';

/** Bytes that count up: no two secrets, or names of drafts, are the same. */
function counting(first: number): Random {
  let next = first;
  return { bytes: (length) => Buffer.alloc(length, next++), float: () => 0 };
}

const secretOf = (dataDir: string, first = 1): string =>
  clusterSecret({ configured: undefined, dataDir, random: counting(first) }).toString();

test('a secret is made once, for its owner alone, and is the same ever after', () => {
  const dataDir = tempDir();
  const secret = secretOf(dataDir);
  assert.equal(secret, '01'.repeat(32));
  assert.equal(secretOf(dataDir, 9), secret);
  assert.equal(statSync(join(dataDir, 'cluster.secret')).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(dataDir), ['cluster.secret']);
  const configured = 'the nodes of this test share it';
  const random = counting(9);
  assert.equal(clusterSecret({ configured, dataDir, random }).toString(), configured);
});

test('a secret that is too short is refused in words, and left as it is', () => {
  for (const text of ['', 'fifteen letters\n']) {
    const dataDir = tempDir();
    writeFileSync(join(dataDir, 'cluster.secret'), text);
    assert.throws(() => secretOf(dataDir), {
      code: 'DATA_DIR_REFUSED',
      message: /cluster\.secret of the data folder is too short/,
    });
    assert.equal(readFileSync(join(dataDir, 'cluster.secret'), 'utf8'), text);
  }
});

test('what a crash has left of an unfinished secret is passed over, also by its very name', () => {
  const dataDir = tempDir();
  writeFileSync(join(dataDir, `cluster.secret.${'02'.repeat(8)}`), '');
  const secret = secretOf(dataDir);
  assert.equal(secret, '03'.repeat(32));
  assert.equal(secretOf(dataDir, 9), secret);
});

test('of two processes that make it at once both have the one secret', () => {
  const dataDir = tempDir();
  const own = counting(1);
  let other = '';
  // The other one is quicker, between this one's look and its write.
  const bytes = (length: number): Uint8Array => {
    other ||= secretOf(dataDir, 50);
    return own.bytes(length);
  };
  const random = { bytes, float: () => 0 };
  const secret = clusterSecret({ configured: undefined, dataDir, random }).toString();
  assert.equal(secret, other);
  assert.deepEqual(readdirSync(dataDir), ['cluster.secret']);
});

test('a secret that could not be written leaves nothing that a later start would trip over', () => {
  const dataDir = tempDir();
  const module = new URL('../../src/cluster-secret.js', import.meta.url).href;
  const script = `
    const { clusterSecret } = await import(${JSON.stringify(module)});
    const random = { bytes: (length) => Buffer.alloc(length, 7) };
    const dataDir = ${JSON.stringify(dataDir)};
    try {
      clusterSecret({ configured: undefined, dataDir, random });
    } catch (error) {
      console.log(error.code);
    }`;
  // No byte of a file may be written: it is made, and stays empty.
  const limited = 'ulimit -f 0; exec "$0" --input-type=module -e "$1"';
  const { stdout } = spawnSync('sh', ['-c', limited, process.execPath, script], {
    encoding: 'utf8',
  });
  assert.equal(stdout.trim(), 'DATA_DIR_REFUSED');
  assert.deepEqual(readdirSync(dataDir), []);
  assert.equal(secretOf(dataDir), '01'.repeat(32));
});
