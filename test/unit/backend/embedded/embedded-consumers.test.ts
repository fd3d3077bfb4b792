import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { tailFrom } from '../../../../src/backend/port.ts';
import type { PublishRecord } from '../../../../src/backend/publisher-port.ts';
import { murmur2 } from '../../../../src/native/addon.ts';
import { type EmbeddedCluster, embeddedCluster } from '../../../support/embedded-cluster.ts';
import { GroupLog } from '../../../support/group-log.ts';
import { until } from '../../../support/wait.ts';

const record = (
  topic: string,
  value: string,
  more: Partial<PublishRecord> = {},
): PublishRecord => ({
  topic,
  key: null,
  value: Buffer.from(value),
  headers: Buffer.alloc(0),
  ...more,
});

async function fill(cluster: EmbeddedCluster, topic: string, values: readonly string[]) {
  const records = values.map((value) => record(topic, value, { partition: 0 }));
  for (const result of await cluster.publisher.publish(records)) assert.ok('offset' in result);
}

describe('EmbeddedConsumers', () => {
  test('gives a member all partitions, and records against what it wants', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'orders', partitions: 3 });
    const values = Array.from({ length: 100 }, (_, i) => `value ${String(i).padStart(90, '0')}`);
    await fill(cluster, 'orders', values);
    const log = new GroupLog();
    const member = cluster.consumers.join(log.options('g', ['orders']));
    await log.has(3);
    member.want('orders', 0, 1000);
    assert.equal(log.count, 0, 'nothing comes before start');
    member.start('orders', 0, 10);
    member.want('orders', 0, 1000);
    await until(() => log.count > 0);
    const [first] = log.batches;
    assert.ok(first !== undefined && first.records.length <= 1000 && first.records.length > 800);
    assert.deepEqual([...first.offsets.slice(0, 2)], [10, 11]);
    assert.equal(first.endOffset, 100);
    member.want('orders', 0, 1_000_000);
    await until(() => log.count === 90);
    assert.deepEqual(log.values(), values.slice(10));
    // What arrives later wakes the read that waits.
    await fill(cluster, 'orders', ['late']);
    await until(() => log.count === 91);
    assert.equal(log.values().at(-1), 'late');
  });

  test('drops what was fetched before a jump, and its credit', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'orders', partitions: 1 });
    await fill(cluster, 'orders', ['a', 'b', 'c']);
    const log = new GroupLog();
    const member = cluster.consumers.join(log.options('g', ['orders']));
    await log.has(1);
    member.start('orders', 0, 0);
    member.want('orders', 0, 1000);
    member.start('orders', 0, 2);
    await fill(cluster, 'orders', ['d']);
    assert.equal(log.count, 0, 'the credit went with the jump');
    member.want('orders', 0, 1000);
    await until(() => log.count === 2);
    assert.deepEqual(log.values(), ['c', 'd']);
    member.start('orders', 0, 9);
    member.want('orders', 0, 1000);
    await until(() => log.errors.length === 1);
    assert.equal(log.errors[0]?.error.code, 'OFFSET_OUT_OF_RANGE');
    assert.deepEqual(log.errors[0]?.place, { topic: 'orders', partition: 0 });
  });

  test('keeps commits with their metadata over a restart', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'orders', partitions: 2 });
    await fill(cluster, 'orders', ['a', 'b', 'c']);
    const log = new GroupLog();
    const member = cluster.consumers.join(log.options('g', ['orders']));
    await log.has(2);
    const metadata = 'm'.repeat(3000);
    await member.commit([{ topic: 'orders', partition: 0, offset: 2, metadata }]);
    await assert.rejects(
      member.commit([{ topic: 'orders', partition: 0, offset: 2, metadata: 'ü' }]),
      { code: 'INVALID_ARGUMENT' },
    );
    await cluster.close();
    const again = await embeddedCluster(cluster.folder);
    const next = again.consumers.join(new GroupLog().options('g', ['orders']));
    const places = [1, 0].map((partition) => ({ topic: 'orders', partition }));
    assert.deepEqual(await next.committed(places), [
      { topic: 'orders', partition: 1, offset: undefined, metadata: '' },
      { topic: 'orders', partition: 0, offset: 2, metadata },
    ]);
    const described = await again.consumers.describeGroup('g');
    assert.equal(described?.state, 'stable');
    assert.deepEqual(described?.members[0]?.clientId, 'node-a');
    assert.deepEqual(
      described?.partitions.map(({ partition, offset, lag }) => ({ partition, offset, lag })),
      [{ partition: 0, offset: 2, lag: 1 }],
    );
  });

  test('refuses a commit of what is not the member’s with FENCED', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'orders', partitions: 1 });
    const log = new GroupLog();
    const member = cluster.consumers.join(log.options('g', ['orders']));
    await log.has(1);
    const entry = { topic: 'orders', partition: 0, offset: 0, metadata: '' };
    await assert.rejects(member.commit([{ ...entry, partition: 1 }, entry]), { code: 'FENCED' });
    await member.close();
    assert.deepEqual(log.revoked, ['orders/0']);
    await assert.rejects(member.commit([entry]), { code: 'FENCED' });
    assert.equal(await cluster.consumers.describeGroup('g'), undefined, 'nothing was committed');
  });

  test('revokes by changed topics, and by itself when the engine hangs', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'a', partitions: 1 });
    const log = new GroupLog();
    const join = { ...log.options('g', ['a', 'b']), revokeTimeoutMs: 50 };
    const member = cluster.consumers.join(join);
    await log.has(1);
    await cluster.backend.createTopic({ name: 'b', partitions: 2 });
    await log.has(3);
    member.setTopics(['b']);
    assert.deepEqual(log.revoked, ['a/0']);
    log.onRevoking = () => undefined;
    member.setTopics([]);
    await until(() => log.lost.length === 2);
    assert.deepEqual(log.lost, ['b/0', 'b/1']);
    assert.equal(log.errors[0]?.error.code, 'REVOKE_TIMEOUT');
    await member.close();
    assert.doesNotThrow(() => cluster.consumers.join(new GroupLog().options('g', [])));
  });

  test('resets and deletes a group only while it has no member', async () => {
    const cluster = await embeddedCluster();
    const { consumers } = cluster;
    await cluster.backend.createTopic({ name: 'orders', partitions: 1 });
    await fill(cluster, 'orders', ['a', 'b']);
    const log = new GroupLog();
    const member = consumers.join(log.options('g', ['orders']));
    const entry = { topic: 'orders', partition: 0, offset: 1, metadata: 'by hand' };
    await assert.rejects(consumers.resetOffsets('g', [entry]), { code: 'GROUP_CONFLICT' });
    await assert.rejects(consumers.deleteGroup('g'), { code: 'GROUP_CONFLICT' });
    assert.throws(() => consumers.join(log.options('g', [])), { code: 'GROUP_CONFLICT' });
    await member.close();
    await consumers.resetOffsets('g', [entry]);
    assert.deepEqual(await consumers.listGroups(''), [{ group: 'g', state: 'empty' }]);
    assert.equal((await consumers.describeGroup('g'))?.partitions[0]?.metadata, 'by hand');
    assert.deepEqual(await consumers.listGroups('h'), []);
    await consumers.deleteGroup('g');
    await assert.rejects(consumers.deleteGroup('g'), { code: 'UNKNOWN_GROUP' });
  });

  test('finds places by their meaning, also of internal topics', async () => {
    const cluster = await embeddedCluster();
    const { consumers } = cluster;
    const spec = { name: '__mqproxy.test', partitions: 1, config: {}, replicationFactor: 1 };
    await cluster.internalTopics.ensure(spec);
    await fill(cluster, '__mqproxy.test', ['a', 'b']);
    const places = [{ topic: '__mqproxy.test', partition: 0 }];
    assert.deepEqual(await consumers.positions(places, 'beginning'), [0]);
    assert.deepEqual(await consumers.positions(places, 'end'), [2]);
    assert.deepEqual(await consumers.positions(places, { timeMs: 1 }), [0]);
    assert.deepEqual(await consumers.positions(places, { timeMs: Date.now() + 60_000 }), [2]);
    const from = { topic: '__mqproxy.test', partition: 0, from: tailFrom.offset, position: 1 };
    const found = await consumers.tail({ ...from, bytesMax: 1000, waitMs: 0 });
    assert.equal(found.count, 1);
    assert.deepEqual(await consumers.listTopics(''), []);
  });

  test('says the hash of each key', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'orders', partitions: 1 });
    const key = Buffer.from('customer 7');
    await cluster.publisher.publish([record('orders', 'a', { key }), record('orders', 'b')]);
    const log = new GroupLog();
    const member = cluster.consumers.join(log.options('g', ['orders']));
    await log.has(1);
    member.start('orders', 0, 0);
    member.want('orders', 0, 1000);
    await until(() => log.count === 2);
    assert.deepEqual(
      log.batches.flatMap((batch) => [...batch.keyHashes]),
      [murmur2(key), 0],
    );
  });
});
