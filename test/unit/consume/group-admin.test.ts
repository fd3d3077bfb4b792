import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { LIST_GROUPS } from '../../../protocol/src/groups.ts';
import type { ConsumerBackend } from '../../../src/backend/consumer-port.ts';
import { coded } from '../../../src/base/errors.ts';
import { limits } from '../../../src/base/limits.ts';
import { GroupAdmin } from '../../../src/consume/group-admin.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest } from './engine-doubles.ts';

const { frameBytesMax } = limits;
const place = { topic: 't', partition: 0, offset: 3, metadata: '' };
const standing = { ...place, startOffset: 0, endOffset: 5, lag: 2 };

function backendOf(cluster: 0 | 1, isAway: boolean): ConsumerBackend {
  const answer = <T>(value: T): Promise<T> =>
    isAway ? Promise.reject(coded('BACKEND_UNAVAILABLE', 'away')) : Promise.resolve(value);
  return {
    cluster,
    listGroups: () => answer([{ group: `of-${cluster}`, state: 'stable' }]),
    describeGroup: (group: string) =>
      answer({ group, state: 'stable', members: [], partitions: [standing] }),
  } as unknown as ConsumerBackend;
}

function adminOf(...backends: ConsumerBackend[]): GroupAdmin {
  const { engine, clock, pauses } = new EngineUnderTest(new MemoryCluster());
  return new GroupAdmin({ engine, backends, clock, pauses, frameBytesMax });
}

test('both clusters are told of, and one that is away is named', async () => {
  const both = adminOf(backendOf(0, false), backendOf(1, false));
  const whole = await both.describe('g');
  assert.deepEqual(
    whole.partitions.map(({ cluster, floor, lag }) => [cluster, floor, lag]),
    [
      [0, 3, 2],
      [1, 3, 2],
    ],
  );
  assert.equal(whole.unreachable, undefined);
  const half = adminOf(backendOf(0, true), backendOf(1, false));
  const found = await half.describe('g');
  assert.deepEqual(found.unreachable, [0]);
  assert.deepEqual(
    found.partitions.map(({ cluster }) => cluster),
    [1],
  );
  assert.deepEqual(
    (await half.list('', '')).groups.map(({ group }) => group),
    ['of-1'],
  );
});

test('with every cluster away nothing is told', async () => {
  const away = { code: 'BACKEND_UNAVAILABLE' };
  for (const admin of [
    adminOf(backendOf(0, true)),
    adminOf(backendOf(0, true), backendOf(1, true)),
  ]) {
    await assert.rejects(admin.describe('g'), away);
    await assert.rejects(admin.list('', ''), away);
  }
});

/** A group that reads eight messages, one each 100 ms. */
async function serving() {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const at = (i: number) => ({ value: `m${i}`, timestampMs: 1_000 + i * 100 });
  cluster.append('t', 0, ...Array.from({ length: 8 }, (_, i) => at(i)));
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ creditMessages: 6 });
  const { engine, clock, pauses } = under;
  const admin = new GroupAdmin({ engine, backends: [cluster], clock, pauses, frameBytesMax });
  return { cluster, under, client, admin };
}

test('describe names each member by its client, with what it has out and how long it is idle', async () => {
  const { under, client, admin } = await serving();
  const other = await under.subscribe({ creditMessages: 3 });
  const got = client.take();
  other.take();
  await under.pass(5_000);
  const described = async () =>
    (await admin.describe('g')).members.map((member) => ({
      ...member,
      idleMs: Math.round((member.idleMs ?? -1) / 1_000),
    }));
  const line = { client: 'fake', peer: 'test' };
  const one = { ...line, subscription: client.sub.subscription, creditMessages: 6 };
  const two = { ...line, subscription: other.sub.subscription, creditMessages: 3 };
  assert.deepEqual(await described(), [
    { ...one, out: 6, idleMs: 5 },
    { ...two, out: 2, idleMs: 5 },
  ]);
  // Nothing is left to be given out: an ack alone says that it is alive.
  under.ack(got.slice(0, 4));
  await under.pass(2_000);
  assert.deepEqual(await described(), [
    { ...one, out: 2, idleMs: 2 },
    { ...two, out: 2, idleMs: 7 },
  ]);
});

test('a reset to a time, an offset or an end begins there, and what was out is lost', async () => {
  const { cluster, under, client, admin } = await serving();
  const offsets = (): number[] => client.take().map(({ offset }) => offset);
  const out = [...client.got];
  assert.deepEqual(offsets(), [0, 1, 2, 3, 4, 5]);
  const resetTo = async (to: Parameters<GroupAdmin['reset']>[0]['to']) => {
    const { partitions } = await admin.reset({ group: 'g', topic: 't', to });
    await under.pass(100);
    return partitions;
  };
  assert.deepEqual(await resetTo({ timeMs: 1_250 }), [{ cluster: 0, partition: 0, offset: 3 }]);
  assert.deepEqual(offsets(), [3, 4, 5, 6, 7]);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 3);
  const lost = out.map(({ index }, i) => `${i}/${index}/${ErrorCode.LEASE_LOST}`);
  assert.deepEqual(under.ack(out).failed, lost);
  assert.deepEqual(await resetTo({ offset: 6 }), [{ cluster: 0, partition: 0, offset: 6 }]);
  assert.deepEqual(offsets(), [6, 7]);
  assert.deepEqual(await resetTo('end'), [{ cluster: 0, partition: 0, offset: 8 }]);
  assert.deepEqual(offsets(), []);
  assert.deepEqual(await resetTo('beginning'), [{ cluster: 0, partition: 0, offset: 0 }]);
  assert.deepEqual(offsets(), [0, 1, 2, 3, 4, 5]);
});

