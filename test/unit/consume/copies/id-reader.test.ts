import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DedupeWindow } from '../../../../src/consume/copies/dedupe.ts';
import { IdReader } from '../../../../src/consume/copies/id-reader.ts';
import { fetched } from '../../../support/fetched.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { FakeClock } from '../../backend/embedded/doubles.ts';
import { EngineUnderTest, quiet } from '../engine-doubles.ts';

function idOf(n: number): Buffer {
  const id = Buffer.alloc(16);
  id.writeUInt32BE(n, 12);
  return id;
}

function clusterWith(messages: number, bytes = 1): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const value = 'x'.repeat(bytes);
  const records = Array.from({ length: messages }, (_, i) => ({ value, id: idOf(i) }));
  cluster.append('t', 0, ...records);
  return cluster;
}

/** Which of these ids the window knows as seen at another place. */
function known(window: DedupeWindow, ids: readonly number[]): number[] {
  const drop = new Uint8Array(ids.length);
  const again = ids.map((n, i) => ({ offset: 1e9 + i, id: idOf(n) }));
  window.note(fetched(again), 0, drop);
  return ids.filter((_, i) => drop[i] === 1);
}

const place = { topic: 't', partition: 0 };

test('what lies before the floor is known again, and nothing behind it', async () => {
  const cluster = clusterWith(1_000);
  const window = new DedupeWindow();
  await new IdReader(cluster, new FakeClock()).before(place, 700, window);
  assert.deepEqual(known(window, [0, 1, 63, 64, 500, 699, 700, 999]), [0, 1, 63, 64, 500, 699]);
});

test('the last ones are read, as far as the bytes go, and what retention left', async () => {
  const cluster = clusterWith(1_500, 20_000);
  const window = new DedupeWindow();
  await new IdReader(cluster, new FakeClock()).before(place, 1_500, window);
  const [oldest = 0] = known(
    window,
    Array.from({ length: 1_500 }, (_, i) => i),
  );
  assert(oldest > 900 && oldest < 1_150, `from ${oldest} on`);
  const freed = clusterWith(300);
  freed.logOf('t', 0).start = 250;
  const rest = new DedupeWindow();
  await new IdReader(freed, new FakeClock()).before(place, 300, rest);
  assert.deepEqual(known(rest, [10, 249, 250, 299]), [250, 299]);
});

test('a cluster that does not answer holds nobody up for longer than two seconds', async () => {
  const cluster = clusterWith(10);
  const clock = new FakeClock();
  const reader = new IdReader(cluster, clock);
  cluster.tail = () => new Promise(() => {});
  let done = 0;
  for (let i = 0; i < 10; i++) {
    void reader.before(place, 10, new DedupeWindow()).then(() => done++);
  }
  await quiet();
  assert.equal(done, 0);
  clock.advance(2_000);
  await quiet();
  assert.equal(done, 10);
  cluster.tail = () => Promise.reject(new RangeError('away'));
  await new IdReader(cluster, clock).before(place, 10, new DedupeWindow());
});

test('a copy that a crash has made is known after the restart, and not delivered', async () => {
  const cluster = clusterWith(20);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  under.ack(client.take());
  await under.pass(200);
  // The node is gone without a word. Its outbox sends again what it had no verdict of.
  cluster.members.clear();
  cluster.append('t', 0, { value: 'x', id: idOf(7) }, { value: 'new', id: idOf(20) });
  const next = new EngineUnderTest(cluster, { nodeId: 'node-2' });
  const other = await next.subscribe();
  assert.deepEqual(
    other.take().map(({ value }) => value),
    ['new'],
  );
  assert.equal(next.engine.stats.duplicates, 1);
  // Who sets the group back wants everything, whatever was seen.
  next.engine.groupOf('g').forgetIds('t', 0);
  await next.engine.groupOf('g').members[0]?.reset('t', 0, 20);
  await next.pass(100);
  assert.deepEqual(
    other.take().map(({ offset }) => offset),
    [20, 21],
  );
});

test('ids of a partition that went are forgotten with it', async () => {
  const cluster = clusterWith(3);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  under.ack(client.take());
  await under.pass(150);
  // What is forgotten is read back when the partition comes again, which fails here.
  cluster.tail = () => Promise.reject(new RangeError('away'));
  const [member] = cluster.members;
  member?.lose();
  member?.setTopics(['t']);
  await under.pass(100);
  cluster.append('t', 0, { value: 'a copy', id: idOf(0) });
  await under.pass(100);
  assert.deepEqual(
    client.take().map(({ value }) => value),
    ['a copy'],
  );
});
