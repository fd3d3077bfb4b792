import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { coded } from '../../../src/base/errors.ts';
import { decodeMetadata } from '../../../src/offsets/commit-metadata.ts';
import type { MadeRecord } from '../../support/fetched.ts';
import { keptLog } from '../../support/kept-log.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest, FakeReceiver, quiet } from './engine-doubles.ts';

const LOST = ErrorCode.LEASE_LOST;
const place = { topic: 't', partition: 0 };

function clusterWith(messages: number): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...Array.from({ length: messages }, (_, i) => ({ value: `m${i}` })));
  return cluster;
}

/** A node that takes over what another one has left. */
async function nextOwner(cluster: MemoryCluster, nodeId: string, creditMessages = 100) {
  cluster.members.clear();
  const under = new EngineUnderTest(cluster, { nodeId });
  const client = await under.subscribe({ leaseMs: 60_000, creditMessages });
  return { under, client };
}

/** A partition of four messages, all out, whose last commit before a hand-over waits for `go`. */
async function heldInTheLastCommit() {
  const cluster = clusterWith(4);
  const { under, client } = await nextOwner(cluster, 'a');
  const got = client.take();
  const [member] = cluster.members;
  const revoked = member?.revoke([place]);
  await under.pass(3_900);
  let go = (): void => {};
  cluster.hold = new Promise((resolve) => {
    go = resolve;
  });
  await under.pass(200);
  return { cluster, under, got, revoked, go };
}

test('acks that come while the last commit of a hand-over is on its way are in the next', async () => {
  const { cluster, under, got, revoked, go } = await heldInTheLastCommit();
  assert.deepEqual(under.ack(got.slice(0, 3)).failed, []);
  go();
  await quiet();
  await revoked;
  assert.equal(cluster.commits.get('g/t/0')?.offset, 3);
});

test('a message that retention frees before it is moved is counted and said, not moved', async () => {
  const cluster = clusterWith(3);
  const { log, lines } = keptLog();
  const under = new EngineUnderTest(cluster, { log });
  const client = await under.subscribe();
  const got = client.take();
  cluster.logOf('t', 0).start = 1;
  under.policy.next = () => ({ kind: 'move' });
  under.nack(got, { dead: true });
  await under.pass(150);
  assert.deepEqual(under.policy.moved, ['1:m1', '2:m2']);
  assert.deepEqual(under.engine.stats.lost, { retention: 1, compaction: 0, cut: 0 });
  assert.deepEqual(
    lines.filter(({ cause }) => cause !== undefined).map((l) => [l['cause'], l['messages']]),
    [['retention', 1]],
  );
  assert.equal(cluster.commits.get('g/t/0')?.offset, 3);
});

test('a record that does not come in time stays unfinished, and is moved when it comes', async () => {
  const cluster = clusterWith(1);
  const { under, client } = await nextOwner(cluster, 'a');
  const { tail } = cluster;
  cluster.tail = async (request) => {
    const { records, start } = cluster.logOf('t', 0);
    const nothing = { nextOffset: request.position, count: 0, records: Buffer.alloc(0) };
    return { partition: 0, startOffset: start, endOffset: records.length, ...nothing };
  };
  under.policy.next = () => ({ kind: 'move' });
  under.nack(client.take(), { dead: true });
  await under.pass(500);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 0);
  cluster.tail = tail;
  await under.pass(1_500);
  assert.deepEqual(under.policy.moved, ['0:m0']);
  assert.equal(
    under.policy.failures.length,
    1,
    'asked again, the policy would take from its budget',
  );
  assert.equal(cluster.commits.get('g/t/0')?.offset, 1);
});

/** A planned stop of the only member, with what is out left to the next owner. */
async function stop(under: EngineUnderTest, cluster: MemoryCluster): Promise<void> {
  const [member] = cluster.members;
  const revoked = member?.revoke([place]);
  await under.pass(4_200);
  await revoked;
}

test('leases outlive two planned stops within one handler, and what is acked does not come again', async () => {
  const cluster = clusterWith(5);
  const a = await nextOwner(cluster, 'a');
  const got = a.client.take();
  await stop(a.under, cluster);
  const b = await nextOwner(cluster, 'b');
  cluster.append('t', 0, { value: 'of b' });
  await b.under.pass(50);
  const ofB = b.client.take();
  assert.deepEqual(
    ofB.map(({ value }) => value),
    ['of b'],
  );
  assert.deepEqual(b.under.ack(got.slice(0, 1)).failed, []);
  await b.under.pass(150);
  await stop(b.under, cluster);
  const c = await nextOwner(cluster, 'c');
  await c.under.pass(200);
  assert.deepEqual(c.client.take(), []);
  assert.deepEqual(c.under.ack([...got.slice(1, 4), ...ofB], true).failed, undefined);
  await c.under.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 4);
  // The lease of the last one ends here as anywhere.
  await c.under.pass(60_000);
  assert.deepEqual(
    c.client.take().map(({ offset, attempt }) => [offset, attempt]),
    [[4, 2]],
  );
  assert.deepEqual(c.under.ack(got.slice(4)).failed, [`0/4/${ErrorCode.LEASE_LOST}`]);
});

