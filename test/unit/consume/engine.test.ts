import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeAssigned } from '../../../protocol/src/assigned.ts';
import { ErrorCode, Opcode } from '../../../protocol/src/generated.ts';
import { coded } from '../../../src/base/errors.ts';
import { decodeMetadata } from '../../../src/offsets/commit-metadata.ts';
import { keptLog } from '../../support/kept-log.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest } from './engine-doubles.ts';

const LOST = ErrorCode.LEASE_LOST;

function values(from: number, to: number): { value: string }[] {
  return Array.from({ length: to - from }, (_, i) => ({ value: `m${from + i}` }));
}

function clusterWith(messages: number, partitions = 1): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', partitions);
  for (let p = 0; p < partitions; p++) cluster.append('t', p, ...values(0, messages));
  return cluster;
}

test('messages are delivered, acked in any order, and the floor is committed', async () => {
  const cluster = clusterWith(10);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  const got = client.take();
  assert.deepEqual(
    got.map(({ value }) => value),
    values(0, 10).map(({ value }) => value),
  );
  assert(got.every(({ attempt }) => attempt === 1));
  const first = under.ack([9, 3, 1, 2].map((i) => got[i] as (typeof got)[0]));
  assert.deepEqual(first.failed, []);
  await under.pass(120);
  const commit = cluster.commits.get('g/t/0');
  assert.equal(commit?.offset, 0);
  assert.equal(decodeMetadata(commit?.metadata ?? '')?.leases.length, 0);
  under.ack(got.slice(0, 9));
  await under.pass(120);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 10);
  assert.equal(under.engine.stats.ackedAgain, 3);
  await under.engine.close();
});

test('after a restart nothing is delivered whose ack was committed', async () => {
  const cluster = clusterWith(400);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ creditMessages: 1_000 });
  const got = client.take();
  assert.equal(got.length, 400);
  const acked = got.filter(({ offset }) => offset % 3 !== 0);
  assert.deepEqual(under.ack(acked, true).failed, undefined);
  await under.pass(150);
  // The node is gone without a word: nothing more is committed.
  cluster.members.clear();
  const again = new EngineUnderTest(cluster);
  const other = await again.subscribe({ creditMessages: 1_000 });
  const offsets = other.take().map(({ offset }) => offset);
  assert.deepEqual(
    offsets,
    got.filter(({ offset }) => offset % 3 === 0).map((m) => m.offset),
  );
});

test('a committed ack is answered after the commit that carries it, and not before', async () => {
  const cluster = clusterWith(3);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  const got = client.take();
  let go = (): void => {};
  cluster.hold = new Promise((resolve) => {
    go = resolve;
  });
  const outcome = under.ack(got.slice(0, 2), true);
  await under.pass(200);
  assert.equal(outcome.failed, undefined);
  go();
  await under.pass(10);
  assert.deepEqual(outcome.failed, []);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 2);
});

test('a lease that runs out is delivered again with the next attempt, and the late ack is lost', async () => {
  const under = new EngineUnderTest(clusterWith(2));
  const client = await under.subscribe({ leaseMs: 1_000 });
  const [one, two] = client.take();
  assert(one !== undefined && two !== undefined);
  assert.deepEqual(under.extend([two], 5_000).failed, []);
  await under.pass(1_100);
  const [again, ...more] = client.take();
  assert.deepEqual(more, []);
  assert.equal(again?.offset, 0);
  assert.equal(again?.attempt, 2);
  assert.deepEqual(under.ack([one]).failed, [`0/0/${LOST}`]);
  assert.deepEqual(under.ack([again as typeof one]).failed, []);
  assert.deepEqual(under.ack([again as typeof one]).failed, []);
  assert.deepEqual(under.ack([one]).failed, [`0/0/${LOST}`]);
  assert.deepEqual(under.ack([two]).failed, []);
  assert.equal(under.engine.stats.expired, 1);
  assert.equal(under.policy.failures[0]?.cause, 'expiry');
});

