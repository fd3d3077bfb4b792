import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Admin, ITopicMetadata } from 'kafkajs';
import { checkInternalTopics } from '../../../../src/cli/doctor/internal-topics.ts';
import { loadConfig } from '../../../../src/config/load.ts';
import {
  internalTopics,
  retryTopicConfig,
  sideTopicConfig,
} from '../../../../src/internal-topics.ts';

const { config } = loadConfig({ argv: ['--dead-letters.retention', '1h'] });
type Settings = Readonly<Record<string, string>>;

/** What doctor says of topics of one partition with these settings; `billing` is a group. */
async function findings(
  topics: Readonly<Record<string, Settings>>,
  { brokers = 1, replicas = 1 } = {},
): Promise<string[]> {
  const admin: Pick<Admin, 'listGroups' | 'describeConfigs'> = {
    listGroups: async () => ({ groups: [{ groupId: 'billing', protocolType: 'consumer' }] }),
    describeConfigs: async ({ resources }) => ({
      throttleTime: 0,
      resources: resources.map(({ name, type }) => ({
        ...{ errorCode: 0, errorMessage: '', resourceName: name, resourceType: type },
        configEntries: Object.entries(topics[name] ?? {}).map(([configName, configValue]) => ({
          ...{ configName, configValue, configSource: 1, configSynonyms: [] },
          ...{ isDefault: false, isSensitive: false, readOnly: false },
        })),
      })),
    }),
  };
  const partition = { partitionErrorCode: 0, partitionId: 0, leader: 0, isr: [0] };
  const copies = Array.from({ length: replicas }, (_, i) => i);
  const there = Object.keys(topics).map(
    (name): ITopicMetadata => ({ name, partitions: [{ ...partition, replicas: copies }] }),
  );
  const found = await checkInternalTopics(admin as Admin, { topics: there, brokers }, config);
  return found.map(({ level, found, advice }) => `${level} ${found} → ${advice}`);
}

const marks = internalTopics(config).find(({ name }) => name === '__mqproxy.redriven');
assert(marks !== undefined);

test('what was put off must be kept longer than dead letters that are kept for an hour', async () => {
  const dead = sideTopicConfig(config);
  const retry = retryTopicConfig(config, { topic: 'orders', group: 'billing' });
  const well = await findings({ 'orders.billing.dlq': dead, 'orders.billing.retry': retry });
  assert.deepEqual(well, ['ok 2 internal topics are as they must be → undefined']);
  const weak = await findings({ 'orders.billing.dlq': dead, 'orders.billing.retry': dead });
  assert.equal(weak.length, 1);
  assert.match(
    weak[0] ?? '',
    /^fail internal topic orders\.billing\.retry: retention\.ms is 3600000, and must be 605400000 → set/,
  );
});

test('a topic of a group that nobody knows is none of ours', async () => {
  assert.deepEqual(await findings({ 'orders.other.retry': {}, 'x.y.dlq': {} }), [
    'ok no internal topic was made yet → undefined',
  ]);
});

test('an internal topic with one replica on three brokers is a warning', async () => {
  const topics = { [marks.name]: marks.config };
  assert.match((await findings(topics))[0] ?? '', /^ok 1 internal topics/);
  assert.deepEqual(await findings(topics, { brokers: 3 }), [
    'warn internal topic __mqproxy.redriven has replication.factor 1, and the brokers allow 3 → ' +
      'give __mqproxy.redriven 3 replicas by kafka-reassign-partitions.sh: ' +
      'the loss of one broker loses it',
  ]);
  assert.match((await findings(topics, { brokers: 3, replicas: 3 }))[0] ?? '', /^ok/);
});
