import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import { LeaseWindow, settleResult } from '../../../../src/consume/lease/lease-window.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { fc } from '../../../support/fast-check.ts';
import { fetched } from '../../../support/fetched.ts';
import { LEASE_MS, type Message, Pair } from './window-twin.ts';

const seed = Number(process.env.MQPROXY_SEED ?? Math.trunc(performance.timeOrigin % 2 ** 31));
console.log(`seed=${seed}`);

const SUBS = 3;

const nat = (max: number) => fc.nat(max);
const plain = { noNullPrototype: true } as const;
const step = fc.oneof(
  fc.record({ do: fc.constant('take' as const), a: nat(20), b: nat(3) }, plain),
  fc.record({ do: fc.constant('pick' as const), a: nat(12), b: nat(SUBS - 1) }, plain),
  fc.record({ do: fc.constant('pick' as const), a: nat(12), b: nat(SUBS - 1) }, plain),
  fc.record({ do: fc.constant('settle' as const), a: nat(1_000), b: nat(8) }, plain),
  fc.record({ do: fc.constant('settle' as const), a: nat(1_000), b: nat(8) }, plain),
  fc.record(
    { do: fc.constant('fail' as const), a: nat(1_000), b: fc.constantFrom(-1, 0, 5, 400) },
    plain,
  ),
  fc.record({ do: fc.constant('land' as const), a: nat(1_000), b: nat(1) }, plain),
  fc.record(
    { do: fc.constant('time' as const), a: fc.constantFrom(1, 50, 600, 1_500), b: nat(0) },
    plain,
  ),
  fc.record({ do: fc.constant('gone' as const), a: nat(1_000), b: nat(0) }, plain),
  fc.record({ do: fc.constant('inherit' as const), a: nat(8), b: nat(1) }, plain),
  fc.record({ do: fc.constant('cut' as const), a: nat(SUBS - 1), b: nat(0) }, plain),
  fc.record({ do: fc.constant('leave' as const), a: nat(SUBS - 1), b: nat(0) }, plain),
  fc.record({ do: fc.constant('tidy' as const), a: nat(1), b: nat(0) }, plain),
);

function doStep(pair: Pair, s: { do: string; a: number; b: number }, keys: number): void {
  const { window, twin } = pair;
  const some = (list: Message[]): Message | undefined => list[s.a % list.length];
  if (s.do === 'take') pair.take(1 + s.a, s.b, keys);
  // Of one key an owner before has leased one message alone.
  else if (s.do === 'inherit') pair.take(1 + s.a, s.b, 0, true);
  else if (s.do === 'cut') pair.cut(1 + s.a);
  else if (s.do === 'pick') pair.pick(1 + s.a, 1 + s.b);
  else if (s.do === 'settle') {
    // Of all messages ever given out, also with runs of long ago.
    const message = some(s.b < 6 ? twin.in('leased') : twin.messages.filter((m) => m.runs.length));
    const runs = message?.runs ?? [];
    const run = s.b < 6 ? runs.at(-1) : runs[s.a % runs.length];
    if (message !== undefined && run !== undefined) pair.settle(message, run);
  } else if (s.do === 'fail') {
    const message = some(twin.in('leased'));
    if (message !== undefined) pair.fail(message, s.b);
  } else if (s.do === 'land') {
    const message = some(twin.in('away'));
    if (message === undefined) return;
    if (s.b === 0) {
      window.land(message.offset);
      // None of its leases was acked, and none can be any more.
      message.state = 'settled';
    } else {
      assert(window.comeBack(message.offset, pair.nowMs + 100));
      Object.assign(message, { state: 'waiting', dueMs: pair.nowMs + 100 });
    }
  } else if (s.do === 'gone') {
    const message = some(twin.in('ready'));
    if (message !== undefined) pair.forget(message);
  } else if (s.do === 'time') pair.advance(s.a);
  else if (s.do === 'leave') {
    const own = twin.in('leased').filter(({ sub }) => sub === 1 + s.a);
    assert.equal(window.giveBack(1 + s.a), own.length);
    for (const m of own) Object.assign(m, { state: 'ready', attempt: m.attempt - 1, sub: 0 });
  } else {
    if (s.a === 0) window.shed(0);
    window.sweep();
  }
  pair.refill();
  pair.agree();
}

/**
 * Everything that is left is given out and settled: nothing may be stuck. Then each lease there
 * ever was is acked, late or once more.
 */
