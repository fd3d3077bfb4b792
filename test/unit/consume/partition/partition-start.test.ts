import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coded } from '../../../../src/base/errors.ts';
import { ownerHash } from '../../../../src/consume/lease/token.ts';
import type { MapStore } from '../../../../src/consume/partition/map-store.ts';
import {
  type CommitMetadata,
  decodeMetadata,
  encodeMetadata,
} from '../../../../src/offsets/commit-metadata.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { EngineUnderTest } from '../engine-doubles.ts';

/** Ten messages, one each 100 ms. */
function clusterWith(): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const at = (i: number) => ({ value: `m${i}`, timestampMs: 1_000 + i * 100 });
  cluster.append('t', 0, ...Array.from({ length: 10 }, (_, i) => at(i)));
  return cluster;
}

function textOf(metadata: CommitMetadata): string {
  const text = encodeMetadata(metadata);
  assert(text !== undefined);
  return text;
}

const committedOf = (cluster: MemoryCluster) =>
  decodeMetadata(cluster.commits.get('g/t/0')?.metadata ?? '');

test("the owner's epoch is committed before the first lease, and a refusal leases nothing", async () => {
  const cluster = clusterWith();
  const under = new EngineUnderTest(cluster);
  const fingerprint = await fingerprintOf();
  // An epoch that this node's clock has not reached: it must be higher all the same.
  const epoch = under.clock.now() + 1_000_000;
  const before = { epoch, fingerprint, owner: Buffer.alloc(8, 9), map: Buffer.alloc(0) };
  const metadata = textOf({ ...before, leases: [] });
  cluster.commits.set('g/t/0', { topic: 't', partition: 0, offset: 4, metadata });
  let go = (): void => {};
  cluster.hold = new Promise((resolve) => {
    go = resolve;
  });
  cluster.refusal = coded('BACKEND_UNAVAILABLE', 'away');
  const client = await under.subscribe();
  await under.pass(2_000);
  assert.deepEqual([client.got.length, committedOf(cluster)?.epoch], [0, epoch]);
  go();
  await under.pass(600);
  assert.deepEqual([client.got.length, committedOf(cluster)?.epoch], [0, epoch]);
  cluster.refusal = undefined;
  const { commits } = cluster;
  const deliveredAt: number[] = [];
  cluster.commits.set = (key, commit) => {
    deliveredAt.push(client.got.length);
    return Map.prototype.set.call(commits, key, commit) as typeof commits;
  };
  await under.pass(600);
  assert.equal(client.got.length, 6);
  assert.deepEqual(deliveredAt, [0], 'one commit, before anything was given out');
  const claimed = committedOf(cluster);
  assert.equal(claimed?.epoch, epoch + 1);
  assert.deepEqual(claimed?.owner, ownerHash('node-1', 'g', 't'));
  assert.equal(client.got[0]?.token.readUIntBE(24, 6), epoch + 1, 'the epoch of its tokens');
});

/** As the engine of a test has it. */
async function fingerprintOf(): Promise<Buffer> {
  const cluster = clusterWith();
  await new EngineUnderTest(cluster).subscribe();
  return committedOf(cluster)?.fingerprint ?? Buffer.alloc(0);
}

const starts = [
  { start: undefined, first: 0, words: 'the beginning' },
  { start: 'beginning', first: 0, words: 'the beginning, when it is asked for' },
  { start: 'end', first: 10, words: 'the end' },
  { start: { timeMs: 1_450 }, first: 5, words: 'the first message of a time' },
  { start: { timeMs: 9_999 }, first: 10, words: 'the end, for a time that has no message yet' },
] as const;

for (const { start, first, words } of starts) {
  test(`a new group begins at ${words}, and one that has committed where it was`, async () => {
    const cluster = clusterWith();
    const under = new EngineUnderTest(cluster);
    const client = await under.subscribe(start === undefined ? {} : { start });
    cluster.append('t', 0, { value: 'new', timestampMs: 2_000 });
    await under.pass(50);
    const offsets = client.take().map(({ offset }) => offset);
    assert.deepEqual([offsets[0], offsets.at(-1), offsets.length], [first, 10, 11 - first]);
    assert.equal(cluster.commits.get('g/t/0')?.offset, first);
    cluster.members.clear();
    const next = new EngineUnderTest(cluster, { nodeId: 'node-2' });
    const again = await next.subscribe({ start: 'end' });
    assert.equal(again.take()[0]?.offset, first);
  });
}

const damages: readonly (readonly [string, (bytes: Buffer) => Buffer])[] = [
  ['the highest epoch there is', (bytes) => bytes.fill(0xff, 2, 8)],
  ['a run of a lease above 32 bits', (bytes) => Buffer.concat([bytes, RUN_2_32])],
];
/** Offset 5, run 2^32 as a zigzag, attempt 1, nothing left. */
const RUN_2_32 = Buffer.from([5, 0x80, 0x80, 0x80, 0x80, 0x20, 1, 0]);

