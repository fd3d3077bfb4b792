import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { type Assigner, AssignerProtocol } from 'kafkajs';
import { cleanUp } from '../support/clean-up.ts';
import { GroupLog } from '../support/group-log.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { type KafkaCluster, kafkaCluster } from '../support/kafka-cluster.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';
import { FakeClock } from '../unit/backend/embedded/doubles.ts';

const skip = skipWithoutKafka();
const timeoutMs = 60_000;
const brokers = skip === false ? await sharedKafka() : '';

interface Room {
  readonly brokers: string;
  readonly topic: string;
  readonly group: string;
  readonly cluster: KafkaCluster;
}

async function room(partitions: number): Promise<Room> {
  const topic = uniqueTopic('group');
  const cluster = kafkaCluster(brokers);
  await cluster.topics.create({ name: topic, partitions, replicationFactor: 1 });
  return { brokers, topic, group: uniqueTopic('g'), cluster };
}

async function fill({ brokers, topic }: Room, partition: number, values: readonly string[]) {
  const producer = kafkaClient(brokers).producer();
  await producer.connect();
  const messages = values.map((value) => ({ partition, value, key: value.slice(0, 2) }));
  await producer.send({ topic, messages });
  await producer.disconnect();
}

/**
 * Leads the group with a client that has no partition assigned to anybody, until the call of what
 * is returned: then, at the next rebalance, all partitions go to the member with that client id.
 */
async function lead({ brokers, topic, group }: Room): Promise<(clientId: string) => void> {
  let heir: string | undefined;
  const { MemberMetadata, MemberAssignment } = AssignerProtocol;
  const assigner: Assigner = {
    name: 'cooperative-sticky',
    version: 1,
    protocol: ({ topics }) => {
      const metadata = MemberMetadata.encode({ version: 1, topics, userData: Buffer.alloc(0) });
      return { name: 'cooperative-sticky', metadata };
    },
    assign: async ({ members }) =>
      members.map(({ memberId }) => {
        const isHeir = heir !== undefined && memberId.startsWith(heir);
        const assignment = isHeir ? { [topic]: [0, 1] } : {};
        const given = { version: 1, assignment, userData: Buffer.alloc(0) };
        return { memberId, memberAssignment: MemberAssignment.encode(given) };
      }),
  };
  const consumer = kafkaClient(brokers).consumer({
    groupId: group,
    partitionAssigners: [() => assigner],
    heartbeatInterval: 200,
    maxWaitTimeInMs: 200,
  });
  cleanUp(() => consumer.disconnect());
  const joined = new Promise((resolve) => consumer.on(consumer.events.GROUP_JOIN, resolve));
  await consumer.connect();
  await consumer.subscribe({ topics: [topic] });
  await consumer.run({ eachMessage: async () => undefined });
  await joined;
  return (clientId) => {
    heir = clientId;
  };
}

const numbered = (count: number): string[] => Array.from({ length: count }, (_, i) => `v${i}`);

