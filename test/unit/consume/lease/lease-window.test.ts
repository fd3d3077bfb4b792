import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { messageState } from '../../../../src/consume/lease/block.ts';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import type { Grant } from '../../../../src/consume/lease/grant.ts';
import { LeaseWindow, settleResult } from '../../../../src/consume/lease/lease-window.ts';
import type { ConsumeMode } from '../../../../src/consume/lease/settle.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { fetched } from '../../../support/fetched.ts';

const seed = Number(process.env.MQPROXY_SEED ?? Math.trunc(performance.timeOrigin % 2 ** 31));
console.log(`seed=${seed}`);

const LEASE_MS = 1_000;
const SUBS = 3;

interface Message {
  readonly offset: number;
  readonly key: number;
  state: 'fresh' | 'leased' | 'waiting' | 'ready' | 'held' | 'away' | 'settled';
  attempt: number;
  /** Every run that it was leased with. */
  readonly runs: number[];
  winner: number;
  sub: number;
  dueMs: number;
}

/** The naive twin: a list of messages, looked through each time. */
class Twin {
  readonly messages: Message[] = [];
  readonly mode: ConsumeMode;

  constructor(mode: ConsumeMode) {
    this.mode = mode;
  }

  get(offset: number): Message | undefined {
    return this.messages.find((m) => m.offset === offset);
  }

  in(...states: Message['state'][]): Message[] {
    return this.messages.filter(({ state }) => states.includes(state));
  }

  /** Whether the mode lets this one out now. */
  mayGo(message: Message): boolean {
    if (message.state !== 'fresh' && message.state !== 'ready') return false;
    const before = this.messages.filter((m) => m.offset < message.offset);
    if (this.mode === 'key-ordered' && message.key !== 0) {
      return before.every((m) => m.key !== message.key || m.state === 'settled');
    }
    if (this.mode !== 'partition-ordered') return true;
    if (this.in('waiting', 'away').length > 0) return false;
    return before.every((m) => m.state === 'settled' || m.state === 'leased');
  }

  /** What happens to those behind a message that failed. */
  failed(message: Message): void {
    message.sub = 0;
    if (this.mode !== 'partition-ordered') return;
    for (const m of this.in('leased')) {
      if (m.offset > message.offset) Object.assign(m, { state: 'ready', attempt: m.attempt - 1 });
    }
  }

  get floor(): number {
    const open = this.messages.filter((m) => m.state !== 'settled').map((m) => m.offset);
    return open.length === 0 ? -1 : Math.min(...open);
  }
}

/** Window and twin side by side. */
class Pair {
  readonly timers = new BlockTimers<WindowState>(0);
  readonly window: LeaseWindow;
  readonly twin: Twin;
  nowMs = 0;
  run = 0;
  end: number;

  constructor(mode: ConsumeMode, floor: number) {
    this.end = floor;
    this.twin = new Twin(mode);
    const { timers } = this;
    this.window = new LeaseWindow({ mode, floor, heldMax: 1_000, timers });
  }

  take(count: number, gap: number, keys: number): void {
    const records = [];
    let offset = this.end + gap;
    for (let i = 0; i < count; i++, offset += 1 + (i % 5 === 4 ? gap : 0)) {
      const key = keys === 0 ? 0 : 1 + ((offset * 7) % keys);
      records.push({ offset, key, value: `v${offset}` });
      const fresh = { state: 'fresh', attempt: 0, winner: 0, sub: 0, dueMs: 0 } as const;
      this.twin.messages.push({ offset, key, runs: [], ...fresh });
    }
    const batch = fetched(records);
    this.end = batch.nextOffset;
    this.window.take(batch);
  }

  pick(messagesMax: number, sub: number): number {
    this.run++;
    const dueMs = this.nowMs + LEASE_MS;
    const base: Grant = {
      messagesMax,
      bytesMax: 1e6,
      firstBytesMax: 1e6,
      run: this.run,
      sub,
      dueMs,
      staleBeforeMs: 0,
    };
    const count = this.window.pick(base);
    assert(count <= messagesMax);
    const { block, picked } = this.window;
    let before = -1;
    for (let i = 0; i < count; i++) {
      const index = picked[i] as number;
      const offset = block.offsetOf(index);
      assert(offset > before);
      before = offset;
      const message = this.twin.get(offset) as Message;
      assert(this.twin.mayGo(message), `${offset} may not go: ${JSON.stringify(message)}`);
      const records = block.records as Buffer;
      const value = records.toString(
        'latin1',
        (block.starts[index] as number) + 21,
        block.ends[index],
      );
      assert.equal(value, `v${offset}`);
      Object.assign(message, { state: 'leased', attempt: message.attempt + 1, sub, dueMs });
      message.runs.push(this.run);
      assert.equal(block.attemptOf(index), message.attempt);
    }
    return count;
  }

