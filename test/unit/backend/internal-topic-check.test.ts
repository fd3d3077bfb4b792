import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isEnough, roleRefused } from '../../../src/backend/internal-topic-check.ts';

test('a longer retention is enough, a shorter or unknown one is not', () => {
  assert.ok(isEnough('retention.ms', '2000', '1000'));
  assert.ok(isEnough('retention.ms', '-1', '1000'));
  assert.ok(isEnough('retention.ms', '1000', '1000'));
  assert.ok(!isEnough('retention.ms', '999', '1000'));
  assert.ok(!isEnough('retention.ms', '1000', '-1'));
  assert.ok(!isEnough('retention.ms', undefined, '1000'));
  assert.ok(!isEnough('partitions', '9', '4'));
});

test('a refusal names topic, setting, found and needed', () => {
  const fault = { topic: 't', setting: 'retention.ms', found: '5', needed: '7' };
  assert.match(roleRefused(fault).message, /t: retention\.ms is 5, and must be 7/);
});
