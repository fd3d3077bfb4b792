import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  autoReplicas,
  faultsOf,
  isEnough,
  roleRefused,
  thinAdvice,
  thinnessOf,
  thinWords,
} from '../../../src/backend/internal-topic-check.ts';

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

test('fewer replicas than the brokers allow are named where no number is set, and are no fault', () => {
  const spec = { name: 't', partitions: 1, config: {}, replicationFactor: 'auto' } as const;
  const thin = (replicationFactor: number, brokers: number) =>
    thinnessOf(spec, { replicationFactor, brokers });
  assert.deepEqual([0, 1, 2, 3, 9].map(autoReplicas), [1, 1, 2, 3, 3]);
  assert.equal(thin(1, 1), undefined);
  assert.equal(thin(3, 9), undefined);
  assert.equal(thin(2, 2), undefined);
  const fault = thin(1, 3);
  assert(fault !== undefined);
  assert.deepEqual([fault.setting, fault.found, fault.needed], ['replication.factor', '1', '3']);
  assert.equal(
    `${thinWords(fault)}: ${thinAdvice(fault)}`,
    'internal topic t has replication.factor 1, and the brokers allow 3: ' +
      'give t 3 replicas by kafka-reassign-partitions.sh: the loss of one broker loses it',
  );
  const real = { partitions: 1, replicationFactor: 1, settings: new Map<string, string>() };
  assert.deepEqual(faultsOf(spec, real), []);
  // A number is compared as it stands.
  assert.equal(thinnessOf({ ...spec, replicationFactor: 3 }, { ...real, brokers: 3 }), undefined);
  assert.equal(faultsOf({ ...spec, replicationFactor: 3 }, real).length, 1);
});
