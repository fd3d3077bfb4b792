import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coded } from '../../../../src/base/errors.ts';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import { LeaseWindow } from '../../../../src/consume/lease/lease-window.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { ACKS_PARTITIONS, ACKS_TOPIC } from '../../../../src/consume/partition/acks-topic.ts';
import { ConsumePartition } from '../../../../src/consume/partition/partition.ts';
import { CHUNK_SEQUENCES } from '../../../../src/offsets/bits.ts';
import { decodeMetadata, type MapPlace } from '../../../../src/offsets/commit-metadata.ts';
import { OffsetMerger } from '../../../../src/offsets/offset-merger.ts';
import { writeVarint } from '../../../../src/offsets/varint.ts';
import { keptLog } from '../../../support/kept-log.ts';
import { EngineUnderTest, quiet, ScriptedPolicy } from '../engine-doubles.ts';
import { type MapCluster, MESSAGES, mapCluster } from '../map-cluster.ts';

function partitionOf(): ConsumePartition {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 1, timers });
  const policy = new ScriptedPolicy();
  const place = { cluster: 0, topic: 't', partition: 0, policy, epoch: 1 } as const;
  return new ConsumePartition({ ...place, window, owner: Buffer.alloc(8) });
}

function dropMaps(cluster: MapCluster): void {
  for (let p = 0; p < ACKS_PARTITIONS; p++) cluster.logs.delete(`${ACKS_TOPIC}/${p}`);
}

/** Where the last commit says that its map is. */
function headOf(cluster: MapCluster): MapPlace {
  const found = decodeMetadata(cluster.commits.get('g/t/0')?.metadata ?? '');
  assert(found !== undefined && !Buffer.isBuffer(found.map));
  return found.map;
}

/** What a node reads that takes over after a kill. */
async function afterKill(cluster: MapCluster): Promise<number[]> {
  cluster.members.clear();
  const next = new EngineUnderTest(cluster, { maps: cluster.store(), nodeId: 'node-2' });
  const client = await next.subscribe({ creditMessages: MESSAGES });
  await next.pass(100);
  return client.take().map(({ offset }) => offset);
}

test('acks that come while a large map is written take nothing from what its commit says', async () => {
  const cluster = mapCluster();
  const under = new EngineUnderTest(cluster, { maps: cluster.store() });
  const client = await under.subscribe({ creditMessages: MESSAGES });
  await under.pass(100);
  const got = client.take();
  assert.equal(got.length, MESSAGES);
  let go = (): void => {};
  cluster.mapHold = new Promise((resolve) => {
    go = resolve;
  });
  const before = cluster.commitCount;
  const isOdd = ({ offset }: { offset: number }): boolean => offset % 2 === 1;
  const answered = under.ack(got.filter(isOdd), true);
  await under.pass(120);
  assert.equal(answered.failed, undefined);
  // The floor passes everything that the chunk on its way says.
  under.ack(got.filter((message) => !isOdd(message)));
  await quiet();
  go();
  await quiet();
  assert.equal(cluster.commitCount, before + 1);
  assert.deepEqual(answered.failed, []);
  const again = await afterKill(cluster);
  assert.deepEqual(again.filter((offset) => offset % 2 === 1).slice(0, 3), []);
});

test('a map is read back as it was committed, its head and its chunks', async () => {
  const cluster = mapCluster();
  const under = new EngineUnderTest(cluster, { maps: cluster.store() });
  const client = await under.subscribe({ creditMessages: MESSAGES });
  await under.pass(100);
  const got = client.take();
  const isOpen = (offset: number): boolean => offset % 2 === 0;
  under.ack(got.filter(({ offset }) => !isOpen(offset)));
  await under.pass(150);
  headOf(cluster);
  const open = got.map(({ offset }) => offset).filter(isOpen);
  assert.deepEqual(await afterKill(cluster), open);
});

