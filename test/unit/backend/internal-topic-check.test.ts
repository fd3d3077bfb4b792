import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultsOf, isEnough, roleRefused } from '../../../src/backend/internal-topic-check.ts';

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

test('every fault of a topic is named, and an order of policies is none', () => {
  const config = { 'cleanup.policy': 'compact,delete', 'retention.ms': '7', 'segment.bytes': '9' };
  const spec = { name: 't', partitions: 4, config, replicationFactor: 2 } as const;
  const settings = new Map([
    ['cleanup.policy', 'delete, compact'],
    ['retention.ms', '8'],
  ]);
  const faults = faultsOf(spec, { partitions: 3, replicationFactor: 1, settings });
  assert.deepEqual(
    faults.map(({ setting, found, needed }) => [setting, found, needed]),
    [
      ['partitions', '3', '4'],
      ['replication.factor', '1', '2'],
      ['retention.ms', '8', '7'],
      ['segment.bytes', 'not shown to this node', '9'],
    ],
  );
  const real = { partitions: 4, replicationFactor: 2, settings };
  const isPublic = faultsOf({ ...spec, isPublic: true }, real);
  assert.deepEqual(
    isPublic.map(({ setting }) => setting),
    ['segment.bytes'],
  );
});
