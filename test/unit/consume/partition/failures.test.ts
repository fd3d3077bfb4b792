import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode, PROTOCOL_LIMIT } from '../../../../protocol/src/generated.ts';
import { retrySection } from '../../../../src/config/sections/retry.ts';
import { IN_PLACE_MS_MAX } from '../../../../src/consume/lease/settle.ts';
import { decodeMetadata } from '../../../../src/offsets/commit-metadata.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { EngineUnderTest, type FakeReceiver } from '../engine-doubles.ts';

function clusterWith(messages: number): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const key = (i: number) => (i % 2) + 1;
  const records = Array.from({ length: messages }, (_, i) => ({ value: `m${i}`, key: key(i) }));
  cluster.append('t', 0, ...records);
  return cluster;
}

/** The node is gone without a word; another one takes over from what was committed. */
function takeOver(cluster: MemoryCluster, nodeId: string): EngineUnderTest {
  cluster.members.clear();
  const next = new EngineUnderTest(cluster, { nodeId });
  next.policy.next = ({ attempt }) => ({ kind: 'retry', delayMs: attempt * 1_000 });
  return next;
}

const attempts = (client: FakeReceiver): [number, number][] =>
  client.take().map(({ offset, attempt }) => [offset, attempt]);

for (const mode of ['shared', 'key-ordered', 'partition-ordered'] as const) {
  test(`deliveries of what failed are counted on by the owner after a kill (${mode})`, async () => {
    const cluster = clusterWith(3);
    let under = takeOver(cluster, 'node-0');
    for (let kill = 1; kill <= 4; kill++) {
      const client = await under.subscribe({ mode });
      await under.pass(kill * 1_000);
      const first = client.got.find(({ offset }) => offset === 0);
      assert.deepEqual([first?.offset, first?.attempt], [0, kill]);
      under.nack([first as NonNullable<typeof first>]);
      await under.pass(200);
      under = takeOver(cluster, `node-${kill}`);
    }
    const last = await under.subscribe({ mode });
    const early = attempts(last).filter(([offset]) => offset === 0);
    assert.deepEqual(early, [], 'its wait goes on under the next owner');
    await under.pass(4_000);
    assert.deepEqual(attempts(last).find(([offset]) => offset === 0)?.[1], 5);
  });
}

test('what failed is named as long as it is unfinished, and by owners that never read it', async () => {
  const cluster = clusterWith(120);
  const under = takeOver(cluster, 'node-1');
  const client = await under.subscribe({ creditMessages: 200 });
  const got = client.take();
  under.policy.next = () => ({ kind: 'retry', delayMs: 0 });
  under.nack(got.slice(110));
  await under.pass(200);
  const rows = () => {
    const text = cluster.commits.get('g/t/0')?.metadata ?? '';
    return decodeMetadata(text)?.leases.map(({ offset, attempt }) => [offset, attempt]) ?? [];
  };
  assert.deepEqual(
    rows(),
    got.slice(110).map(({ offset }) => [offset, 1]),
  );
  under.ack(client.take().slice(1));
  await under.pass(200);
  assert.deepEqual(rows(), [[110, 1]]);
  // Nothing has credit, so the offset is not read; the second take-over knows of it all the same.
  const second = takeOver(cluster, 'node-2');
  const idle = await second.subscribe({ creditMessages: 1 });
  second.ack(idle.take());
  await second.pass(200);
  assert.deepEqual(rows(), [[110, 1]]);
});

test('what is out at a kill counts once more, and a hand-over names it with its lease', async () => {
  const cluster = clusterWith(1);
  const under = takeOver(cluster, 'node-1');
  under.policy.next = () => ({ kind: 'retry', delayMs: 0 });
  const client = await under.subscribe();
  under.nack(client.take());
  await under.pass(200);
  assert.deepEqual(attempts(client), [[0, 2]]);
  await under.pass(200);
  const next = takeOver(cluster, 'node-2');
  const other = await next.subscribe();
  const again = other.take();
  assert.deepEqual([again[0]?.offset, again[0]?.attempt], [0, 2]);
  const [member] = cluster.members;
  const revoked = member?.revoke([{ topic: 't', partition: 0 }]);
  await next.pass(9_000);
  await revoked;
  const text = cluster.commits.get('g/t/0')?.metadata ?? '';
  const [row, ...more] = decodeMetadata(text)?.leases ?? [];
  assert.deepEqual([row?.offset, row?.attempt, more.length], [0, 2, 0]);
  assert.notEqual(row?.run, 0);
});