test('a chunk that became full keeps its record until a commit no longer names it', async () => {
  const cluster = mapCluster();
  const store = cluster.store();
  const partition = partitionOf();
  const { merger } = partition.window;
  merger.confirm(CHUNK_SEQUENCES, 1_000);
  const named = await store.write('g', partition, () => {});
  merger.confirm(CHUNK_SEQUENCES, CHUNK_SEQUENCES);
  store.committed('g', partition);
  await quiet();
  assert.equal(cluster.tombstones, 0);
  const again = new OffsetMerger(0);
  (await store.read('g', partition, named))(again);
  assert.deepEqual([again.confirmedAbove, again.nextConfirmed(0)], [1_000, CHUNK_SEQUENCES]);
  const full = await store.write('g', partition, () => {});
  store.committed('g', partition);
  await quiet();
  assert.equal(cluster.tombstones, 2, 'both keys of the chunk');
  const whole = new OffsetMerger(0);
  (await store.read('g', partition, full))(whole);
  assert.equal(whole.confirmedAbove, CHUNK_SEQUENCES);
});

/** A partition that has a chunk and a bit of one acked, and the store that its map is in. */
async function writtenMap(cluster: MapCluster) {
  const store = cluster.store();
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 1, timers });
  const place = { cluster: 0, topic: 't', partition: 0, epoch: 1 } as const;
  const owner = Buffer.alloc(8);
  const partition = new ConsumePartition({ ...place, policy: new ScriptedPolicy(), window, owner });
  window.merger.confirm(CHUNK_SEQUENCES, 1_000);
  const head = await store.write('g', partition, () => {});
  return { store, head };
}

test('a record of another map, or of another part of it, is not taken for what a commit names', async () => {
  const cluster = mapCluster();
  const { store, head } = await writtenMap(cluster);
  const of = { cluster: 0, topic: 't', partition: 0 } as const;
  const refused = { code: 'MALFORMED_MAP' };
  await assert.rejects(store.read('another', of, head), refused);
  await assert.rejects(store.read('g', { ...of, partition: 1 }, head), refused);
  await assert.rejects(store.read('g', of, { ...head, offset: head.offset - 1 }), refused);
  await assert.rejects(store.read('g', of, { ...head, offset: head.offset + 1 }), refused);
  await assert.rejects(store.read('g', of, { partition: 2 ** 40, offset: 0 }), refused);
  const again = new OffsetMerger(0);
  // To the node that wrote it this cluster may have been the backup.
  (await store.read('g', { ...of, cluster: 1 }, head))(again);
  assert.equal(again.confirmedAbove, 1_000);
  // Where the chunk should be lies another one.
  const { records } = cluster.logOf(ACKS_TOPIC, head.partition);
  const value = Buffer.from([1, 1, 5, 1, head.partition, head.offset - 1]);
  records[head.offset] = { ...records[head.offset], offset: head.offset, value };
  await assert.rejects(store.read('g', of, head), refused);
});

/** A head that says that a chunk which cannot be is acked as a whole. */
function absurdHead(): Buffer {
  const bytes = Buffer.alloc(16);
  bytes[0] = 1;
  const at = writeVarint(bytes, writeVarint(bytes, 1, 1), 2 ** 36);
  return bytes.subarray(0, writeVarint(bytes, at, 0));
}

const damages = [
  { words: 'a chunk', back: 1, value: Buffer.from([9, 9, 9]) },
  { words: 'the number of a chunk', back: 0, value: absurdHead() },
];

