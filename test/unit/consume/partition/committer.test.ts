import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GroupMember, OffsetCommit } from '../../../../src/backend/consumer-port.ts';
import { coded } from '../../../../src/base/errors.ts';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import { LeaseWindow } from '../../../../src/consume/lease/lease-window.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import {
  Committer,
  type CommitWaiter,
  inParts,
} from '../../../../src/consume/partition/committer.ts';
import { ConsumeStats } from '../../../../src/consume/partition/consume-stats.ts';
import { ConsumePartition } from '../../../../src/consume/partition/partition.ts';
import { FakeClock } from '../../backend/embedded/doubles.ts';
import { quiet, ScriptedPolicy } from '../engine-doubles.ts';

function partitionOf(partition: number): ConsumePartition {
  const timers = new BlockTimers<WindowState>(0);
  return new ConsumePartition({
    cluster: 0,
    topic: 't',
    partition,
    window: new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 1, timers }),
    policy: new ScriptedPolicy(),
    owner: Buffer.alloc(8),
    epoch: 1,
  });
}

const unsaidError = coded('BACKEND_UNAVAILABLE', 'its map cannot be written');

/** A committer whose commits wait for `go`, and whose maps wait for `write`. */
class CommitterUnderTest {
  readonly clock = new FakeClock();
  readonly stats = new ConsumeStats();
  readonly partitions = [partitionOf(0), partitionOf(1)] as const;
  /** Floors as they reached the cluster: `partition:offset`. */
  readonly landed: string[] = [];
  /** Codes of faults as they began and ended. */
  readonly faults: (string | undefined)[] = [];
  /** Set: the map of the next commit is a large one, which is written when this is called. */
  writes: (() => void)[] = [];
  isLarge = false;
  refusal: Error | undefined;
  /** Partitions whose map cannot be written. */
  readonly unsaid = new Set<number>();
  /** Requests wait for it. */
  hold: Promise<void> = Promise.resolve();
  attempts = 0;
  metadata = '';
  readonly committer: Committer;

  constructor(commitAcks = 10_000) {
    const commit = async (entries: readonly OffsetCommit[]): Promise<void> => {
      this.attempts++;
      await this.hold;
      if (this.refusal !== undefined) throw this.refusal;
      this.landed.push(entries.map(({ partition, offset }) => `${partition}:${offset}`).join(' '));
    };
    this.committer = new Committer({
      clock: this.clock,
      member: { commit } as unknown as GroupMember,
      stats: this.stats,
      commitMs: 100,
      commitAcks,
      partitions: () => this.partitions,
      encode: ({ topic, partition, window }) => {
        const entry = { topic, partition, offset: window.merger.floor, metadata: this.metadata };
        if (this.unsaid.has(partition)) return Promise.reject(unsaidError);
        if (!this.isLarge) return entry;
        this.isLarge = false;
        return new Promise((resolve) => this.writes.push(() => resolve(entry)));
      },
      onCommitted: () => {},
      onFault: ({ commitFault }) => this.faults.push(commitFault?.code),
    });
  }

  /** The floor of a partition rises by acks. */
  ack(index: 0 | 1, count: number): void {
    const { merger } = this.partitions[index].window;
    merger.confirm(merger.floor, count);
    this.committer.note(this.partitions[index], count);
  }

  async pass(ms: number): Promise<void> {
    this.clock.advance(ms);
    await quiet();
  }
}

function waiterOf(): CommitWaiter & { told: boolean[] } {
  const told: boolean[] = [];
  return { left: 0, failed: false, told, done: (failed) => told.push(failed) };
}

test('all acks of an interval share one commit, which begins when it is over', async () => {
  const under = new CommitterUnderTest();
  for (let i = 0; i < 50; i++) {
    under.ack(0, 3);
    under.ack(1, 2);
    if (i % 5 === 0) await under.pass(9);
  }
  assert.deepEqual(under.landed, []);
  await under.pass(9);
  assert.deepEqual(under.landed, []);
  await under.pass(1);
  assert.deepEqual(under.landed, ['0:150 1:100']);
  assert.equal(under.stats.commits, 1);
  await under.pass(1_000);
  assert.equal(under.stats.commits, 1, 'nothing changed, nothing is committed');
});

test('ten thousand acks are committed at once, whatever is left of the interval', async () => {
  const under = new CommitterUnderTest();
  under.ack(0, 9_999);
  await under.pass(99);
  assert.deepEqual(under.landed, []);
  const early = new CommitterUnderTest();
  early.ack(0, 9_999);
  await quiet();
  assert.deepEqual(early.landed, []);
  early.ack(1, 1);
  await quiet();
  assert.deepEqual(early.landed, ['0:9999 1:1']);
});