test('an owner that has not read what it was left hands it on, and so does one that is killed', async () => {
  const cluster = clusterWith(3);
  const a = await nextOwner(cluster, 'a');
  const got = a.client.take();
  await stop(a.under, cluster);
  // One that is gone before it has committed anything but its claim.
  await nextOwner(cluster, 'x');
  cluster.members.clear();
  const b = new EngineUnderTest(cluster, { nodeId: 'b' });
  b.engine.subscribe(new FakeReceiver(9), { group: 'g', topics: ['t'] });
  const [unread] = [...cluster.members];
  assert(unread !== undefined);
  unread.want = () => {};
  await b.pass(100);
  assert.deepEqual(b.ack(got.slice(0, 1)).failed, []);
  await b.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 1);
  // It is gone without a word: what it has committed names the others' leases.
  const c = await nextOwner(cluster, 'c');
  await c.under.pass(200);
  assert.deepEqual(c.client.take(), []);
  assert.deepEqual(c.under.ack(got.slice(1, 2)).failed, []);
  await stop(c.under, cluster);
  const d = await nextOwner(cluster, 'd');
  await d.under.pass(200);
  assert.deepEqual(d.client.take(), []);
  assert.deepEqual(d.under.ack(got.slice(2)).failed, []);
  await d.under.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 3);
});

test('payload that cannot be read again is asked for twice a second, not without a pause', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const large = Array.from({ length: 30 }, () => ({ value: 'x'.repeat(100_000) }));
  cluster.append('t', 0, ...large);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ creditMessages: 100, creditBytes: 1e8 });
  const [first, ...others] = client.take();
  assert(first !== undefined);
  under.ack(others);
  cluster.append('t', 0, ...large);
  await under.pass(100);
  under.ack(client.take());
  const { tail } = cluster;
  let asked = 0;
  let answer: () => ReturnType<typeof tail> = () => Promise.reject(coded('UNKNOWN_TOPIC', 't'));
  cluster.tail = () => {
    asked++;
    return answer();
  };
  under.nack([first]);
  await under.pass(2_000);
  assert(asked >= 3 && asked <= 5, `${asked} questions in 2 s`);
  asked = 0;
  const span = { partition: 0, startOffset: 0, endOffset: 60, nextOffset: 0, count: 0 };
  answer = () => Promise.resolve({ ...span, records: Buffer.alloc(0) });
  await under.pass(2_000);
  assert(asked >= 3 && asked <= 5, `${asked} questions in 2 s`);
  cluster.tail = tail;
  await under.pass(600);
  assert.deepEqual(
    client.take().map(({ offset, attempt }) => [offset, attempt]),
    [[0, 2]],
  );
});

test('a COMMIT at an owner that has not read what it was left settles all up to its message', async () => {
  const cluster = clusterWith(5);
  const a = new EngineUnderTest(cluster, { nodeId: 'a' });
  const asked = { mode: 'partition-ordered', leaseMs: 60_000 } as const;
  const client = await a.subscribe(asked);
  const got = client.take();
  await stop(a, cluster);
  cluster.members.clear();
  const b = new EngineUnderTest(cluster, { nodeId: 'b' });
  b.engine.subscribe(new FakeReceiver(9), { group: 'g', topics: ['t'], ...asked });
  const [unread] = [...cluster.members];
  assert(unread !== undefined);
  unread.want = () => {};
  await b.pass(100);
  assert.deepEqual(b.commit(got[3] as NonNullable<(typeof got)[0]>).failed, []);
  await b.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 4);
  assert.equal(b.engine.stats.acked, 4);
  assert.deepEqual(b.commit(got[3] as NonNullable<(typeof got)[0]>).failed, [`0/3/${LOST}`]);
});

const silences = [
  { words: 'cannot be asked', answer: () => Promise.reject(coded('BACKEND_UNAVAILABLE', 'away')) },
  { words: 'does not name the partition', answer: () => Promise.resolve([]) },
];

