import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import { LeaseWindow } from '../../../../src/consume/lease/lease-window.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { ConsumeStats } from '../../../../src/consume/partition/consume-stats.ts';
import { GapReader } from '../../../../src/consume/partition/gap-reader.ts';
import { Losses } from '../../../../src/consume/partition/losses.ts';
import { ConsumePartition } from '../../../../src/consume/partition/partition.ts';
import { fetched } from '../../../support/fetched.ts';
import { keptLog } from '../../../support/kept-log.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { EngineUnderTest, ScriptedPolicy } from '../engine-doubles.ts';

/** Ten messages, given out, whose payload was dropped and which all failed. */
function failedWithoutPayload(cluster: MemoryCluster) {
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...Array.from({ length: 10 }, (_, i) => ({ value: `m${i}` })));
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 1, timers });
  window.take(fetched(cluster.logOf('t', 0).records));
  const most = { messagesMax: 10, bytesMax: 1e6, firstBytesMax: 1e6 };
  window.pick({ ...most, run: 1, sub: 1, dueMs: 1_000, staleBeforeMs: 0 });
  window.shed(0);
  const { block } = window;
  for (let i = 0; i < 10; i++) window.retry(block, i, 0, 0);
  const policy = new ScriptedPolicy();
  const owner = Buffer.alloc(8);
  const place = { cluster: 0, topic: 't', partition: 0 } as const;
  return new ConsumePartition({ ...place, window, policy, owner, epoch: 1 });
}

function readerOf(cluster: MemoryCluster) {
  const { log, lines } = keptLog();
  const stats = new ConsumeStats();
  return { gaps: new GapReader(cluster, new Losses('g', { log, stats })), stats, lines };
}

test('what retention and compaction took before a redelivery is settled, counted and said', async () => {
  const cluster = new MemoryCluster();
  const partition = failedWithoutPayload(cluster);
  const { gaps, stats, lines } = readerOf(cluster);
  const log = cluster.logOf('t', 0);
  log.start = 4;
  const { tail } = cluster;
  cluster.tail = async (request) => {
    const from = Math.max(request.position, log.start);
    if (request.position < log.start) return tail.call(cluster, request);
    const some = log.records.filter(({ offset }) => offset >= from && offset !== 6);
    const { records } = fetched(some);
    const span = { partition: 0, startOffset: log.start, endOffset: 10, nextOffset: 10 };
    return { ...span, count: some.length, records };
  };
  const block = partition.window.missing();
  assert(block !== undefined);
  await gaps.fill(partition, block);
  assert.deepEqual(stats.lost, { retention: 4, compaction: 0, cut: 0 });
  await gaps.fill(partition, block);
  assert.deepEqual(stats.lost, { retention: 4, compaction: 1, cut: 0 });
  assert.deepEqual(
    lines.map((line) => [line['group'], line['topic'], line['cause'], line['messages']]),
    [
      ['g', 't', 'retention', 4],
      ['g', 't', 'compaction', 1],
    ],
  );
  const { window } = partition;
  assert.deepEqual([window.merger.floor, window.ready, window.missing()], [4, 5, undefined]);
});

test('a record is given whole, told to be gone, or still expected', async () => {
  const cluster = new MemoryCluster();
  const partition = failedWithoutPayload(cluster);
  const { gaps, stats } = readerOf(cluster);
  const record = await gaps.record(partition, 3);
  assert.equal(record?.toString('latin1', 21), 'm3');
  await assert.rejects(gaps.record(partition, 10), { code: 'BACKEND_UNAVAILABLE' });
  assert.deepEqual(stats.lost, { retention: 0, compaction: 0, cut: 0 });
  cluster.logOf('t', 0).start = 4;
  assert.equal(await gaps.record(partition, 3), undefined);
  assert.deepEqual(stats.lost, { retention: 1, compaction: 0, cut: 0 });
});

test('what was found gone before a redelivery is committed, though nobody acks anything more', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const large = Array.from({ length: 30 }, () => ({ value: 'x'.repeat(100_000) }));
  cluster.append('t', 0, ...large);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ creditMessages: 100, creditBytes: 1e8 });
  const [first, ...others] = client.take();
  assert(first !== undefined);
  under.ack(others);
  // With these the payload of the first one is dropped.
  cluster.append('t', 0, ...large);
  await under.pass(100);
  under.ack(client.take());
  const { tail } = cluster;
  cluster.tail = () => Promise.reject(new RangeError('away'));
  under.nack([first]);
  await under.pass(200);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 0);
  cluster.tail = tail;
  cluster.logOf('t', 0).start = 1;
  await under.pass(700);
  assert.equal(under.engine.stats.lost.retention, 1);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 60);
});