test('what is on its way elsewhere is waited for when its partition goes, and what waits is left', async () => {
  const cluster = clusterWith(3);
  const under = takeOver(cluster, 'node-1');
  const client = await under.subscribe();
  const got = client.take();
  let arrive = (): void => {};
  under.policy.onMove = () => new Promise<void>((resolve) => (arrive = resolve));
  under.policy.next = () => ({ kind: 'move' });
  under.nack(got.slice(0, 1), { dead: true, reason: 'no' });
  under.ack(got.slice(1));
  await under.pass(200);
  const [member] = cluster.members;
  let isGone = false;
  const revoked = member?.revoke([{ topic: 't', partition: 0 }]).then(() => {
    isGone = true;
  });
  await under.pass(1_000);
  assert.equal(isGone, false);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 0);
  arrive();
  await under.pass(100);
  await revoked;
  assert.equal(cluster.commits.get('g/t/0')?.offset, 3, 'nobody gets it once more');
});

test('a group without consumers is left when what failed has been moved', async () => {
  const cluster = clusterWith(1);
  const under = takeOver(cluster, 'node-1');
  const client = await under.subscribe();
  let arrive = (): void => {};
  under.policy.onMove = () => new Promise<void>((resolve) => (arrive = resolve));
  under.policy.next = () => ({ kind: 'move' });
  under.nack(client.take(), { dead: true, reason: 'no' });
  under.engine.connectionLost(client.id);
  await under.pass(20_000);
  assert.equal(cluster.members.size, 1);
  arrive();
  await under.pass(20_000);
  assert.equal(cluster.members.size, 0);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 1);
});

test('a group whose last consumer has just gone keeps its partitions for a while', async () => {
  const cluster = clusterWith(1);
  const under = takeOver(cluster, 'node-1');
  const client = await under.subscribe();
  const [member] = cluster.members;
  member?.lose();
  under.engine.connectionLost(client.id);
  let asked = 0;
  if (member !== undefined) member.setTopics = () => void asked++;
  await under.pass(2_000);
  assert.equal(asked, 0, 'the topics of nobody are not asked for');
});

test('the longest waits and leases are named and kept right, wherever the clock wraps around', async () => {
  const { maximum } = retrySection.properties.inPlaceMax;
  assert(maximum !== undefined && maximum <= IN_PLACE_MS_MAX);
  assert(PROTOCOL_LIMIT.leaseMsMax <= IN_PLACE_MS_MAX);
  for (const wrap of [2 ** 31, 2 ** 32]) {
    const cluster = clusterWith(2);
    const under = takeOver(cluster, 'a');
    under.clock.step(wrap - 5_000 - under.clock.now());
    under.policy.next = () => ({ kind: 'retry', delayMs: IN_PLACE_MS_MAX });
    const client = await under.subscribe({ leaseMs: PROTOCOL_LIMIT.leaseMsMax });
    const [failed] = client.take();
    under.nack([failed as NonNullable<typeof failed>]);
    await under.pass(1_000);
    const [member] = cluster.members;
    const revoked = member?.revoke([{ topic: 't', partition: 0 }]);
    await under.pass(4_500);
    await revoked;
    assert(under.clock.now() > wrap);
    assert.deepEqual(client.take(), []);
    const rows = decodeMetadata(cluster.commits.get('g/t/0')?.metadata ?? '')?.leases ?? [];
    const toldMs = [IN_PLACE_MS_MAX, PROTOCOL_LIMIT.leaseMsMax];
    assert.equal(rows.length, 2);
    for (const [i, { leftMs }] of rows.entries()) {
      const passedMs = (toldMs[i] as number) - leftMs;
      assert(passedMs > 4_000 && passedMs < 6_000, `row ${i} of ${wrap}: ${leftMs} ms are left`);
    }
  }
});

