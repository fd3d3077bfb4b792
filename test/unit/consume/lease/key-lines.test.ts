import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../../src/base/limits.ts';
import { KeyLines } from '../../../../src/consume/lease/key-lines.ts';
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
