import assert from 'node:assert/strict';
import { test } from 'node:test';
import { loadConfig } from '../../src/config/load.ts';
import { retryTopicConfig, sideTopicConfig } from '../../src/internal-topics.ts';

const hour = 3_600_000;
const week = 7 * 24 * hour;

/** How long dead letters are kept, and what the group `billing` put off of `orders`. */
function kept(retention: string, table: readonly string[] = [], topic = 'orders'): string[] {
  const ofTable = ['--retry.policies.orders/*.backoff.table', table.join()];
  const general = ['--dead-letters.retention', retention];
  const { config } = loadConfig({ argv: [...general, ...(table.length === 0 ? [] : ofTable)] });
  const retry = retryTopicConfig(config, { topic, group: 'billing' });
  return [sideTopicConfig(config)['retention.ms'] ?? '', retry['retention.ms'] ?? ''];
}

test('what was put off is kept for its longest wait and a week, however short dead letters are', () => {
  assert.deepEqual(kept('1h'), [`${hour}`, `${600_000 + week}`]);
  const table = ['1s', '2h', '1h'];
  assert.deepEqual(kept('1h', table), [`${hour}`, `${2 * hour + week}`]);
  // The retry topic itself, as doctor finds it, has the policy of its topic.
  assert.deepEqual(kept('1h', table, 'orders.billing.retry'), [`${hour}`, `${2 * hour + week}`]);
});

test('what was put off is kept as long as dead letters, when that is longer', () => {
  assert.deepEqual(kept('30d'), [`${30 * 24 * hour}`, `${30 * 24 * hour}`]);
  assert.deepEqual(kept('forever'), ['-1', '-1']);
});