for (const { words, answer } of silences) {
  test(`where reading goes on is asked again of a cluster that ${words}`, async () => {
    const cluster = clusterWith(4);
    const { under, client } = await nextOwner(cluster, 'a');
    under.ack(client.take());
    await under.pass(150);
    const { offsets } = cluster;
    let asked = 0;
    cluster.offsets = () => {
      asked++;
      return answer();
    };
    cluster.logOf('t', 0).records.push(...recordsFrom(4, 10));
    cluster.logOf('t', 0).start = 7;
    cluster.append('t', 0);
    await under.pass(100);
    // The same once more while it is looked for is no second search.
    const [member] = cluster.members;
    member?.options.onError(coded('OFFSET_OUT_OF_RANGE', 'freed'), place);
    await under.pass(800);
    assert.equal(asked, 2);
    cluster.offsets = offsets;
    await under.pass(300);
    assert.deepEqual(
      client.take().map(({ offset }) => offset),
      [7, 8, 9],
    );
    assert.equal(under.engine.stats.lost.retention, 3);
  });
}

function recordsFrom(first: number, end: number): MadeRecord[] {
  return Array.from({ length: end - first }, (_, i) => ({ offset: first + i, value: 'later' }));
}

test('a partition that goes is not begun anew here, neither by a reset nor by a cut', async () => {
  const cluster = clusterWith(4);
  const { under, client } = await nextOwner(cluster, 'a');
  const got = client.take();
  const membership = under.engine.groupOf('g').members[0];
  const [member] = cluster.members;
  const revoked = member?.revoke([place]);
  await under.pass(100);
  const before = cluster.commitCount;
  assert.equal(await membership?.reset('t', 0, 2), false);
  const records = cluster.logOf('t', 0).records.splice(1);
  const gone = coded('OFFSET_OUT_OF_RANGE', 'shorter than what was read');
  member?.options.onError(gone, place);
  await under.pass(100);
  cluster.logOf('t', 0).records.push(...records);
  assert.deepEqual([cluster.commitCount, under.engine.stats.lost.cut], [before, 0]);
  assert.deepEqual(under.ack(got).failed, []);
  await under.pass(100);
  await revoked;
  assert.equal(cluster.commits.get('g/t/0')?.offset, 4);
  assert.equal([...under.engine.owned()].length, 0);
});

test('acks for which somebody waits, while the last commit of a hand-over is on its way, are in it', async () => {
  const { cluster, under, got, revoked, go } = await heldInTheLastCommit();
  const answered = under.ack(got.slice(0, 3), true);
  go();
  await quiet();
  await revoked;
  assert.equal(cluster.commits.get('g/t/0')?.offset, 3);
  assert.deepEqual(answered.failed, []);
});

test('a lease that was handed over is forgotten when its message is gone from the log', async () => {
  const cluster = clusterWith(5);
  const a = await nextOwner(cluster, 'a');
  a.client.take();
  await stop(a.under, cluster);
  cluster.logOf('t', 0).start = 3;
  const b = await nextOwner(cluster, 'b');
  cluster.append('t', 0, { value: 'of b' });
  await b.under.pass(200);
  const named = decodeMetadata(cluster.commits.get('g/t/0')?.metadata ?? '')?.leases ?? [];
  assert.deepEqual(
    named.map(({ offset }) => offset),
    [3, 4],
  );
});

test('a lease of an owner before that is extended is named with its longer end, also after a kill', async () => {
  const cluster = clusterWith(2);
  const a = await nextOwner(cluster, 'a');
  const got = a.client.take();
  await stop(a.under, cluster);
  const b = await nextOwner(cluster, 'b');
  await b.under.pass(20_000);
  assert.deepEqual(b.under.extend(got, 60_000).failed, []);
  await b.under.pass(150);
  // Gone without a word, which is all that its next owner reads.
  const c = await nextOwner(cluster, 'c');
  // Behind the end that the claim of the one before says, before the end that its last commit says.
  await c.under.pass(58_000);
  assert.deepEqual(c.client.take(), []);
  assert.deepEqual(c.under.ack(got).failed, []);
});

test('what the cluster says again and again is warned of once in ten seconds, each code by itself', async () => {
  const cluster = clusterWith(1);
  const { log, lines } = keptLog();
  const under = new EngineUnderTest(cluster, { log });
  await under.subscribe();
  const [member] = cluster.members;
  const say = (code: string) => member?.options.onError(coded(code, 'it is away'), undefined);
  for (let i = 0; i < 5; i++) say('BACKEND_UNAVAILABLE');
  say('FENCED');
  await under.pass(10_000);
  for (let i = 0; i < 5; i++) say('BACKEND_UNAVAILABLE');
  assert.deepEqual(
    lines.map(({ code }) => code).filter((code) => code !== undefined),
    ['BACKEND_UNAVAILABLE', 'FENCED', 'BACKEND_UNAVAILABLE'],
  );
});