describe('a member of a group on Kafka', { skip }, () => {
  test('gets partitions, records against what it wants, and its commits with metadata', async () => {
    const at = await room(2);
    await fill(at, 0, numbered(1000));
    const log = new GroupLog();
    const member = at.cluster.consumers.join(log.options(at.group, [at.topic]));
    await log.has(2, timeoutMs);
    const places = [0, 1].map((partition) => ({ topic: at.topic, partition }));
    assert.deepEqual(
      (await member.committed(places)).map(({ offset, metadata }) => [offset, metadata]),
      [
        [undefined, ''],
        [undefined, ''],
      ],
    );
    member.start(at.topic, 0, 10);
    member.want(at.topic, 0, 500);
    await until(() => log.count > 0, { timeoutMs });
    const [first] = log.batches;
    assert.equal(first?.offsets[0], 10);
    assert.ok((first?.records.length ?? 0) < 600, 'a batch ends with the bytes that were wanted');
    assert.equal(first?.records.length, first?.starts[first.count]);
    member.want(at.topic, 0, 10_000_000);
    await until(() => log.count === 990, { timeoutMs });
    assert.deepEqual(log.values(), numbered(1000).slice(10));
    assert.equal(log.batches.at(-1)?.endOffset, 1000);
    const metadata = `x${'m'.repeat(3000)}`;
    await member.commit([
      { topic: at.topic, partition: 0, offset: 700, metadata },
      { topic: at.topic, partition: 1, offset: 0, metadata: '' },
    ]);
    const found = await member.committed([...places].reverse());
    assert.deepEqual(
      found.map(({ partition, offset, metadata }) => [partition, offset, metadata]),
      [
        [1, 0, ''],
        [0, 700, metadata],
      ],
    );
    const described = await at.cluster.consumers.describeGroup(at.group);
    assert.equal(described?.state, 'stable');
    assert.equal(described?.members[0]?.clientId, 'node-a');
    assert.equal(described?.members[0]?.partitions.length, 2);
    assert.deepEqual(
      described?.partitions.map(({ partition, lag }) => [partition, lag]),
      [
        [0, 300],
        [1, 0],
      ],
    );
  });

  test('jumps, and says when an offset is not in the log', async () => {
    const at = await room(1);
    await fill(at, 0, numbered(100));
    const log = new GroupLog();
    const member = at.cluster.consumers.join(log.options(at.group, [at.topic]));
    await log.has(1, timeoutMs);
    member.start(at.topic, 0, 5000);
    member.want(at.topic, 0, 1000);
    await until(() => log.errors.some(({ place }) => place !== undefined), { timeoutMs });
    const refused = log.errors.find(({ place }) => place !== undefined);
    assert.equal(refused?.error.code, 'OFFSET_OUT_OF_RANGE');
    for (const from of [50, 0, 90]) {
      log.batches.length = 0;
      member.start(at.topic, 0, from);
      assert.equal(log.count, 0);
      member.want(at.topic, 0, 1_000_000);
      await until(() => log.count === 100 - from, { timeoutMs });
      assert.deepEqual(log.values(), numbered(100).slice(from));
    }
  });

  test('shares partitions with another, who drains before they go', async () => {
    const at = await room(4);
    const first = new GroupLog();
    const member = at.cluster.consumers.join(first.options(at.group, [at.topic]));
    await first.has(4, timeoutMs);
    for (let i = 0; i < 4; i++) member.start(at.topic, i, 0);
    let drained = false;
    first.onRevoking = (partitions, done) => {
      // What a revocation waits for: the floor of what was drained.
      const entries = partitions.map((place) => ({ ...place, offset: 0, metadata: 'drained' }));
      void member.commit(entries).then(() => {
        drained = true;
        done();
      });
    };
    const other = kafkaCluster(at.brokers);
    const second = new GroupLog();
    const joined = other.consumers.join(second.options(at.group, [at.topic], 'node-b'));
    await second.has(2, timeoutMs);
    await first.has(2, timeoutMs);
    assert.ok(drained);
    assert.equal(new Set([...first.assigned, ...second.assigned]).size, 4);
    const [mine = ''] = second.assigned;
    const partition = Number(mine.split('/')[1]);
    const [committed] = await joined.committed([{ topic: at.topic, partition }]);
    assert.equal(committed?.metadata, 'drained');
    // What went is fenced, what stayed goes on.
    const foreign = { topic: at.topic, partition, offset: 1, metadata: '' };
    await assert.rejects(member.commit([foreign]), { code: 'FENCED' });
    await fill(at, partition, ['late']);
    joined.start(at.topic, partition, 0);
    joined.want(at.topic, partition, 1000);
    await until(() => second.count === 1, { timeoutMs });
    await joined.close();
    await first.has(4, timeoutMs);
    assert.deepEqual(second.lost, []);
    assert.equal(second.assigned.size, 0, 'all were given back before the member left');
  });

  test('a thread that ends without closing its member leaves the group', async () => {
    const at = await room(2);
    const native = new URL('../../src/native/kafka-group.js', import.meta.url).href;
    const worker = new Worker(
      `const { workerData, parentPort } = require('node:worker_threads');
       import(workerData.native).then(({ openKafkaGroup }) => {
         openKafkaGroup({
           config: { 'bootstrap.servers': workerData.brokers, 'session.timeout.ms': '45000' },
           group: workerData.group,
           topics: [workerData.topic],
           onAssigned: (places) => parentPort.postMessage(places.length),
           onRevoking() {}, onLost() {}, onRecords() {}, onError() {},
         });
         setInterval(() => {}, 1000);
       });`,
      { eval: true, workerData: { native, brokers, group: at.group, topic: at.topic } },
    );
    const assigned = await new Promise((resolve, reject) => {
      worker.on('message', (places: number) => places > 0 && resolve(places));
      worker.on('error', reject);
    });
    assert.equal(assigned, 2);
    await worker.terminate();
    // Its session would last for 45 s.
    const log = new GroupLog();
    at.cluster.consumers.join(log.options(at.group, [at.topic]));
    await log.has(2, timeoutMs);
  });

  test('a surplus member is told that it has nothing', async () => {
    const at = await room(1);
    const first = new GroupLog();
    at.cluster.consumers.join(first.options(at.group, [at.topic]));
    await first.has(1, timeoutMs);
    const second = new GroupLog();
    kafkaCluster(at.brokers).consumers.join(second.options(at.group, [at.topic], 'node-b'));
    await until(() => second.rounds.length > 0, { timeoutMs });
    assert.equal(first.assigned.size + second.assigned.size, 1);
  });

  test('joins again when its group settled with nobody having a partition', async () => {
    const at = await room(2);
    const assignAllTo = await lead(at);
    const clock = new FakeClock();
    const log = new GroupLog();
    const cluster = kafkaCluster(brokers, clock);
    cluster.consumers.join(log.options(at.group, [at.topic]));
    await until(() => log.rounds.length > 0, { timeoutMs });
    const described = await at.cluster.consumers.describeGroup(at.group);
    assert.equal(described?.state, 'stable');
    assert.deepEqual(
      described?.members.map(({ partitions }) => partitions),
      [[], []],
    );
    assignAllTo('node-a');
    clock.advance(10_000);
    await log.has(2, timeoutMs);
  });

  test('loses partitions that it does not give up in time', async () => {
    const at = await room(2);
    const first = new GroupLog();
    first.onRevoking = () => undefined;
    const join = { ...first.options(at.group, [at.topic]), revokeTimeoutMs: 300 };
    const member = at.cluster.consumers.join(join);
    await first.has(2, timeoutMs);
    const second = new GroupLog();
    kafkaCluster(at.brokers).consumers.join(second.options(at.group, [at.topic], 'node-b'));
    await second.has(1, timeoutMs);
    assert.equal(first.lost.length, 1);
    assert.ok(first.errors.some(({ error }) => error.code === 'REVOKE_TIMEOUT'));
    const [lost = ''] = first.lost;
    const entry = { topic: at.topic, partition: Number(lost.split('/')[1]), offset: 0 };
    await assert.rejects(member.commit([{ ...entry, metadata: '' }]), { code: 'FENCED' });
  });

  test('resets and deletes a group only while it has no member', async () => {
    const at = await room(1);
    const { consumers } = at.cluster;
    await fill(at, 0, numbered(5));
    const log = new GroupLog();
    const member = consumers.join(log.options(at.group, [at.topic]));
    await log.has(1, timeoutMs);
    await member.commit([{ topic: at.topic, partition: 0, offset: 1, metadata: '' }]);
    const entry = { topic: at.topic, partition: 0, offset: 3, metadata: 'by hand' };
    await assert.rejects(consumers.resetOffsets(at.group, [entry]), { code: 'GROUP_CONFLICT' });
    await assert.rejects(consumers.deleteGroup(at.group), { code: 'GROUP_CONFLICT' });
    await member.close();
    await consumers.resetOffsets(at.group, [entry]);
    const described = await consumers.describeGroup(at.group);
    assert.equal(described?.state, 'empty');
    const [one] = described?.partitions ?? [];
    assert.deepEqual([one?.offset, one?.metadata, one?.lag], [3, 'by hand', 2]);
    const listed = await consumers.listGroups(at.group);
    assert.deepEqual(listed, [{ group: at.group, state: 'empty' }]);
    const places = [{ topic: at.topic, partition: 0 }];
    assert.deepEqual(await consumers.positions(places, 'beginning'), [0]);
    assert.deepEqual(await consumers.positions(places, 'end'), [5]);
    assert.deepEqual(await consumers.positions(places, { timeMs: 1 }), [0]);
    await consumers.deleteGroup(at.group);
    assert.equal(await consumers.describeGroup(at.group), undefined);
    await assert.rejects(consumers.deleteGroup(at.group), { code: 'UNKNOWN_GROUP' });
  });
});
