import assert from 'node:assert/strict';
import { messageState } from '../../../../src/consume/lease/block.ts';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import type { Grant } from '../../../../src/consume/lease/grant.ts';
import { LeaseWindow, settleResult } from '../../../../src/consume/lease/lease-window.ts';
import type { ConsumeMode } from '../../../../src/consume/lease/settle.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { fetched } from '../../../support/fetched.ts';

/** Of every lease that is given here, and of those of an owner before. */
export const LEASE_MS = 1_000;
export interface Message {
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
export class Twin {
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

  /** Out, and of nobody who is subscribed. */
  get orphans(): Message[] {
    return this.in('leased').filter(({ sub }) => sub === 0);
  }

  /** Whether the mode lets this one out now. */
  mayGo(message: Message): boolean {
    if (message.state !== 'fresh' && message.state !== 'ready') return false;
    const before = this.messages.filter((m) => m.offset < message.offset);
    if (this.mode === 'key-ordered' && message.key !== 0) {
      return before.every((m) => m.key !== message.key || m.state === 'settled');
    }
    if (this.mode !== 'partition-ordered') return true;
    if (this.orphans.length > 0) return false;
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
export class Pair {
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

  /** `inherits`: of three messages an owner before has leased the first, and the next failed. */
  take(count: number, gap: number, keys: number, inherits = false): void {
    const records = [];
    let offset = this.end + gap;
    for (let i = 0; i < count; i++, offset += 1 + (i % 5 === 4 ? gap : 0)) {
      const key = keys === 0 ? 0 : 1 + ((offset * 7) % keys);
      records.push({ offset, key, value: `v${offset}` });
      const fresh = { state: 'fresh', attempt: 0, winner: 0, sub: 0, dueMs: 0 } as const;
      const message: Message = { offset, key, runs: [], ...fresh };
      this.twin.messages.push(message);
      if (inherits && i % 3 !== 2) this.#inherit(message, i % 3 === 0);
    }
    const batch = fetched(records);
    this.end = batch.nextOffset;
    this.window.take(batch);
  }

  #inherit(message: Message, isLeased: boolean): void {
    const run = isLeased ? ++this.run : 0;
    const dueMs = this.nowMs + LEASE_MS;
    this.window.inherited.set(message.offset, { run, attempt: 1, dueMs });
    if (isLeased) message.runs.push(run);
    Object.assign(message, { state: isLeased ? 'leased' : 'waiting', attempt: 1, dueMs });
  }

  /** The connection of a subscription is lost. */
  cut(sub: number): void {
    const own = this.twin.in('leased').filter((m) => m.sub === sub);
    const endMs = this.nowMs + LEASE_MS / 4;
    assert.equal(this.window.shorten(sub, endMs), own.length);
    for (const m of own) Object.assign(m, { sub: 0, dueMs: Math.min(m.dueMs, endMs) });
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

  /** A message that is to be given out again is no longer in the log. */
  forget(message: Message): void {
    const block = this.window.blocks.find((b) => b.open > 0 && b.indexOf(message.offset) >= 0);
    assert(block !== undefined);
    this.window.forgetReady(block, block.indexOf(message.offset));
    message.state = 'settled';
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
    assert.equal(window.orphans, twin.orphans.length);
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