for (const { words, back, value } of damages) {
  test(`a map with ${words} damaged is lost, and its partition is served on`, async () => {
    const cluster = mapCluster();
    const under = new EngineUnderTest(cluster, { maps: cluster.store() });
    const client = await under.subscribe({ creditMessages: MESSAGES });
    await under.pass(100);
    const got = client.take();
    under.ack(got.filter(({ offset }) => offset % 2 === 1));
    await under.pass(150);
    const { partition, offset } = headOf(cluster);
    const { records } = cluster.logOf(ACKS_TOPIC, partition);
    records[offset - back] = { ...records[offset - back], offset: offset - back, value };
    cluster.members.clear();
    const { log, lines } = keptLog();
    const next = new EngineUnderTest(cluster, { maps: cluster.store(), nodeId: 'b', log });
    const other = await next.subscribe({ creditMessages: MESSAGES });
    await next.pass(100);
    assert.equal(other.take().length, MESSAGES);
    assert.equal(next.engine.stats.damagedMaps, 1);
    assert.equal(
      lines.filter(({ msg }) => /ack map of a commit is lost/.test(String(msg))).length,
      1,
    );
  });
}

/** So scattered that no commit can hold the map. */
const isLeft = (offset: number): boolean => offset % 2 === 0;

/** A node that has acked what is not left of a partition, in a map of its own topic. */
async function withMap() {
  const cluster = mapCluster();
  const { log, lines } = keptLog();
  const under = new EngineUnderTest(cluster, { maps: cluster.store(), log });
  const client = await under.subscribe({ creditMessages: MESSAGES });
  await under.pass(100);
  const got = client.take();
  under.ack(got.filter(({ offset }) => !isLeft(offset)));
  await under.pass(150);
  headOf(cluster);
  const [{ partition } = {}] = [...under.engine.owned()];
  assert(partition !== undefined);
  return { cluster, under, got, lines, partition };
}

test('a topic of maps that is gone is a state with a code until it is there again, with all maps', async () => {
  const { cluster, under, got, lines, partition } = await withMap();
  dropMaps(cluster);
  cluster.mapRefusal = coded('ROLE_REFUSED', 'this node may not make topics');
  const answered = under.ack(got.slice(0, 1), true);
  await under.pass(5_000);
  assert.equal(partition.commitFault?.code, 'ROLE_REFUSED');
  assert.equal(answered.failed, undefined);
  const words = (level: number) =>
    lines.filter((line) => line['level'] === level && line['partition'] === 0);
  assert.deepEqual(
    words(40).map(({ code }) => code),
    ['UNKNOWN_TOPIC', 'ROLE_REFUSED'],
    'said once for each code, not for each try',
  );
  cluster.mapRefusal = undefined;
  await under.pass(1_000);
  assert.equal(partition.commitFault, undefined);
  assert.deepEqual(answered.failed, []);
  assert.equal(words(30).length, 1);
  const open = got.map(({ offset }) => offset).filter((offset) => isLeft(offset) && offset > 0);
  assert.deepEqual(await afterKill(cluster), open);
});

test('a topic of maps that was made anew behind a node gets the chunks too that did not change', async () => {
  const cluster = mapCluster();
  const store = cluster.store();
  const partition = partitionOf();
  const { merger } = partition.window;
  merger.confirm(10, 1_000);
  merger.confirm(CHUNK_SEQUENCES + 10, 1_000);
  await store.write('g', partition, () => {});
  store.committed('g', partition);
  dropMaps(cluster);
  cluster.addTopic(ACKS_TOPIC, ACKS_PARTITIONS);
  merger.confirm(CHUNK_SEQUENCES + 5_000, 1);
  await assert.rejects(
    store.write('g', partition, () => {}),
    { code: 'BACKEND_UNAVAILABLE' },
  );
  const named = await store.write('g', partition, () => {});
  const again = new OffsetMerger(0);
  (await store.read('g', partition, named))(again);
  assert.equal(again.confirmedAbove, 2_001);
});

test('who takes over from a map whose topic is gone delivers what it named again, and counts it', async () => {
  const { cluster, got } = await withMap();
  dropMaps(cluster);
  cluster.members.clear();
  const next = new EngineUnderTest(cluster, { maps: cluster.store(), nodeId: 'node-2' });
  const client = await next.subscribe({ creditMessages: MESSAGES });
  await next.pass(100);
  assert.equal(client.take().length, got.length);
  assert.equal(next.engine.stats.damagedMaps, 1);
});