function finishAll(pair: Pair): void {
  const { twin, window } = pair;
  for (const m of twin.in('away')) {
    window.land(m.offset);
    m.state = 'settled';
  }
  pair.advance(2_000);
  for (let round = 0; window.unfinished > 0; round++) {
    pair.refill();
    pair.pick(1_000, 1);
    const out = twin.in('leased');
    assert(out.length > 0 && round < 1_000, `stuck with ${window.unfinished} unfinished`);
    for (const m of out) pair.settle(m, m.runs.at(-1) as number);
  }
  assert.equal(window.merger.floor, pair.end);
  assert.equal(window.merger.confirmedAbove, 0);
  for (const m of twin.messages) for (const run of m.runs) pair.settle(m, run);
}

for (const mode of ['shared', 'key-ordered', 'partition-ordered'] as const) {
  test(`the window agrees with a list of messages in mode ${mode}`, () => {
    const steps = fc.array(step, { maxLength: 60, size: 'max' });
    fc.assert(
      fc.property(fc.nat(2 ** 40), fc.nat(6), steps, (floor, keys, some) => {
        const pair = new Pair(mode, floor);
        for (const s of some) doStep(pair, s, keys);
        finishAll(pair);
      }),
      { seed, numRuns: 400 },
    );
  });
}

test('what is settled already is passed over, and an inherited lease holds on', () => {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 10, heldMax: 10, timers });
  window.merger.confirm(11, 2);
  window.inherited.set(13, { run: 7, attempt: 3, dueMs: 500 });
  window.take(fetched([10, 11, 12, 13, 14].map((offset) => ({ offset }))));
  assert.equal(window.unfinished, 3);
  const grant = {
    messagesMax: 9,
    bytesMax: 1e6,
    firstBytesMax: 1e6,
    run: 9,
    sub: 1,
    dueMs: 900,
    staleBeforeMs: 0,
  };
  assert.equal(window.pick(grant), 2);
  assert.equal(window.settle(13, 8), settleResult.lost);
  assert.equal(window.settle(13, 7), settleResult.done);
  assert.equal(window.settle(10, 9), settleResult.done);
  assert.equal(window.merger.floor, 14);
});

test('a message that is too old is settled instead of being given out', () => {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'key-ordered', floor: 0, heldMax: 10, timers });
  const records = [5, 6, 7, 8].map((timestampMs, offset) => ({ offset, timestampMs, key: 1 }));
  window.take(fetched(records));
  const grant = {
    messagesMax: 9,
    bytesMax: 1e6,
    firstBytesMax: 1e6,
    run: 1,
    sub: 1,
    dueMs: 9,
    staleBeforeMs: 7,
  };
  assert.equal(window.pick(grant), 1);
  assert.equal(window.stale, 2);
  assert.equal(window.merger.floor, 2);
  grant.staleBeforeMs = 9;
  assert.equal(window.settle(2, 1), settleResult.done);
  assert.equal(window.pick(grant), 0);
  assert.equal(window.merger.floor, 4);
  assert.equal(window.unfinished, 0);
});

test('a message takes no more than sixteen bytes in the lease table', () => {
  const timers = new BlockTimers<WindowState>(0);
  const window = new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 10, timers });
  window.take(fetched(Array.from({ length: 100 }, (_, offset) => ({ offset }))));
  const [block] = window.blocks;
  assert(block !== undefined);
  const { deltas, run, due, meta, sub } = block;
  const tables = [deltas, run, due, meta, sub];
  const bytes = tables.reduce((sum, table) => sum + table.byteLength, 0);
  assert(bytes <= 16 * 100);
});

test('what is left of many blocks is put together, and acks still find it', () => {
  const pair = new Pair('shared', 0);
  for (let i = 0; i < 64; i++) pair.take(32, 0, 0);
  while (pair.pick(100, 1) > 0);
  // Every message is leased a second time, so that there are two tokens of each.
  pair.advance(LEASE_MS + 1);
  while (pair.pick(100, 2) > 0);
  for (const m of pair.twin.messages) if (m.offset % 32 !== 5) pair.settle(m, m.runs[1] as number);
  pair.agree();
  pair.window.sweep();
  pair.agree();
  assert(pair.window.blocks.length < 4, `${pair.window.blocks.length} blocks`);
  for (const m of pair.twin.messages) for (const run of m.runs) pair.settle(m, run);
  pair.agree();
  assert.equal(pair.window.merger.floor, pair.end);
  for (const m of pair.twin.messages) for (const run of m.runs) pair.settle(m, run);
});
