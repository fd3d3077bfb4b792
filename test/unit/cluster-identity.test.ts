import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../src/base/clock.ts';
import { checkCluster } from '../../src/cluster-identity.ts';
import { type NodeManifest, readManifest, writeManifest } from '../../src/node-manifest.ts';
import { tempDir } from '../support/temp-dir.ts';

/** A clock whose timers end at once: an answer that is there already is faster still. */
const clock: Clock = {
  now: () => 0,
  monotonic: () => 0,
  setTimer(fn) {
    setImmediate(fn);
    return { cancel: () => undefined };
  },
};
const bare: NodeManifest = { format: 1, nodeId: '00000000000000aa', backend: 'kafka', lanes: 1 };

function check(manifest: NodeManifest, answer: () => Promise<string>, waiting: number) {
  const dataDir = tempDir();
  writeManifest(dataDir, manifest);
  const checked = checkCluster({
    config: { dataDir },
    backend: { clusterId: answer },
    waiting,
    clock,
  });
  return checked.then(() => readManifest(dataDir).clusters?.primary);
}

test('the first cluster that answers is noted', async () => {
  assert.equal(await check(bare, async () => 'one', 5), 'one');
});

test('messages that wait for one cluster are not sent to another', async () => {
  const known = { ...bare, clusters: { primary: 'one' } };
  await assert.rejects(
    check(known, async () => 'two', 5),
    { code: 'DATA_DIR_REFUSED', message: /5 message\(s\) wait for the cluster one, and two/ },
  );
});

test('an empty outbox may go to another cluster, which is noted', async () => {
  const known = { ...bare, clusters: { primary: 'one' } };
  assert.equal(await check(known, async () => 'two', 0), 'two');
});

test('a backup that is the primary by another address is refused', async () => {
  const dataDir = tempDir();
  writeManifest(dataDir, bare);
  const one = { clusterId: async () => 'one' };
  const checking = checkCluster({
    config: { dataDir },
    backend: one,
    backup: one,
    waiting: 0,
    clock,
  });
  await assert.rejects(checking, { code: 'CONFIG_INVALID', message: /the cluster one, which is/ });
  const two = { clusterId: async () => 'two' };
  await checkCluster({ config: { dataDir }, backend: one, backup: two, waiting: 0, clock });
  assert.deepEqual(readManifest(dataDir).clusters, { primary: 'one', backup: 'two' });
});

test('a cluster that is away or silent stops no start', async () => {
  const known = { ...bare, clusters: { primary: 'one' } };
  const away = async () => Promise.reject(new RangeError('away'));
  assert.equal(await check(known, away, 5), 'one');
  assert.equal(await check(known, () => new Promise(() => {}), 5), 'one');
});
