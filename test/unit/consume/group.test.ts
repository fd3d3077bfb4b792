import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeAssigned } from '../../../protocol/src/assigned.ts';
import { ErrorCode, Opcode } from '../../../protocol/src/generated.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest, FakeReceiver } from './engine-doubles.ts';

const LINGER_MS = 5_000;

function clusterWith(messages: number): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...Array.from({ length: messages }, (_, i) => ({ value: `m${i}` })));
  return cluster;
}

test('who comes while a group is being left is told to come later, and is served then', async () => {
  const cluster = clusterWith(2);
  const under = new EngineUnderTest(cluster);
  const one = await under.subscribe();
  under.ack(one.take().slice(0, 1));
  let go = (): void => {};
  cluster.hold = new Promise((resolve) => {
    go = resolve;
  });
  under.engine.unsubscribe(one.id, one.sub.subscription);
  await under.pass(LINGER_MS + 100);
  await assert.rejects(under.subscribe(), { code: ErrorCode.RETRY_LATER, retryAfterMs: 500 });
  go();
  await under.pass(100);
  const other = await under.subscribe();
  await under.pass(100);
  assert.deepEqual(
    other.take().map(({ offset }) => offset),
    [1],
  );
});

test('who comes after a group was refused is told as those were that were there', async () => {
  const cluster = clusterWith(1);
  await new EngineUnderTest(cluster).subscribe();
  cluster.members.clear();
  const under = new EngineUnderTest(cluster, { secret: 'another secret of a cluster' });
  const one = await under.subscribe();
  await under.pass(1_000);
  const frames = one.frames.filter(({ opcode }) => opcode === Opcode.ASSIGNED).map(decodeAssigned);
  const ended = frames.at(-1)?.ended;
  assert.equal(ended?.code, ErrorCode.ROLE_REFUSED);
  const said = { code: ErrorCode.ROLE_REFUSED, message: ended?.message };
  await assert.rejects(under.subscribe(), said);
  // Once it is left it may be asked for again: the operator may have set things right.
  await under.pass(LINGER_MS + 100);
  assert.equal(under.engine.groups.size, 0);
  under.engine.subscribe(new FakeReceiver(99), { group: 'g', topics: ['t'] });
});

test('topics that were listed before a later look do not undo what that has found', async () => {
  const cluster = clusterWith(1);
  const under = new EngineUnderTest(cluster);
  const { listTopics } = MemoryCluster.prototype;
  let go = (): void => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  cluster.listTopics = async (prefix) => {
    const found = await listTopics.call(cluster, prefix);
    await held;
    return found;
  };
  const asked = { topics: undefined, prefix: '' };
  await under.subscribe(asked);
  cluster.listTopics = listTopics;
  cluster.addTopic('u', 1);
  await under.subscribe(asked);
  const [member] = cluster.members;
  const told: (readonly string[])[] = [];
  assert(member !== undefined);
  const { setTopics } = member;
  member.setTopics = (topics) => {
    told.push(topics);
    setTopics.call(member, topics);
  };
  go();
  await under.pass(20);
  assert.deepEqual(told, []);
  assert(under.engine.groupOf('g').reads(0, 'u', 0));
});

test('topics are found however often others are looked for before a look has ended', async () => {
  const cluster = clusterWith(1);
  const under = new EngineUnderTest(cluster);
  const { listTopics } = MemoryCluster.prototype;
  const waiting: (() => void)[] = [];
  cluster.listTopics = async (prefix) => {
    const found = await listTopics.call(cluster, prefix);
    await new Promise<void>((resolve) => waiting.push(resolve));
    return found;
  };
  const asked = { topics: undefined, prefix: '' };
  await under.subscribe(asked);
  // Each look lasts until two others have begun.
  for (let i = 0; i < 5; i++) {
    await under.subscribe(asked);
    if (i > 0) waiting.shift()?.();
    await under.pass(10);
    assert.equal(under.engine.groupOf('g').reads(0, 't', 0), i > 0);
  }
});

test('who comes while topics are looked for has a look of its own, soon', async () => {
  const cluster = clusterWith(1);
  cluster.addTopic('u', 1);
  const under = new EngineUnderTest(cluster);
  await under.subscribe();
  await under.pass(200);
  const { listTopics } = MemoryCluster.prototype;
  let go = (): void => {};
  const held = new Promise<void>((resolve) => {
    go = resolve;
  });
  cluster.listTopics = async (prefix) => {
    await held;
    return listTopics.call(cluster, prefix);
  };
  await under.subscribe();
  const other = new FakeReceiver(99);
  under.engine.subscribe(other, { group: 'g', topics: ['u'] });
  go();
  await under.pass(100);
  assert(under.engine.groupOf('g').reads(0, 'u', 0));
});
