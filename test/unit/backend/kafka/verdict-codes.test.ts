import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { listedVerdicts, verdictOf } from '../../../../src/backend/kafka/verdict-codes.ts';

test('names every listed code as librdkafka does', () => {
  const folder = dirname(createRequire(import.meta.url).resolve('node-rdkafka/package.json'));
  const header = readFileSync(join(folder, 'deps/librdkafka/src/rdkafka.h'), 'utf8');
  const numbers = new Map<string, number>();
  for (const [, name = '', number] of header.matchAll(/RD_KAFKA_RESP_ERR_(\w+) = (-?\d+),/g)) {
    numbers.set(name, Number(number));
  }
  for (const [code, { name }] of listedVerdicts()) {
    if (name === undefined) assert.fail(`code ${code} has no name`);
    assert.equal(numbers.get(name), code, name);
  }
});

test('gives up only on what the broker refuses for good, and says with which code', () => {
  const refused = [...listedVerdicts()].filter(([, verdict]) => verdict.kind === 'refused');
  assert.deepEqual(
    refused.map(([code]) => code).toSorted((a, b) => a - b),
    [-190, 10, 17, 18, 29, 43, 44, 87],
  );
  assert.ok(refused.every(([, verdict]) => verdict.code !== undefined));
  assert.equal(verdictOf(10).code, 'MESSAGE_TOO_LARGE');
  assert.equal(verdictOf(10).ofBatch, true);
  assert.equal(verdictOf(29).code, 'NOT_AUTHORIZED');
});

test('sends again what it does not know, and what a purge or a stale time turned back', () => {
  for (const code of [32, -151, -152, -185, -195, 9999, -9999]) {
    assert.equal(verdictOf(code).kind, 'resend', `${code}`);
  }
  assert.equal(verdictOf(0).kind, 'confirmed');
  for (const code of [3, -188]) assert.equal(verdictOf(code).kind, 'topicMissing');
  for (const code of [-150, 47, 90]) assert.equal(verdictOf(code).kind, 'fatal');
});