test('credit bounds what is out, and what is settled gives it back', async () => {
  const under = new EngineUnderTest(clusterWith(50));
  const client = await under.subscribe({ creditMessages: 5 });
  const first = client.take();
  assert.equal(first.length, 5);
  under.ack(first.slice(0, 2));
  await under.pass(10);
  assert.equal(client.take().length, 2);
  under.engine.credit(client.id, client.sub.subscription, { messages: 20, bytes: 1e6 });
  await under.pass(10);
  assert.equal(client.take().length, 15);
  client.isClogged = true;
  under.ack(first.slice(2));
  await under.pass(10);
  assert.equal(client.take().length, 0);
  client.isClogged = false;
  under.engine.drained(client.id);
  await under.pass(10);
  assert.equal(client.take().length, 3);
});

test('few messages are shared out among many consumers, and none is idle', async () => {
  const cluster = clusterWith(0, 4);
  const under = new EngineUnderTest(cluster);
  const clients = [];
  for (let i = 0; i < 16; i++) clients.push(await under.subscribe());
  for (let p = 0; p < 4; p++) cluster.append('t', p, ...values(0, 8));
  await under.pass(20);
  for (const client of clients) assert(client.take().length > 0);
});

test('an ended subscription gives its leases back at once, and they do not count', async () => {
  const under = new EngineUnderTest(clusterWith(4));
  const one = await under.subscribe();
  const other = await under.subscribe();
  assert.equal(one.take().length, 4);
  under.engine.unsubscribe(one.id, one.sub.subscription);
  await under.pass(10);
  const got = other.take();
  assert.deepEqual(
    got.map(({ attempt }) => attempt),
    [1, 1, 1, 1],
  );
  assert.equal(under.policy.failures.length, 0);
});

test('leases of a lost connection go on after a short while, and can be acked until then', async () => {
  const under = new EngineUnderTest(clusterWith(3));
  const one = await under.subscribe();
  const other = await under.subscribe();
  const got = one.take();
  under.engine.connectionLost(one.id);
  await under.pass(1_000);
  assert.deepEqual(under.ack(got.slice(0, 1)).failed, []);
  assert.equal(other.take().length, 0);
  await under.pass(5_000);
  assert.deepEqual(
    other.take().map(({ offset, attempt }) => [offset, attempt]),
    [
      [1, 2],
      [2, 2],
    ],
  );
});

test('forged and foreign tokens change nothing', async () => {
  const cluster = clusterWith(2);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  const [one] = client.take();
  assert(one !== undefined);
  const forged = { ...one, token: Buffer.from(one.token) };
  forged.token[40] = (forged.token[40] as number) ^ 1;
  assert.deepEqual(under.ack([forged]).failed, [`0/0/${ErrorCode.BAD_TOKEN}`]);
  const elsewhere = new EngineUnderTest(clusterWith(2), { nodeId: 'node-2' });
  const foreign = (await elsewhere.subscribe()).take();
  const theirs = under.ack(foreign.slice(0, 1));
  await under.pass(10);
  assert.deepEqual(theirs.failed, [`0/0/${ErrorCode.NOT_OWNER}`]);
  const secret = new EngineUnderTest(clusterWith(2), { secret: 'of another cluster' });
  const unknown = (await secret.subscribe()).take();
  assert.deepEqual(under.ack(unknown.slice(0, 1)).failed, [`0/0/${ErrorCode.BAD_TOKEN}`]);
  const [stranger, other] = [unknown[0], foreign[0]];
  assert(stranger !== undefined && other !== undefined);
  assert.deepEqual(under.commit(stranger).failed, [`0/0/${ErrorCode.BAD_TOKEN}`]);
  const committed = under.commit(other);
  await under.pass(10);
  assert.deepEqual(committed.failed, [`0/0/${ErrorCode.NOT_OWNER}`]);
  const { badTokens, notOwner } = under.engine.stats;
  assert.deepEqual({ badTokens, notOwner }, { badTokens: 3, notOwner: 2 });
  assert.deepEqual(under.ack([one]).failed, []);
});

