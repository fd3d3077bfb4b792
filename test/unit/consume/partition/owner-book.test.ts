import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../../protocol/src/generated.ts';
import { ownerHash } from '../../../../src/consume/lease/token.ts';
import { type ForeignToken, OwnerBook } from '../../../../src/consume/partition/owner-book.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { FakeClock } from '../../backend/embedded/doubles.ts';
import { EngineUnderTest, quiet } from '../engine-doubles.ts';

function member(clientId: string, ...partitions: number[]) {
  const places = partitions.map((partition) => ({ topic: 't', partition }));
  return { memberId: `${clientId}-1`, clientId, host: '', partitions: places };
}

function tokenOf(node: string, partition: number, topic = 't'): ForeignToken {
  const hash = ownerHash(node, 'g', topic);
  return {
    cluster: 0,
    ownerHigh: hash.readUInt32BE(0),
    ownerLow: hash.readUInt32BE(4),
    partition,
  };
}

function bookOf(cluster: MemoryCluster, groups = ['f', 'g']) {
  const clock = new FakeClock();
  const open = new Set<string>();
  const book = new OwnerBook({
    clock,
    backends: [cluster],
    groups: () => groups,
    nodeId: 'here',
    isOpen: (...place) => open.has(place.join('/')),
  });
  return { clock, book, open };
}

test('who has the partition now is named, also when another node had granted the lease', async () => {
  const cluster = new MemoryCluster();
  cluster.described.push(member('one', 0), member('two', 1, 2));
  const { clock, book } = bookOf(cluster);
  assert.deepEqual(await book.find([tokenOf('one', 0), tokenOf('two', 2)]), ['one', 'two']);
  assert.deepEqual(await book.find([tokenOf('two', 3)]), [undefined]);
  // The node has left the group; its tokens are known, and what it had is read by another.
  cluster.described.splice(0, 2, member('two', 0, 1, 2));
  clock.advance(1_000);
  assert.deepEqual(await book.find([tokenOf('one', 0)]), ['two']);
});

test('descriptions are read once a second at most, and a search in vain stands for a while', async () => {
  const cluster = new MemoryCluster();
  cluster.described.push(member('one', 0));
  const { clock, book } = bookOf(cluster);
  for (let i = 0; i < 50; i++) assert.deepEqual(await book.find([tokenOf('one', 0)]), ['one']);
  assert.equal(cluster.describeCount, 1);
  for (let i = 0; i < 50; i++) await book.find([tokenOf('nobody', 0)]);
  clock.advance(2_000);
  for (let i = 0; i < 50; i++) await book.find([tokenOf('nobody', 0)]);
  assert.equal(cluster.describeCount, 1);
  clock.advance(5_000);
  await book.find([tokenOf('nobody', 0)]);
  assert.equal(cluster.describeCount, 2);
});

test('a cluster that does not answer, or fails, delays the answer by a second, and names nobody', async () => {
  const cluster = new MemoryCluster();
  const { clock, book } = bookOf(cluster);
  cluster.groupMembers = () => new Promise(() => {});
  let answered: unknown;
  void book.find([tokenOf('one', 0)]).then((names) => {
    answered = names;
  });
  await quiet();
  assert.equal(answered, undefined);
  clock.advance(1_000);
  await quiet();
  assert.deepEqual(answered, [undefined]);
  cluster.groupMembers = () => Promise.reject(new RangeError('away'));
  assert.deepEqual(await book.find([tokenOf('one', 0)]), [undefined]);
});

test('a partition that this node owns and has not begun with is nobody’s for now', async () => {
  const cluster = new MemoryCluster();
  cluster.described.push(member('here', 0, 1));
  const { book, open } = bookOf(cluster);
  open.add('0/g/t/1');
  const tokens = [tokenOf('here', 0), tokenOf('here', 1)];
  assert.deepEqual(await book.find(tokens), [undefined, 'here']);
});

test('a name too long for the answer is left out', async () => {
  const cluster = new MemoryCluster();
  cluster.described.push(member('one', 1), member('x'.repeat(300), 0));
  const { book } = bookOf(cluster);
  assert.deepEqual(await book.find([tokenOf('one', 0), tokenOf('one', 1)]), [undefined, 'one']);
});

test('an ack at the wrong node is answered with the owner, and the rest of the frame is settled', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, { value: 'a' }, { value: 'b' });
  const other = new EngineUnderTest(cluster, { nodeId: 'node-2' });
  const [theirs] = (await other.subscribe()).take();
  cluster.members.clear();
  cluster.commits.clear();
  const under = new EngineUnderTest(cluster);
  const [own] = (await under.subscribe()).take();
  assert(theirs !== undefined && own !== undefined);
  cluster.described.push(member('node-2', 0));
  const outcome = under.ack([own, theirs]);
  await under.pass(10);
  assert.deepEqual(outcome.failed, [`1/0/${ErrorCode.NOT_OWNER}`]);
  assert.deepEqual(outcome.owners, ['1:node-2']);
  assert.equal(under.engine.stats.acked, 1);
  // Once this node has the partition, there is nobody else to ask.
  cluster.described.push(member('node-1', 0));
  cluster.described.splice(0, 1, member('node-2'));
  await under.pass(1_000);
  const later = under.ack([theirs], true);
  await under.pass(10);
  assert.deepEqual(later.failed, [`0/0/${ErrorCode.LEASE_LOST}`]);
});