  settle(message: Message, run: number): void {
    const result = this.window.settle(message.offset, run);
    if (message.state === 'leased' && message.runs.at(-1) === run) {
      assert.equal(result, settleResult.done);
      assert.equal(this.window.lastSub, message.sub);
      Object.assign(message, { state: 'settled', winner: run });
    } else if (message.state === 'settled' && message.winner === run) {
      assert.equal(result, settleResult.again);
    } else if (message.runs.includes(run)) assert.equal(result, settleResult.lost);
  }

  fail(message: Message, waitMs: number): void {
    assert(this.window.locate(message.offset, message.runs.at(-1) as number));
    const { block, index } = this.window;
    if (waitMs < 0) this.window.sendAway(block, index);
    else this.window.retry(block, index, this.nowMs + waitMs, this.nowMs);
    message.state = waitMs < 0 ? 'away' : waitMs === 0 ? 'ready' : 'waiting';
    message.dueMs = this.nowMs + waitMs;
    this.twin.failed(message);
  }

  advance(ms: number): void {
    this.nowMs += ms;
    for (let more = true; more; ) {
      more = this.timers.advance(this.nowMs, (_window, block) => {
        const count = this.window.collect(block, this.nowMs);
        for (let i = 0; i < count; i++) {
          const index = this.window.picked[i] as number;
          if (block.stateOf(index) !== messageState.leased) continue;
          const message = this.twin.get(block.offsetOf(index)) as Message;
          assert(message.dueMs <= this.nowMs, 'a lease ends no earlier than it said');
          this.window.retry(block, index, this.nowMs, this.nowMs);
          message.state = 'ready';
          this.twin.failed(message);
        }
      });
    }
    for (const m of this.twin.in('waiting')) if (m.dueMs <= this.nowMs) m.state = 'ready';
    for (const m of this.twin.in('leased')) assert(m.dueMs > this.nowMs, 'a lease has run out');
  }

  /** Reads again what was dropped, as the gap reader does. */
  refill(): void {
    for (;;) {
      const block = this.window.missing();
      if (block === undefined) return;
      const parts: Buffer[] = [];
      const starts = new Uint32Array(block.count);
      const ends = new Uint32Array(block.count);
      let at = 0;
      for (let i = 0; i < block.count; i++) {
        if (block.stateOf(i) === messageState.settled) continue;
        const offset = block.offsetOf(i);
        const { records } = fetched([{ offset, value: `v${offset}` }]);
        starts[i] = at;
        at += records.length;
        ends[i] = at;
        parts.push(records);
      }
      this.window.supply(block, Buffer.concat(parts), starts, ends);
    }
  }

  agree(): void {
    const { window, twin } = this;
    const open = twin.messages.filter((m) => m.state !== 'settled');
    assert.equal(window.unfinished, open.length);
    assert.equal(window.leased, twin.in('leased').length);
    assert.equal(window.blocked, twin.in('waiting', 'away').length);
    assert.equal(window.merger.floor, twin.floor < 0 ? this.end : firstOpen(window, twin));
    let bytes = 0;
    for (const block of window.blocks) if (block.open > 0) bytes += block.bytes;
    assert.equal(window.bytes, bytes);
  }
}

/** The floor stands at the first unfinished message: what the log lacks counts as settled. */
function firstOpen(window: LeaseWindow, twin: Twin): number {
  assert(window.merger.floor <= twin.floor);
  for (let at = window.merger.floor; at < twin.floor; at++) assert.fail(`${at} is not unfinished`);
  return twin.floor;
}

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
  fc.record({ do: fc.constant('leave' as const), a: nat(SUBS - 1), b: nat(0) }, plain),
  fc.record({ do: fc.constant('tidy' as const), a: nat(1), b: nat(0) }, plain),
);

function doStep(pair: Pair, s: { do: string; a: number; b: number }, keys: number): void {
  const { window, twin } = pair;
  const some = (list: Message[]): Message | undefined => list[s.a % list.length];
  if (s.do === 'take') pair.take(1 + s.a, s.b, keys);
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
      Object.assign(message, { state: 'settled', winner: message.runs.at(-1) });
    } else {
      assert(window.comeBack(message.offset, pair.nowMs + 100));
      Object.assign(message, { state: 'waiting', dueMs: pair.nowMs + 100 });
    }
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

/** Everything that is left is given out and settled: nothing may be stuck. */
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
}

for (const mode of ['shared', 'key-ordered', 'partition-ordered'] as const) {
  test(`the window agrees with a list of messages in mode ${mode}`, () => {
    const steps = fc.array(step, { maxLength: 60 });
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