test('a nacked message is retried when the policy says, moved, or held until resumed', async () => {
  const under = new EngineUnderTest(clusterWith(3));
  const client = await under.subscribe();
  const [one, two, three] = client.take();
  assert(one !== undefined && two !== undefined && three !== undefined);
  under.policy.next = () => ({ kind: 'retry', delayMs: 500 });
  under.nack([one], { delayMs: 77 });
  assert.equal(under.policy.failures[0]?.askedDelayMs, 77);
  await under.pass(400);
  assert.equal(client.take().length, 0);
  await under.pass(150);
  assert.deepEqual(
    client.take().map(({ attempt }) => attempt),
    [2],
  );
  under.policy.next = () => ({ kind: 'move' });
  under.nack([two], { dead: true, reason: 'broken' });
  await under.pass(150);
  assert.deepEqual(under.policy.moved, ['1:m1']);
  assert.equal(under.policy.failures[1]?.cause, 'dead');
  under.policy.next = () => ({ kind: 'hold' });
  under.nack([three]);
  await under.pass(60_000);
  assert.equal(client.take().filter(({ offset }) => offset === 2).length, 0);
  under.engine.groupOf('g').resume();
  await under.pass(20);
  assert.equal(client.take().filter(({ offset }) => offset === 2).length, 1);
});

test('a move that fails is tried again, and the message is unfinished meanwhile', async () => {
  const cluster = clusterWith(1);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  under.policy.next = () => ({ kind: 'move' });
  under.policy.onMove = () => Promise.reject(coded('BACKEND_UNAVAILABLE', 'away'));
  under.nack(client.take());
  await under.pass(500);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 0);
  under.policy.onMove = async () => {};
  await under.pass(1_500);
  assert.deepEqual(under.policy.moved, ['0:m0']);
  await under.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 1);
});

test('a key is handled in order while others go on, and a partition as a whole', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const keys = [1, 2, 1, 2, 3, 1];
  cluster.append('t', 0, ...keys.map((key, i) => ({ key, value: `m${i}` })));
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ mode: 'key-ordered' });
  const first = client.take();
  assert.deepEqual(
    first.map(({ offset }) => offset),
    [0, 1, 4],
  );
  under.ack([first[1] as (typeof first)[0]]);
  await under.pass(10);
  assert.deepEqual(
    client.take().map(({ offset }) => offset),
    [3],
  );
  const ordered = new EngineUnderTest(clusterWith(6));
  const a = await ordered.subscribe({ mode: 'partition-ordered', group: 'o' });
  const b = await ordered.subscribe({ mode: 'partition-ordered', group: 'o' });
  const got = a.take();
  assert.equal(got.length, 6);
  assert.equal(b.take().length, 0);
  ordered.nack([got[2] as (typeof got)[0]]);
  await ordered.pass(20);
  assert.deepEqual(
    a.take().map(({ offset, attempt }) => [offset, attempt]),
    [
      [2, 2],
      [3, 1],
      [4, 1],
      [5, 1],
    ],
  );
});

for (const dedupe of [true, false]) {
  const what = dedupe ? 'counted and not delivered' : 'delivered where the group wants copies';
  test(`a copy of a message is ${what}`, async () => {
    const cluster = new MemoryCluster();
    cluster.addTopic('t', 1);
    const id = Buffer.alloc(16, 3);
    cluster.append('t', 0, { value: 'a', id }, { value: 'b' }, { value: 'a', id });
    const under = new EngineUnderTest(cluster);
    const client = await under.subscribe({ dedupe });
    const got = client.take();
    const offsets = got.map(({ offset }) => offset);
    assert.deepEqual(offsets, dedupe ? [0, 1] : [0, 1, 2]);
    assert.equal(under.engine.stats.duplicates, dedupe ? 1 : 0);
    assert.deepEqual(under.ack(got).failed, []);
    await under.pass(150);
    assert.equal(cluster.commits.get('g/t/0')?.offset, 3);
  });
}