/** The id of a message, by its number. */
function idOf(n: number): Buffer {
  return Buffer.alloc(16, n);
}

test('a reset forgets which messages were seen of its partition alone', async () => {
  const cluster = new MemoryCluster();
  for (const [i, topic] of ['t', 'u'].entries()) {
    cluster.addTopic(topic, 1);
    cluster.append(topic, 0, { value: topic, id: idOf(i + 1) });
  }
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ topics: ['t', 'u'] });
  under.ack(client.take());
  const { engine, clock, pauses } = under;
  const admin = new GroupAdmin({ engine, backends: [cluster], clock, pauses, frameBytesMax });
  await admin.reset({ group: 'g', topic: 't', to: 'beginning' });
  cluster.append('u', 0, { value: 'a copy', id: idOf(2) });
  await under.pass(100);
  assert.deepEqual(
    client.take().map(({ value }) => value),
    ['t'],
  );
});

test('a group that may not be deleted stays paused', async () => {
  const { cluster, under, client, admin } = await serving();
  await admin.pause('g', { by: 'ops', from: 'test' });
  under.engine.unsubscribe(client.id, client.sub.subscription);
  const { deleteGroup } = cluster;
  cluster.deleteGroup = () => Promise.reject(coded('GROUP_CONFLICT', 'another node is in it'));
  const deleting = assert.rejects(admin.delete('g'), { code: 'GROUP_CONFLICT' });
  await under.pass(5_000);
  await deleting;
  assert.equal(under.pauses.get('g')?.by, 'ops');
  cluster.deleteGroup = deleteGroup;
  await admin.delete('g');
  assert.equal(under.pauses.get('g'), undefined);
});

test('who may not read a topic sees neither its groups nor who reads and paused them', async () => {
  const { cluster, under, client, admin } = await serving();
  cluster.addTopic('u', 1);
  const beside = await under.subscribe({ topics: ['u'] });
  const all = await under.subscribe({ group: 'all', topics: undefined, prefix: '' });
  await admin.pause('g', { by: 'ops', from: '10.0.0.1:5' });
  const reads = (...names: string[]) => ({
    mayRead: (topic: string) => names.some((name) => topic.startsWith(name)),
  });
  const listed = async (asker: ReturnType<typeof reads>) =>
    (await admin.list('', '', asker)).groups.map(({ group }) => group);
  assert.deepEqual(await listed(reads('')), ['all', 'g']);
  assert.deepEqual(await listed(reads('t')), ['g']);
  assert.deepEqual(await listed(reads('other')), []);
  const { members, paused } = await admin.describe('g', reads('u'));
  assert.deepEqual(
    [members.map(({ subscription }) => subscription), paused?.by],
    [[beside.sub.subscription], 'ops'],
  );
  const whole = await admin.describe('g', reads('t', 'u'));
  assert.deepEqual(
    whole.members.map(({ subscription }) => subscription),
    [client.sub.subscription, beside.sub.subscription],
  );
  const denied = { code: ErrorCode.NOT_AUTHORIZED };
  await assert.rejects(admin.describe('g', reads('other')), denied);
  await assert.rejects(admin.describe('all', reads('t')), denied);
  assert.equal((await admin.describe('all', reads(''))).members[0]?.out, all.take().length);
});

test('a list of groups fits a frame, and goes on behind its last one', async () => {
  const { engine, clock, pauses } = new EngineUnderTest(new MemoryCluster());
  const names = Array.from({ length: 200 }, (_, i) => `${i}`.padStart(100, 'g')).sort();
  const listGroups = async () => names.map((group) => ({ group, state: 'stable' }));
  const backends = [{ cluster: 0, listGroups } as unknown as ConsumerBackend];
  const short = { frameBytesMax: limits.frameBytesMin };
  const admin = new GroupAdmin({ engine, backends, clock, pauses, ...short });
  const found: string[] = [];
  for (let more: boolean | undefined = true; more; ) {
    const page = await admin.list('', found.at(-1) ?? '');
    const writer = new FrameWriter();
    LIST_GROUPS.encodeAnswer(writer, 1, page);
    assert(writer.length - 4 <= limits.frameBytesMin);
    found.push(...page.groups.map(({ group }) => group));
    ({ more } = page);
  }
  assert.deepEqual(found, names);
});
