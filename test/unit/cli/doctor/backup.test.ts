import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CatalogTopic, ClusterTopic } from '../../../../src/catalog/port.ts';
import { differences } from '../../../../src/cli/doctor/backup.ts';

const on = (partitions: number): ClusterTopic => ({
  partitions,
  messageBytesMax: 1_000_000,
  replicationFactor: 3,
  minInsyncReplicas: 2,
  config: {},
  confirmed: true,
});

function topic(name: string, primary: number, backup: number): CatalogTopic {
  const clusters: Record<string, ClusterTopic> = { primary: on(primary) };
  if (backup > 0) clusters['backup'] = on(backup);
  return { id: 1, name, clusters };
}

test('topics that the backup lacks or has with other partitions are named', () => {
  const found = differences([topic('a', 4, 4), topic('b', 4, 0), topic('c', 4, 8)]);
  assert.deepEqual(
    found.map(({ level, found: words }) => [level, words]),
    [
      ['warn', 'not known on the backup: b'],
      ['warn', 'other partitions on the backup: c'],
    ],
  );
});

test('topics that are the same on both are counted', () => {
  assert.equal(differences([topic('a', 4, 4)])[0]?.level, 'ok');
});