for (const [words, damage] of damages) {
  test(`a node that finds ${words} in a commit takes its map as lost, and serves on`, async () => {
    const cluster = clusterWith();
    const fingerprint = await fingerprintOf();
    const map = Buffer.from([2, 3]);
    const head = { epoch: 7, fingerprint, owner: Buffer.alloc(8, 9), map, leases: [] };
    const bytes = Buffer.from(textOf(head).slice(4), 'base64');
    const metadata = `mq1:${damage(bytes).toString('base64')}`;
    cluster.commits.set('g/t/0', { topic: 't', partition: 0, offset: 4, metadata });
    const under = new EngineUnderTest(cluster);
    const client = await under.subscribe();
    const got = client.take();
    assert.deepEqual(
      got.map(({ offset }) => offset),
      [4, 5, 6, 7, 8, 9],
    );
    assert.equal(under.engine.stats.damagedMaps, 1);
    under.ack(got);
    await under.pass(150);
    assert.equal(cluster.commits.get('g/t/0')?.offset, 10);
    assert(Number(committedOf(cluster)?.epoch) < 2 ** 48 - 2);
  });
}

test('claims of many partitions with long maps go in several requests, each of them whole', async () => {
  const cluster = new MemoryCluster();
  const partitions = 400;
  cluster.addTopic('t', partitions);
  const fingerprint = await fingerprintOf();
  // 700 offsets, every second one acked.
  const map = Buffer.alloc(1_400, 1);
  const head = { epoch: 7, fingerprint, owner: Buffer.alloc(8, 9), map, leases: [] };
  const metadata = textOf(head);
  for (let partition = 0; partition < partitions; partition++) {
    const key = `g/t/${partition}`;
    cluster.commits.set(key, { topic: 't', partition, offset: 0, metadata });
  }
  const under = new EngineUnderTest(cluster);
  await under.subscribe();
  await under.pass(400);
  const chars = partitions * (metadata.length + 200);
  assert.equal(cluster.commitCount, Math.ceil(chars / (512 * 1024)));
  assert.equal(under.engine.stats.commits, cluster.commitCount);
  const claimed = [...cluster.commits.values()].map((one) => decodeMetadata(one.metadata));
  assert.deepEqual(
    claimed.filter((one) => one === undefined || one.epoch === 7),
    [],
  );
  assert.deepEqual(claimed[partitions - 1]?.map, map);
});

test('a partition that nobody leads keeps no other of a new group from being read', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 2);
  cluster.append('t', 0, { value: 'a' });
  cluster.append('t', 1, { value: 'b' });
  let isLed = false;
  const { positions, span } = MemoryCluster.prototype;
  const unless = (partition: number): void => {
    if (partition === 0 && !isLed) throw coded('BACKEND_UNAVAILABLE', 'nobody leads it');
  };
  cluster.positions = async (places, at) => {
    for (const { partition } of places) unless(partition);
    return positions.call(cluster, places, at);
  };
  cluster.span = async (one) => {
    unless(one.partition);
    return span.call(cluster, one);
  };
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  const taken = () => client.take().map(({ partition }) => partition);
  assert.deepEqual(taken(), [1]);
  await under.pass(5_000);
  assert.deepEqual(taken(), []);
  assert.equal(cluster.commits.get('g/t/0'), undefined);
  isLed = true;
  await under.pass(1_000);
  assert.deepEqual(taken(), [0]);
});

/** A topic of two partitions, of which the first has its ack map elsewhere. */
async function mapElsewhere(): Promise<MemoryCluster> {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 2);
  await new EngineUnderTest(cluster).subscribe();
  for (const partition of [0, 1]) cluster.append('t', partition, { value: 'later' });
  const commit = cluster.commits.get('g/t/0');
  const found = decodeMetadata(commit?.metadata ?? '');
  assert(commit !== undefined && found !== undefined);
  const metadata = textOf({ ...found, map: { partition: 0, offset: 0 } });
  cluster.commits.set('g/t/0', { ...commit, metadata });
  cluster.members.clear();
  return cluster;
}

test('an ack map that cannot be read now keeps no other partition from being taken over', async () => {
  const cluster = await mapElsewhere();
  let isLed = false;
  const maps: MapStore = {
    committed: () => {},
    ensure: async () => {},
    write: () => Promise.reject(new RangeError('no map is written here')),
    writeLeases: () => Promise.reject(new RangeError('no leases are written here')),
    readLeases: () => Promise.reject(new RangeError('no leases are read here')),
    read: async () => {
      if (!isLed) throw coded('BACKEND_UNAVAILABLE', 'nobody leads its partition');
      return () => {};
    },
  };
  const under = new EngineUnderTest(cluster, { maps });
  const client = await under.subscribe();
  await under.pass(1_000);
  const taken = () => client.take().map(({ partition }) => partition);
  assert.deepEqual(taken(), [1]);
  isLed = true;
  await under.pass(1_000);
  assert.deepEqual(taken(), [0]);
});

test('a topic whose place at a time cannot be told keeps no other from being read', async () => {
  const cluster = new MemoryCluster();
  for (const topic of ['t', 'u']) {
    cluster.addTopic(topic, 1);
    cluster.append(topic, 0, { value: 'old', timestampMs: 1 }, { value: 'new', timestampMs: 9 });
  }
  let isLed = false;
  const { positions } = MemoryCluster.prototype;
  cluster.positions = async (places, at) => {
    if (!isLed && places.some(({ topic }) => topic === 't')) {
      throw coded('BACKEND_UNAVAILABLE', 'nobody leads it');
    }
    return positions.call(cluster, places, at);
  };
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ topics: ['t', 'u'], start: { timeMs: 5 } });
  const taken = () => client.take().map(({ topic, value }) => `${topic} ${value}`);
  assert.deepEqual(taken(), ['u new']);
  isLed = true;
  await under.pass(1_000);
  assert.deepEqual(taken(), ['t new']);
});
