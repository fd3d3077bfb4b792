import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../../protocol/src/generated.ts';
import { ACKS_TOPIC, LEASES_PART } from '../../../../src/consume/partition/acks-topic.ts';
import { decodeMetadata, encodeMetadata } from '../../../../src/offsets/commit-metadata.ts';
import type { MadeRecord } from '../../../support/fetched.ts';
import { keptLog } from '../../../support/kept-log.ts';
import { EngineUnderTest } from '../engine-doubles.ts';
import { type MapCluster, MESSAGES, mapCluster } from '../map-cluster.ts';

const place = { topic: 't', partition: 0 };
const LEASE_MS = 60_000;
/** What is acked of the first messages: so scattered that no commit can hold the map either. */
const isAcked = (offset: number): boolean => offset % 2 === 1;
const LEFT = MESSAGES / 2;

async function nodeOf(cluster: MapCluster, nodeId: string, log = keptLog().log) {
  cluster.members.clear();
  const under = new EngineUnderTest(cluster, { nodeId, log, maps: cluster.store() });
  const client = await under.subscribe({ leaseMs: LEASE_MS, creditMessages: 10_000 });
  await under.pass(200);
  return { under, client };
}

/** Everything is out at a node, a part of it acked, and then it stops in order. */
async function stopped() {
  const cluster = mapCluster();
  const { under, client } = await nodeOf(cluster, 'a');
  const got = client.take();
  assert.equal(got.length, MESSAGES);
  assert.deepEqual(under.ack(got.filter(({ offset }) => isAcked(offset))).failed, []);
  await under.pass(200);
  const held = got.filter(({ offset }) => !isAcked(offset));
  await stop(under, cluster);
  return { cluster, held };
}

async function stop(under: EngineUnderTest, cluster: MapCluster): Promise<void> {
  const [member] = cluster.members;
  const revoked = member?.revoke([place]);
  await under.pass(4_500);
  await revoked;
}

const committedOf = (cluster: MapCluster) => {
  const found = decodeMetadata(cluster.commits.get('g/t/0')?.metadata ?? '');
  assert(found !== undefined);
  return found;
};

/** The records of leases by their keys, the newest last. */
function recordsOf(cluster: MapCluster): Map<string, MadeRecord[]> {
  const found = new Map<string, MadeRecord[]>();
  for (const [name, { records }] of cluster.logs) {
    if (!name.startsWith(ACKS_TOPIC)) continue;
    for (const record of records) {
      const key = Buffer.from(record.keyBytes ?? []);
      if (key.readUIntBE(23, 6) !== LEASES_PART) continue;
      const name = key.toString('hex');
      found.set(name, [...(found.get(name) ?? []), record]);
    }
  }
  return found;
}

/** Those that the cleaner may not take. */
function keptRecords(cluster: MapCluster): number {
  const newest = [...recordsOf(cluster).values()].map((all) => all.at(-1)?.value ?? '');
  return newest.filter((value) => value.length > 0).length;
}

/** What Kafka's cleaner leaves: the newest of each key. */
function compact(cluster: MapCluster): void {
  for (const all of recordsOf(cluster).values()) {
    for (const old of all.slice(0, -1)) {
      const { records } = cluster.logOf(ACKS_TOPIC, (old.keyBytes?.[1] ?? 0) % 16);
      records[old.offset] = { ...old, keyBytes: Buffer.alloc(30) };
    }
  }
}

test('a planned stop hands over more leases than a commit has room for, and none comes again', async () => {
  const { cluster, held } = await stopped();
  assert.equal(held.length, LEFT);
  assert(committedOf(cluster).leasesAt !== undefined);
  assert(!Buffer.isBuffer(committedOf(cluster).map));
  const b = await nodeOf(cluster, 'b');
  await b.under.pass(30_000);
  assert.deepEqual(b.client.take(), []);
  // A third acks with the tokens of the node that is gone.
  assert.deepEqual(b.under.ack(held.slice(0, 300), true).failed, undefined);
  await b.under.pass(200);
  // A second stop, and a kill: what is open still goes on under its first owner.
  await stop(b.under, cluster);
  const c = await nodeOf(cluster, 'c');
  assert.deepEqual(c.under.ack(held.slice(300, 600)).failed, []);
  await c.under.pass(200);
  const d = await nodeOf(cluster, 'd');
  await d.under.pass(10_000);
  assert.deepEqual(d.client.take(), []);
  assert.deepEqual(d.under.ack(held.slice(600)).failed, []);
  await d.under.pass(200);
  assert.equal(cluster.commits.get('g/t/0')?.offset, MESSAGES);
  assert.deepEqual(d.client.take(), []);
  assert.equal(keptRecords(cluster), 0, 'the cleaner may take every record of leases');
});