test('a commit that would begin while a flush waits for a large map comes after it', async () => {
  const under = new CommitterUnderTest();
  under.ack(0, 5);
  under.isLarge = true;
  const flushed = under.committer.flush([under.partitions[0]]);
  await quiet();
  under.ack(0, 5);
  under.ack(1, 1);
  await under.pass(300);
  assert.deepEqual(under.landed, [], 'the older floor would come last');
  for (const write of under.writes.splice(0)) write();
  await flushed;
  await under.pass(100);
  assert.deepEqual(under.landed, ['0:5', '0:10 1:1']);
});

test('flushes wait for each other and for a commit under way, and one that failed says so', async () => {
  const under = new CommitterUnderTest();
  under.ack(0, 1);
  under.isLarge = true;
  await under.pass(100);
  under.ack(0, 1);
  const one = under.committer.flush([under.partitions[0]]);
  const two = under.committer.flush([under.partitions[1]]);
  await quiet();
  assert.deepEqual(under.landed, []);
  for (const write of under.writes.splice(0)) write();
  await Promise.all([one, two]);
  assert.deepEqual(under.landed, ['0:1', '0:2', '1:0']);
  under.refusal = new RangeError('refused');
  await assert.rejects(under.committer.flush([under.partitions[0]]), under.refusal);
  under.refusal = undefined;
  await under.pass(500);
  assert.deepEqual(under.landed.at(-1), '0:2', 'what was not taken is tried again');
  assert.equal(under.stats.commitFailures, 1);
});

test('a partition that was lost while another was encoded is left out, and its waiter told', async () => {
  const under = new CommitterUnderTest();
  const [lost, kept] = under.partitions;
  const waiters = { lost: waiterOf(), kept: waiterOf() };
  under.ack(0, 4);
  under.ack(1, 4);
  under.committer.wait(lost, waiters.lost);
  under.committer.wait(kept, waiters.kept);
  under.isLarge = true;
  await under.pass(100);
  lost.isClosed = true;
  under.committer.forget(lost);
  for (const write of under.writes.splice(0)) write();
  await quiet();
  assert.deepEqual(under.landed, ['1:4']);
  assert.deepEqual([waiters.lost.told, waiters.kept.told], [[true], [false]]);
});

/** A request that goes when the test says so. */
function held(under: CommitterUnderTest): () => void {
  let go = (): void => {};
  under.hold = new Promise((resolve) => {
    go = resolve;
  });
  return go;
}

const lateOnes = [
  { words: 'somebody waits for it', late: (under: CommitterUnderTest) => waitAnew(under) },
  { words: 'it is ten thousand acks', late: (under: CommitterUnderTest) => under.ack(0, 10_000) },
];

function waitAnew(under: CommitterUnderTest): void {
  under.ack(0, 1);
  under.committer.wait(under.partitions[0], waiterOf());
}

for (const { words, late } of lateOnes) {
  test(`what comes while a flush is on its way is left to who flushes next, also when ${words}`, async () => {
    const under = new CommitterUnderTest();
    const { committer, partitions } = under;
    const first = [partitions[0]];
    under.ack(0, 5);
    const go = held(under);
    const flushed = committer.flush(first);
    await quiet();
    late(under);
    go();
    const floor = partitions[0].window.merger.floor;
    await flushed.then(() => {
      // A commit that had begun behind the back of this one would fail in its place.
      under.refusal = new RangeError('the last one');
      return assert.rejects(committer.flush(first), under.refusal);
    });
    assert.equal(under.attempts, 2);
    under.refusal = undefined;
    await under.pass(500);
    assert.deepEqual(under.landed.at(-1), `0:${floor}`);
    assert.equal(under.stats.commitFailures, 1);
  });
}

test('who waits after a flush of which nobody makes another has the next turn, not the interval', async () => {
  const under = new CommitterUnderTest();
  const waiter = waiterOf();
  under.ack(0, 5);
  const go = held(under);
  const flushed = under.committer.flush([under.partitions[0]]);
  await quiet();
  under.ack(0, 1);
  under.committer.wait(under.partitions[0], waiter);
  go();
  await flushed;
  await under.pass(1);
  assert.deepEqual([under.landed, waiter.told], [['0:5', '0:6'], [false]]);
});

