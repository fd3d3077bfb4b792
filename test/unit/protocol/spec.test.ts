import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ERROR_TABLE, ErrorCode } from '../../../protocol/src/generated.ts';
import { errorName, ProtocolError } from '../../../protocol/src/protocol-error.ts';
import { repoRoot } from '../../support/repo.ts';
import { readVectors } from '../../support/vectors.ts';

const protocolDir = join(repoRoot, 'protocol');
const spec = readFileSync(join(protocolDir, 'SPEC.md'), 'utf8');
const clauses = [...spec.matchAll(/^\*\*\[(P-\d+\.\d+)\]\*\*/gm)].map(([, clause]) => clause);

test('every clause and conformance id of SPEC.md stands once', () => {
  assert.deepEqual(clauses, [...new Set(clauses)]);
  const ids = [...spec.matchAll(/^\| (C-\d+\.\d+) \|/gm)].map(([, id]) => id);
  assert.ok(ids.length >= 25);
  assert.deepEqual(ids, [...new Set(ids)]);
});

test('every clause that code, schema or vectors name is in SPEC.md', () => {
  const sources = readdirSync(join(protocolDir, 'src')).map((file) => join('src', file));
  for (const file of [...sources, 'schema.json', 'SPEC.md']) {
    const text = readFileSync(join(protocolDir, file), 'utf8');
    for (const [clause] of text.matchAll(/\bP-\d+\.\d+\b/g)) {
      assert.ok(clauses.includes(clause), `${file} names ${clause}`);
    }
  }
  for (const { file, clauses: named } of readVectors()) {
    for (const clause of named) assert.ok(clauses.includes(clause), `${file} names ${clause}`);
  }
});

test('what is generated agrees with schema.json', () => {
  const script = join(repoRoot, 'scripts', 'generate.mjs');
  const { status, stderr } = spawnSync(process.execPath, [script, '--check'], { encoding: 'utf8' });
  assert.equal(status, 0, stderr);
});

test('an error knows its name, and whether to retry and to close', () => {
  assert.equal(ERROR_TABLE.length, Object.keys(ErrorCode).length);
  const later = new ProtocolError(ErrorCode.RETRY_LATER, 'quota', 500);
  assert.deepEqual(
    [later.name, later.retriable, later.fatal, later.retryAfterMs],
    ['RETRY_LATER', true, false, 500],
  );
  assert.equal(new ProtocolError(ErrorCode.FENCED, '').fatal, true);
  assert.equal(errorName(4711), 'CODE_4711');
});