test('leases of a record end when they were to end, and then their messages come again', async () => {
  const { cluster, held } = await stopped();
  const b = await nodeOf(cluster, 'b');
  await b.under.pass(LEASE_MS);
  const again = b.client.take();
  assert.deepEqual(
    again.map(({ offset, attempt }) => [offset, attempt]),
    held.map(({ offset }) => [offset, 2]),
  );
  const lost = b.under.ack(held.slice(0, 1));
  assert.deepEqual(lost.failed, [`0/0/${ErrorCode.LEASE_LOST}`]);
});

test('a record of leases of another epoch than the commit names is not used, and that is counted', async () => {
  const { cluster, held } = await stopped();
  const found = committedOf(cluster);
  const { leasesAt } = found;
  assert(leasesAt !== undefined);
  const stale = { ...found, leasesAt: { ...leasesAt, epoch: leasesAt.epoch - 1 } };
  const commit = cluster.commits.get('g/t/0');
  assert(commit !== undefined);
  cluster.commits.set('g/t/0', { ...commit, metadata: encodeMetadata(stale) ?? '' });
  const { log, lines } = keptLog();
  const b = await nodeOf(cluster, 'b', log);
  assert.deepEqual(
    b.client.take().map(({ offset }) => offset),
    held.map(({ offset }) => offset),
  );
  assert.equal(b.under.engine.stats.damagedMaps, 1);
  assert.equal(lines.filter(({ msg }) => /open leases of a commit/.test(String(msg))).length, 1);
});

test('an owner that wakes and writes its leases late takes nothing from what a commit names', async () => {
  const cluster = mapCluster();
  const a = await nodeOf(cluster, 'a');
  const got = a.client.take();
  const [{ partition } = {}] = [...a.under.engine.owned()];
  assert(partition !== undefined);
  await stop(a.under, cluster);
  const named = committedOf(cluster).leasesAt;
  const b = await nodeOf(cluster, 'b');
  // It stays where the claim names it, until the first commit of its next owner.
  assert.deepEqual(committedOf(cluster).leasesAt, named);
  const late = { offset: 0, run: 1, attempt: 1, leftMs: LEASE_MS };
  await a.under.maps.writeLeases('g', partition, [late]);
  compact(cluster);
  const c = await nodeOf(cluster, 'c');
  assert.deepEqual(c.under.ack(got.slice(0, 1)).failed, []);
  await c.under.pass(200);
  const own = committedOf(cluster);
  assert.equal(own.leasesAt?.epoch, own.epoch);
  await a.under.maps.writeLeases('g', partition, [late]);
  compact(cluster);
  const d = await nodeOf(cluster, 'd');
  assert.deepEqual(d.under.ack(got.slice(1)).failed, []);
  assert.deepEqual([b.client.take(), c.client.take(), d.client.take()], [[], [], []]);
});

test('a planned stop tells the next owner how often each of many failed messages was delivered', async () => {
  const cluster = mapCluster();
  const { under, client } = await nodeOf(cluster, 'a');
  under.policy.next = () => ({ kind: 'retry', delayMs: 20_000 });
  const got = client.take();
  under.nack(got);
  await stop(under, cluster);
  const b = await nodeOf(cluster, 'b');
  assert.deepEqual(b.client.take(), []);
  await b.under.pass(20_000);
  assert.deepEqual(
    b.client.take().map(({ offset, attempt }) => [offset, attempt]),
    got.map(({ offset }) => [offset, 2]),
  );
});