test('a commit that is FENCED while somebody waits is tried again in the interval, not at once', async () => {
  const under = new CommitterUnderTest();
  const waiter = waiterOf();
  under.refusal = coded('FENCED', 'the partition is not of this member');
  under.ack(0, 1);
  under.committer.wait(under.partitions[0], waiter);
  for (let i = 0; i < 100; i++) await under.pass(10);
  assert(under.attempts >= 9 && under.attempts <= 11, `${under.attempts} commits in a second`);
  under.refusal = undefined;
  await under.pass(100);
  assert.deepEqual(waiter.told, [false]);
});

test('a partition whose commit cannot be said holds back no other, and who waits for it is told later', async () => {
  const under = new CommitterUnderTest();
  const waiters = [waiterOf(), waiterOf()] as const;
  under.unsaid.add(0);
  for (const i of [0, 1] as const) {
    under.ack(i, 3);
    under.committer.wait(under.partitions[i], waiters[i]);
  }
  await under.pass(100);
  assert.deepEqual(under.landed, ['1:3']);
  assert.deepEqual([waiters[0].told, waiters[1].told], [[], [false]]);
  assert.deepEqual(under.faults, ['BACKEND_UNAVAILABLE']);
  assert.equal(under.stats.commitFailures, 1);
  under.unsaid.clear();
  await under.pass(500);
  assert.deepEqual(under.landed, ['1:3', '0:3']);
  assert.deepEqual(under.faults, ['BACKEND_UNAVAILABLE', undefined]);
  assert.deepEqual(waiters[0].told, [false]);
});

test('who comes while another partition is being encoded is told after the commit that has his acks', async () => {
  const under = new CommitterUnderTest();
  const [first, second] = under.partitions;
  const waiters = [waiterOf(), waiterOf()] as const;
  under.ack(0, 1);
  under.ack(1, 1);
  under.isLarge = true;
  await under.pass(100);
  // The first is being encoded: what comes for it is in the next commit, and what comes for the
  // second is in this one.
  under.ack(0, 1);
  under.ack(1, 1);
  under.committer.wait(first, waiters[0]);
  under.committer.wait(second, waiters[1]);
  const go = held(under);
  for (const write of under.writes.splice(0)) write();
  await quiet();
  assert.deepEqual([waiters[0].told, waiters[1].told], [[], []]);
  go();
  await quiet();
  assert.deepEqual(under.landed, ['0:1 1:2', '0:2']);
  assert.deepEqual([waiters[0].told, waiters[1].told], [[false], [false]]);
});

test('a partition that was lost while an earlier request was on its way is left out of the next', async () => {
  const under = new CommitterUnderTest();
  const [kept, lost] = under.partitions;
  const waiter = waiterOf();
  under.metadata = 'm'.repeat(400_000);
  under.ack(0, 1);
  under.ack(1, 1);
  under.committer.wait(lost, waiter);
  const go = held(under);
  await under.pass(100);
  lost.isClosed = true;
  under.committer.forget(lost);
  go();
  await quiet();
  assert.deepEqual([under.landed, waiter.told], [['0:1'], [true]]);
  assert.equal(kept.committedFloor, 1);
});

test('a request is split by the characters of its metadata, whatever number of partitions that is', () => {
  const entry = (partition: number, chars: number) =>
    [partition, { topic: 't', partition, offset: 0, metadata: 'm'.repeat(chars) }] as const;
  const partsOf = (chars: readonly number[]): number[][] =>
    [...inParts(chars.map((count, i) => entry(i, count)))].map((part) => part.map(([i]) => i));
  assert.deepEqual(partsOf([]), []);
  assert.deepEqual(partsOf([3_000, 3_000]), [[0, 1]]);
  assert.deepEqual(partsOf([600_000, 0, 600_000]), [[0], [1], [2]]);
  const many = partsOf(Array.from({ length: 400 }, () => 3_000));
  assert.equal(many.length, 3);
  assert.deepEqual(
    many.flat(),
    Array.from({ length: 400 }, (_, i) => i),
  );
  for (const part of many) assert(part.length * 3_201 <= 512 * 1024);
});

test('who waits over commits that fail is told in the order in which he came', async () => {
  const under = new CommitterUnderTest();
  const [partition] = under.partitions;
  const told: string[] = [];
  const wait = (name: string): void => {
    const done = (failed: boolean) => void told.push(`${name} ${failed}`);
    under.committer.wait(partition, { left: 0, failed: false, done });
  };
  under.refusal = coded('BACKEND_UNAVAILABLE', 'away');
  under.ack(0, 3);
  for (const name of ['a', 'b', 'c']) wait(name);
  await under.pass(100);
  wait('d');
  await under.pass(500);
  wait('e');
  assert.deepEqual(told, []);
  under.refusal = undefined;
  await under.pass(500);
  assert.deepEqual(told, ['a false', 'b false', 'c false', 'd false', 'e false']);
});
