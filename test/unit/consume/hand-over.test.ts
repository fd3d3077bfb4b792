import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { coded } from '../../../src/base/errors.ts';
import { decodeMetadata } from '../../../src/offsets/commit-metadata.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest, FakeReceiver } from './engine-doubles.ts';

const place = { topic: 't', partition: 0 };

function clusterWith(messages: number): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...Array.from({ length: messages }, (_, i) => ({ value: `m${i}` })));
  return cluster;
}

async function nodeOf(cluster: MemoryCluster, nodeId: string) {
  cluster.members.clear();
  const under = new EngineUnderTest(cluster, { nodeId });
  const client = await under.subscribe({ leaseMs: 60_000 });
  return { under, client };
}

test('a last commit that is refused for a while is tried again, and takes the acks along', async () => {
  const cluster = clusterWith(4);
  const { under, client } = await nodeOf(cluster, 'a');
  const [member] = cluster.members;
  cluster.refusal = coded('BACKEND_UNAVAILABLE', 'the coordinator moves');
  const revoked = member?.revoke([place]);
  under.ack(client.take());
  await under.pass(700);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 0);
  cluster.refusal = undefined;
  await under.pass(150);
  await revoked;
  assert.equal(cluster.commits.get('g/t/0')?.offset, 4);
});

test('a last commit is given up before Kafka gives the member up, and at once by a stranger', async () => {
  for (const { code, goneMs } of [
    { code: 'BACKEND_UNAVAILABLE', goneMs: 5_200 },
    { code: 'FENCED', goneMs: 100 },
  ]) {
    const cluster = clusterWith(1);
    const { under, client } = await nodeOf(cluster, 'a');
    const [member] = cluster.members;
    cluster.refusal = coded(code, 'no');
    let isGone = false;
    void member?.revoke([place]).then(() => {
      isGone = true;
    });
    under.ack(client.take());
    await under.pass(goneMs);
    assert(isGone, code);
  }
});

/** A node that has two leases of the one before, and has not read their messages. */
async function unreadLeases() {
  const cluster = clusterWith(2);
  const a = await nodeOf(cluster, 'a');
  const got = a.client.take();
  const [first] = cluster.members;
  const revoked = first?.revoke([place]);
  await a.under.pass(4_200);
  await revoked;
  cluster.members.clear();
  const under = new EngineUnderTest(cluster, { nodeId: 'b' });
  const client = new FakeReceiver(9);
  under.engine.subscribe(client, { group: 'g', topics: ['t'] });
  const [member] = [...cluster.members];
  assert(member !== undefined);
  const { want } = member;
  member.want = () => {};
  await under.pass(100);
  const read = async (): Promise<void> => {
    member.want = want;
    member.want('t', 0, 1e6);
    await under.pass(50);
  };
  return { cluster, under, client, got, read };
}

test('a handed-over lease is refused before its message is read, and the policy decides as ever', async () => {
  const { under, client, got, read } = await unreadLeases();
  under.policy.next = ({ askedDelayMs }) => ({ kind: 'retry', delayMs: askedDelayMs ?? 0 });
  assert.deepEqual(under.nack(got.slice(0, 1), { delayMs: 5_000, reason: 'not yet' }).failed, []);
  // The lease is over: nothing else counts under its token.
  const lost = [`0/0/${ErrorCode.LEASE_LOST}`];
  assert.deepEqual(under.nack(got.slice(0, 1)).failed, lost);
  assert.deepEqual(under.ack(got.slice(0, 1)).failed, lost);
  assert.deepEqual(under.extend(got.slice(0, 1), 60_000).failed, lost);
  assert.equal(under.policy.failures.length, 0);
  await read();
  const [failure, ...more] = under.policy.failures;
  assert.deepEqual(more, []);
  assert.deepEqual(
    [failure?.offset, failure?.attempt, failure?.cause, failure?.reason],
    [0, 1, 'nack', 'not yet'],
  );
  assert.deepEqual(client.take(), []);
  await under.pass(5_100);
  assert.deepEqual(
    client.take().map(({ offset, attempt }) => [offset, attempt]),
    [[0, 2]],
  );
  assert.deepEqual(under.ack(got.slice(1)).failed, []);
});

test('what was refused before it was read is named as failed, and goes to the dead letters when it is', async () => {
  const { cluster, under, got, read } = await unreadLeases();
  under.policy.next = () => ({ kind: 'move' });
  assert.deepEqual(under.nack(got.slice(1), { dead: true }).failed, []);
  await under.pass(150);
  const named = decodeMetadata(cluster.commits.get('g/t/0')?.metadata ?? '')?.leases ?? [];
  assert.deepEqual(
    named.map(({ offset, run, attempt }) => [offset, run === 0, attempt]),
    [
      [0, false, 1],
      [1, true, 1],
    ],
  );
  await read();
  await under.pass(150);
  assert.deepEqual(under.policy.moved, ['1:m1']);
  assert.deepEqual(under.ack(got.slice(0, 1)).failed, []);
  await under.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 2);
});

for (const decided of ['move', 'hold'] as const) {
  test(`what had its last delivery before a hand-over is given out no more (${decided})`, async () => {
    const cluster = clusterWith(2);
    const a = await nodeOf(cluster, 'a');
    const attemptsMax = 1;
    // Its budget is used up: the message is to be moved, some time.
    a.under.policy.next = () => ({ kind: 'wait', delayMs: 60_000 });
    a.under.nack(a.client.take().slice(0, 1));
    await a.under.pass(150);
    cluster.members.clear();
    const under = new EngineUnderTest(cluster, { nodeId: 'b' });
    under.policy.attemptsMax = attemptsMax;
    under.policy.next = () => ({ kind: decided });
    const client = await under.subscribe();
    await under.pass(200);
    assert.deepEqual(
      client.take().map(({ offset }) => offset),
      [1],
    );
    const [failure, ...more] = under.policy.failures;
    assert.deepEqual([failure?.offset, failure?.attempt, more], [0, attemptsMax, []]);
    assert.deepEqual(under.policy.moved, decided === 'move' ? ['0:m0'] : []);
    assert.equal(cluster.commits.get('g/t/0')?.offset, decided === 'move' ? 1 : 0);
  });
}
