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
import { delayTopicSpec } from '../../../src/delay/delay-topic.ts';

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
    ['retention.ms', '6'],
  ]);
  const faults = faultsOf(spec, { partitions: 3, replicationFactor: 1, settings });
  assert.deepEqual(
    faults.map(({ setting, found, needed }) => [setting, found, needed]),
    [
      ['partitions', '3', '4'],
      ['replication.factor', '1', '2'],
      ['retention.ms', '6', '7'],
      ['segment.bytes', 'not shown to this node', '9'],
    ],
  );
});

test('what keeps more than is needed is no fault, and what is merely other is one', () => {
  const needed = { ...delayTopicSpec(1_000).config, 'segment.bytes': '9' };
  const spec = { name: 't', partitions: 4, config: needed, replicationFactor: 'auto' } as const;
  const found = (change: Record<string, string>) => {
    const settings = new Map(Object.entries({ ...needed, ...change }));
    return faultsOf(spec, { partitions: 4, replicationFactor: 1, settings });
  };
  const numbers = ['delete.retention.ms', 'min.compaction.lag.ms', 'max.message.bytes'];
  for (const setting of numbers) {
    const value = Number(needed[setting as keyof typeof needed]);
    assert.deepEqual(found({ [setting]: `${value + 1}` }), [], setting);
    assert.equal(found({ [setting]: `${value - 1}` })[0]?.setting, setting);
  }
  for (const segment of ['8', '10']) assert.equal(found({ 'segment.bytes': segment }).length, 1);
  assert.equal(found({ 'cleanup.policy': 'compact,delete' }).length, 1);
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
