import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import { LeaseWindow, settleResult } from '../../../../src/consume/lease/lease-window.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { fetched } from '../../../support/fetched.ts';

const grant = {
  messagesMax: 100,
  bytesMax: 1e6,
  firstBytesMax: 1e6,
  run: 1,
  sub: 1,
  dueMs: 9,
  staleBeforeMs: 0,
};

/** A window, and how often each of its fetches was given back. */
function windowOf(...fetches: readonly (readonly number[])[]) {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 10, timers });
  const released = fetches.map(() => 0);
  fetches.forEach((offsets, i) => {
    const release = (): void => {
      released[i] = (released[i] as number) + 1;
    };
    window.take(
      fetched(
        offsets.map((offset) => ({ offset })),
        { release },
      ),
    );
  });
  return { window, released };
}

test('payload is given back once, when its last message is settled', () => {
  const { window, released } = windowOf([0, 1], [2]);
  while (window.pick(grant) > 0);
  window.settle(0, 1);
  assert.deepEqual(released, [0, 0]);
  window.settle(1, 1);
  assert.deepEqual(released, [1, 0]);
  window.close();
  assert.deepEqual(released, [1, 1]);
});

test('payload is given back when nothing of it is new, shed or read again', () => {
  const { window, released } = windowOf([0, 1], [0, 1], [2, 3], [4, 5]);
  assert.deepEqual(released, [0, 1, 0, 0]);
  while (window.pick(grant) > 0);
  window.shed(window.bytes - 1);
  assert.deepEqual(released, [1, 1, 0, 0]);
  const block = window.blocks[1];
  assert(block !== undefined);
  window.supply(block, Buffer.alloc(50), new Uint32Array(2), new Uint32Array(2));
  assert.deepEqual(released, [1, 1, 1, 0]);
  window.close();
  assert.deepEqual(released, [1, 1, 1, 1]);
});

test('payload of blocks that are put together is given back', () => {
  const ten = (from: number) => Array.from({ length: 10 }, (_, i) => from + i);
  const { window, released } = windowOf(ten(0), ten(10));
  while (window.pick(grant) > 0);
  for (const offset of ten(0)) if (offset !== 4) window.settle(offset, 1);
  for (const offset of ten(10)) if (offset !== 14) window.settle(offset, 1);
  window.sweep();
  assert.deepEqual(released, [1, 1]);
  const bytes = window.blocks[0]?.records?.length ?? 0;
  assert.equal(window.blocks.length, 1);
  assert.equal(window.bytes, bytes);
  assert(bytes > 0, 'the two that are left have their payload');
});

test('of a block that is finished no timer is left, and nothing that holds it', () => {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 10, timers });
  // Leases of an owner before: the block is finished though nothing of it was given out here.
  for (const offset of [0, 1]) window.inherited.set(offset, { run: 7, attempt: 1, dueMs: 9 });
  window.take(fetched([{ offset: 0 }, { offset: 1 }]));
  window.take(fetched(Array.from({ length: 10 }, (_, i) => ({ offset: 2 + i }))));
  while (window.pick(grant) > 0);
  for (const offset of [0, 1]) window.settle(offset, 7);
  for (let offset = 2; offset < 11; offset++) window.settle(offset, 1);
  window.sweep();
  assert.deepEqual(
    window.blocks.map(({ last, open }) => [last, open]),
    [[11, 1]],
  );
  window.settle(11, 1);
  assert(timers.isEmpty);
  window.sweep();
  assert.equal(window.blocks.length, 0);
});

/** Fetches of one message each, as they come one by one. */
function singles(count: number, value = ''): LeaseWindow {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 10, timers });
  for (let offset = 0; offset < count; offset++) window.take(fetched([{ offset, value }]));
  return window;
}

test('messages that come one by one are put together, out or not, and acks find them', () => {
  const window = singles(10_000);
  for (let i = 0; i < 5_000; i++) window.pick(grant);
  window.sweep();
  assert(window.blocks.length < 20, `${window.blocks.length} blocks`);
  assert.deepEqual([window.leased, window.fresh], [5_000, 5_000]);
  for (let offset = 0; offset < 5_000; offset++) {
    assert.equal(window.settle(offset, 1), settleResult.done);
  }
  let next = 5_000;
  for (let count = window.pick({ ...grant, run: 2 }); count > 0; count = window.pick(grant)) {
    for (let i = 0; i < count; i++) {
      assert.equal(window.block.offsetOf(window.picked[i] as number), next++);
    }
  }
  assert.equal(next, 10_000);
});

test('few small blocks, full ones, and those with much payload are left as they are', () => {
  const few = singles(5);
  few.sweep();
  assert.equal(few.blocks.length, 5);
  const long = singles(50, 'x'.repeat(20_000));
  long.sweep();
  assert.equal(long.blocks.length, 50);
  const many = singles(1_024);
  many.sweep();
  const [made] = many.blocks;
  while (many.pick(grant) > 0);
  for (let offset = 0; offset < 500; offset++) many.settle(offset, 1);
  many.sweep();
  assert.equal(many.blocks[0], made);
  many.settle(500, 1);
  for (let offset = 501; offset < 600; offset++) many.settle(offset, 1);
  many.sweep();
  assert.deepEqual([many.blocks.length, many.blocks[0]?.count], [1, 424]);
});

test('large messages are not put together by hundreds, though their payload was dropped', () => {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 10, timers });
  const value = 'x'.repeat(100_000);
  for (let base = 0; base < 200; base += 10) {
    window.take(fetched(Array.from({ length: 10 }, (_, i) => ({ offset: base + i, value }))));
  }
  while (window.pick({ ...grant, bytesMax: 1e9, firstBytesMax: 1e9 }) > 0);
  for (let offset = 0; offset < 200; offset++) {
    assert(window.locate(offset, 1));
    window.retry(window.block, window.index, 1_000, 0);
  }
  window.shed(0);
  window.sweep();
  assert.deepEqual([window.bytes, window.blocks.length], [0, 20]);
});

test('what is put together is 256 KiB at most, with its payload and without', () => {
  for (const bytesMax of [Number.POSITIVE_INFINITY, 0]) {
    const window = singles(100, 'x'.repeat(10_000));
    while (window.pick(grant) > 0);
    window.shed(bytesMax);
    for (let i = 0; i < 3; i++) window.sweep();
    assert.deepEqual(
      window.blocks.map(({ count }) => count),
      [26, 26, 26, 22],
    );
  }
});

test('in order a failure gives its subscription back what that one has, not what an owner before left', () => {
  const timers = new BlockTimers<WindowState>(0);
  const mode = 'partition-ordered';
  const window = new LeaseWindow({ mode, floor: 0, heldMax: 10, timers });
  window.inherited.set(3, { run: 7, attempt: 1, dueMs: 9 });
  window.take(fetched([{ offset: 0 }, { offset: 1 }, { offset: 2 }]));
  assert.equal(window.pick(grant), 3);
  window.take(fetched([{ offset: 3 }]));
  assert(window.locate(0, 1));
  window.retry(window.block, window.index, 0, 0);
  assert.deepEqual([window.lastSub, window.rewound, window.leased], [1, 2, 0]);
});