test('an ack of what was put off or moved away comes too late, also a committed one', async () => {
  const cluster = clusterWith(2);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ leaseMs: 1_000 });
  const got = client.take();
  under.policy.next = ({ offset }) =>
    offset === 0 ? { kind: 'move' } : { kind: 'putOff', delayMs: 60_000 };
  // Its handler is slow: its lease runs out, and it acks then.
  await under.pass(1_100);
  assert.deepEqual(under.policy.moved.length, 2);
  const lost = got.map(({ index }, entry) => `${entry}/${index}/${ErrorCode.LEASE_LOST}`);
  assert.deepEqual(under.ack(got).failed, lost);
  const committed = under.ack(got, true);
  await under.pass(150);
  assert.deepEqual(committed.failed, lost);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 2);
  assert.deepEqual(under.ack(got).failed, lost, 'nor later');
});

test('of those that wait for the budget the first asks, and they go in order as far as it lasts', async () => {
  const cluster = clusterWith(500);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ creditMessages: 1_000, leaseMs: 600_000 });
  let left = 0;
  under.policy.next = () => (left-- > 0 ? { kind: 'move' } : { kind: 'wait', delayMs: 1_000 });
  under.nack(client.take());
  assert.equal(under.policy.failures.length, 500);
  await under.pass(10_000);
  const looks = under.policy.failures.length - 500;
  assert(looks >= 9 && looks <= 10, `${looks} looks in ten seconds`);
  left = 3;
  await under.pass(1_100);
  const moved = () => under.policy.moved.map((one) => Number(one.split(':')[0]));
  assert.deepEqual(moved(), [0, 1, 2]);
  left = 1_000;
  await under.pass(1_200);
  assert.deepEqual(
    moved(),
    Array.from({ length: 500 }, (_, i) => i),
  );
  assert.equal(cluster.commits.get('g/t/0')?.offset, 500);
});

test('in order what was out at a kill comes again before what failed behind it', async () => {
  const cluster = clusterWith(4);
  const under = takeOver(cluster, 'node-1');
  under.policy.next = () => ({ kind: 'retry', delayMs: 60_000 });
  const mode = 'partition-ordered';
  const client = await under.subscribe({ mode });
  const got = client.take();
  under.nack(got.slice(1, 2));
  await under.pass(200);
  const next = takeOver(cluster, 'node-2');
  const other = await next.subscribe({ mode });
  const first = other.take();
  assert.deepEqual(
    first.map(({ offset, attempt }) => [offset, attempt]),
    [[0, 1]],
  );
  next.ack(first);
  await next.pass(59_000);
  assert.deepEqual(other.take(), []);
  await next.pass(1_000);
  assert.deepEqual(attempts(other), [
    [1, 2],
    [2, 1],
    [3, 1],
  ]);
});

test('the wait of a message on its way to the delayed ones goes on under the next owner', async () => {
  const cluster = clusterWith(2);
  const under = takeOver(cluster, 'node-1');
  under.policy.next = ({ offset }) =>
    offset === 0 ? { kind: 'putOff', delayMs: 60_000 } : { kind: 'move' };
  under.policy.onMove = () => new Promise(() => {});
  const client = await under.subscribe();
  under.nack(client.take());
  await under.pass(200);
  const next = takeOver(cluster, 'node-2');
  const other = await next.subscribe();
  const [first] = other.got;
  assert.deepEqual(attempts(other), [[1, 2]], 'a dead letter had no wait');
  next.ack([first as NonNullable<typeof first>]);
  await next.pass(59_000);
  assert.deepEqual(attempts(other), []);
  await next.pass(1_000);
  assert.deepEqual(attempts(other), [[0, 2]]);
});

test('a failure says since when its owner has the partition, also one that was lost and came back', async () => {
  const cluster = clusterWith(2);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  under.nack(client.take().slice(0, 1));
  const [member] = cluster.members;
  member?.lose();
  await under.pass(50);
  const lostMs = under.clock.monotonic();
  member?.setTopics(['t']);
  await under.pass(3_000);
  under.nack(client.take().slice(0, 1));
  const [before, after, ...more] = under.policy.failures.map(({ ownedSinceMs }) => ownedSinceMs);
  assert.deepEqual(more, []);
  assert((before ?? lostMs) < lostMs, `${before} before ${lostMs}`);
  assert((after ?? 0) >= lostMs, `${after} after ${lostMs}`);
});
