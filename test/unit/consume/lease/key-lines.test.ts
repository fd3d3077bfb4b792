import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../../src/base/limits.ts';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import { KeyLines } from '../../../../src/consume/lease/key-lines.ts';
import { LeaseWindow } from '../../../../src/consume/lease/lease-window.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { fetched } from '../../../support/fetched.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { EngineUnderTest } from '../engine-doubles.ts';

test('a key holds as many as it may, one more for each that goes on, and others are their own', () => {
  const lines = new KeyLines(3);
  lines.begin(7);
  assert.deepEqual(
    [1, 2, 3, 4].map((offset) => lines.hold(7, offset)),
    [true, true, true, false],
  );
  lines.begin(8);
  assert.equal(lines.hold(8, 5), true);
  assert.equal(lines.held, 4);
  assert.equal(lines.next(7), 1);
  assert.deepEqual([lines.hold(7, 4), lines.hold(7, 6)], [true, false]);
  assert.deepEqual(
    [2, 3, 4].map(() => lines.next(7)),
    [2, 3, 4],
  );
  assert.deepEqual([lines.next(7), lines.isBusy(7), lines.held], [-1, false, 1]);
});

test('behind a key with its most held nothing is read on, and an ack lets one more in', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const { heldPerKeyMax } = limits;
  const hot = (i: number) => ({ value: `hot ${i}`, key: 1 });
  // One is out, so many wait behind it, and the next one finds no room.
  cluster.append('t', 0, ...Array.from({ length: heldPerKeyMax + 2 }, (_, i) => hot(i)));
  cluster.append('t', 0, { value: 'other', key: 2 });
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ mode: 'key-ordered', creditMessages: 5_000 });
  await under.pass(100);
  const [first, ...more] = client.take();
  assert.deepEqual([first?.value, more.length], ['hot 0', 0]);
  const [{ partition } = assert.fail('no partition')] = [...under.engine.owned()];
  assert.deepEqual([partition.window.keys?.held, partition.window.fresh], [heldPerKeyMax, 2]);
  under.ack([first as NonNullable<typeof first>]);
  await under.pass(20);
  const values = client.take().map(({ value }) => value);
  assert.deepEqual(values.sort(), ['hot 1', 'other']);
  assert.deepEqual([partition.window.keys?.held, partition.window.fresh], [heldPerKeyMax, 0]);
});

test('of a key that an owner before has leased several messages, all are finished before the next', () => {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'key-ordered', floor: 0, heldMax: 10, timers });
  // The group was in shared mode there.
  for (const offset of [0, 1]) window.inherited.set(offset, { run: 7, attempt: 1, dueMs: 9 });
  window.take(fetched([0, 1, 2, 3].map((offset) => ({ offset, key: 5 }))));
  const most = { messagesMax: 10, bytesMax: 1e6, firstBytesMax: 1e6 };
  const grant = { ...most, run: 8, sub: 1, dueMs: 9, staleBeforeMs: 0 };
  assert.equal(window.pick(grant), 0);
  window.settle(1, 7);
  assert.equal(window.pick(grant), 0);
  window.settle(0, 7);
  assert.equal(window.pick(grant), 1);
  assert.equal(window.block.offsetOf(window.picked[0] as number), 2);
  window.settle(2, 8);
  assert.equal(window.pick(grant), 1);
  window.settle(3, 8);
  assert.deepEqual([window.unfinished, window.keys?.size], [0, 0]);
});