test('a hand-over waits for what is out, then names the open leases, which the next owner honours', async () => {
  const cluster = clusterWith(3);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ leaseMs: 60_000 });
  const got = client.take();
  const [member] = cluster.members;
  const revoked = member?.revoke([{ topic: 't', partition: 0 }]);
  await under.pass(1_000);
  assert.deepEqual(under.ack(got.slice(0, 1)).failed, []);
  await under.pass(8_000);
  await revoked;
  assert.deepEqual(under.ack(got.slice(1, 2)).failed, [`0/1/${LOST}`]);
  cluster.members.clear();
  const next = new EngineUnderTest(cluster, { nodeId: 'node-2' });
  const other = await next.subscribe();
  assert.equal(other.take().length, 0);
  assert.deepEqual(next.ack(got.slice(1)).failed, []);
  await next.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 3);
});

test('an owner that lost its partition changes nothing, and who waits for its commit is told', async () => {
  const cluster = clusterWith(2);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  const got = client.take();
  cluster.refusal = coded('BACKEND_UNAVAILABLE', 'away');
  const outcome = under.ack(got, true);
  await under.pass(300);
  const [member] = cluster.members;
  member?.lose();
  await under.pass(300);
  assert.equal(client.frames.at(-1)?.opcode, Opcode.ASSIGNED);
  assert.deepEqual(outcome.failed, [String(ErrorCode.UNKNOWN)]);
  assert.deepEqual(under.ack(got).failed, [`0/0/${LOST}`, `1/1/${LOST}`]);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 0);
});

test('retention that overtook the floor is counted and passed over', async () => {
  const cluster = clusterWith(20);
  const log = cluster.logOf('t', 0);
  log.start = 12;
  cluster.commits.set('g/t/0', { topic: 't', partition: 0, offset: 4, metadata: '' });
  const { log: logger, lines } = keptLog();
  const under = new EngineUnderTest(cluster, { log: logger });
  const client = await under.subscribe();
  await under.pass(100);
  assert.deepEqual(
    lines.map(({ group, topic, partition, cause, messages, msg }) => [
      [group, topic, partition, cause, messages].join(' '),
      msg,
    ]),
    [['g t 0 retention 8', 'retention freed messages that the group had not finished']],
  );
  assert.deepEqual(
    client.take().map(({ offset }) => offset),
    [12, 13, 14, 15, 16, 17, 18, 19],
  );
  assert.equal(under.engine.stats.lost.retention, 8);
});

test('a group keeps its mode, and a secret that differs is refused with both fingerprints', async () => {
  const cluster = clusterWith(1);
  const under = new EngineUnderTest(cluster);
  await under.subscribe();
  assert.throws(
    () =>
      under.engine.subscribe({ id: 9 } as never, {
        group: 'g',
        topics: ['t'],
        mode: 'key-ordered',
      }),
    (error: { code: number }) => error.code === ErrorCode.GROUP_CONFLICT,
  );
  await under.pass(50);
  cluster.members.clear();
  const other = new EngineUnderTest(cluster, { secret: 'another secret of a cluster' });
  const client = await other.subscribe();
  await other.pass(1_000);
  assert.equal(client.take().length, 0);
  const last = client.frames.at(-1);
  const { ended } = decodeAssigned(last as NonNullable<typeof last>);
  assert.equal(ended?.code, ErrorCode.ROLE_REFUSED);
  assert.match(ended?.message ?? '', /[0-9a-f]{16}.*[0-9a-f]{16}/);
});

test('leases end in time, though a node with none out looks less often', async () => {
  const cluster = clusterWith(0);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ leaseMs: 100 });
  await under.pass(1_000);
  const set = under.clock.set;
  await under.pass(1_000);
  const perSecond = under.clock.set - set;
  assert(perSecond <= 25, `${perSecond} timers a second at rest`);
  cluster.append('t', 0, ...values(0, 1));
  await under.pass(110);
  const failed = under.policy.failures.map(({ cause, attempt }) => `${cause} ${attempt}`);
  assert.deepEqual(failed, ['expiry 1']);
  assert.equal(client.take().length, 2, 'delivered again');
});
