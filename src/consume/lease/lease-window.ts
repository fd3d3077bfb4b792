import { Block, messageState } from './block.ts';
import type { Grant } from './grant.ts';
import type { KeyLines } from './key-lines.ts';
import { hasPayload, type WindowOptions, WindowState } from './window-state.ts';

const { fresh, leased, waiting, ready, held, away, stuck, settled } = messageState;

/** Widest run: an index under a token is a u16. */
const SPAN_MAX = 65_535;

/** What became of a message that was named under a token. */
export const settleResult = { done: 0, again: 1, lost: 2 } as const;

/**
 * The unfinished messages of one partition of a group: who may have which of them when. Pure: time
 * comes as an argument. The span is not bounded, only what is unfinished, so one message that is
 * never finished holds back nothing.
 */
export class LeaseWindow extends WindowState {
  /** What the last {@link pick} took: messages of one block, in order. */
  block = new Block(0, 0);
  readonly picked = new Int32Array(1024);
  /** The last {@link pick} took nothing since `firstBytesMax` was too little. */
  isShort = false;
  /** Subscription of what {@link settle} finished, or of what failed. */
  lastSub = 0;
  /** Deliveries of what {@link settle} finished. */
  lastAttempt = 0;
  readonly #inOrder: boolean;

  constructor(options: WindowOptions) {
    super(options);
    this.#inOrder = options.mode === 'partition-ordered';
  }

  /**
   * Leases messages of one block, rising, to whoever `grant` names; their number, and themselves in
   * `block` and `picked`. Those that failed before come first. In order nothing passes a message
   * that failed, nor one that somebody has who may be gone: he may still handle it, or it comes
   * again.
   */
  pick(grant: Grant): number {
    this.isShort = false;
    if (this.#inOrder && this.blocked + this.orphans > 0) return 0;
    this.clear();
    let count = 0;
    if (this.ready > 0) count = this.#pickReady(grant);
    if (count === 0 && this.fresh > 0 && !(this.#inOrder && this.ready > 0)) {
      count = this.#pickFresh(grant);
    }
    if (count === 0) return 0;
    this.timers.arm(this, this.block, grant.dueMs);
    const given = this.block.offsetOf(this.picked[count - 1] as number) + 1;
    if (given > this.given) this.given = given;
    return count;
  }

  /** Ends a message as handled. Sets `lastSub` when it is `done`. */
  settle(offset: number, run: number): number {
    const block = this.find(offset);
    if (block === undefined) return this.#settledElsewhere(offset, run);
    const { index } = this;
    const state = block.stateOf(index);
    if (state === leased && block.run[index] === run) {
      this.lastAttempt = block.attemptOf(index);
      this.#endLease(block, index);
      this.finish(block, index);
      return settleResult.done;
    }
    const isOwn = state === settled && block.run[index] === run;
    return isOwn ? settleResult.again : settleResult.lost;
  }

  /**
   * Ends every leased message of one subscription up to `offset`, whose own lease must be under
   * `run`; how many, or -1 when it is not.
   */
  settleUpTo(
    offset: number,
    run: number,
    onDone: (run: number, attempt: number) => void = () => {},
  ): number {
    const isHere = this.locate(offset, run);
    const unread = isHere ? [] : this.takeInherited(offset, run);
    if (!isHere && unread.length === 0) return -1;
    for (const lease of unread) onDone(lease.run, lease.attempt);
    const sub = isHere ? (this.block.sub[this.index] as number) : 0;
    this.lastSub = sub;
    const read = this.each(leased, (block, i) => {
      if (block.sub[i] !== sub || block.offsetOf(i) > offset) return false;
      this.#endLease(block, i);
      onDone(block.run[i] as number, block.attemptOf(i));
      this.finish(block, i);
      return true;
    });
    return read + unread.length;
  }

  /** Finds a message that is leased under this run: in `block` and `index`. */
  locate(offset: number, run: number): boolean {
    const block = this.find(offset);
    if (block === undefined || block.stateOf(this.index) !== leased) return false;
    if (block.run[this.index] !== run) return false;
    this.block = block;
    return true;
  }

  /** A leased message gets another end of its lease. */
  extend(block: Block, index: number, dueMs: number): void {
    block.due[index] = dueMs;
    this.timers.arm(this, block, dueMs);
  }

  /** A leased message failed: given out again at `dueMs`; at once when that has come. */
  retry(block: Block, index: number, dueMs: number, nowMs: number): void {
    this.#unlease(block, index);
    if (dueMs <= nowMs) this.toReady(block, index);
    else {
      block.setState(index, waiting);
      block.due[index] = dueMs;
      this.blocked++;
      this.timers.arm(this, block, dueMs);
    }
    this.#rewind(block.offsetOf(index));
  }

  /** A leased message failed and goes elsewhere: `land` or `comeBack` follows. */
  sendAway(block: Block, index: number): void {
    this.#unlease(block, index);
    block.setState(index, away);
    this.blocked++;
    this.#rewind(block.offsetOf(index));
  }

  /** A leased message failed for good, and stays until `unstick`. */
  stick(block: Block, index: number): void {
    this.#unlease(block, index);
    block.setState(index, stuck);
    this.blocked++;
    this.#rewind(block.offsetOf(index));
  }

  /** The message that was sent away has arrived: it is settled. */
  land(offset: number): void {
    const block = this.find(offset);
    if (block === undefined || block.stateOf(this.index) !== away) return;
    this.blocked--;
    this.finish(block, this.index, false);
  }

  /** The message could not be sent away: it waits until `dueMs` as one that failed. */
  comeBack(offset: number, dueMs: number): boolean {
    const block = this.find(offset);
    if (block === undefined || block.stateOf(this.index) !== away) return false;
    block.setState(this.index, waiting);
    block.due[this.index] = dueMs;
    this.timers.arm(this, block, dueMs);
    return true;
  }

  /** The message that was sent away stays after all, until `unstick`. */
  stickAway(offset: number): void {
    const block = this.find(offset);
    if (block !== undefined && block.stateOf(this.index) === away)
      block.setState(this.index, stuck);
  }

  /** How many messages each subscription's slot has out. */
  leasesBySlot(): { slot: number; count: number }[] {
    const counts = new Map<number, number>();
    this.each(leased, (block, i) => {
      const slot = block.sub[i] as number;
      counts.set(slot, (counts.get(slot) ?? 0) + 1);
      return true;
    });
    return [...counts].map(([slot, count]) => ({ slot, count }));
  }

  /** Gives out again what is stuck; answers how many that were. */
  unstick(): number {
    return this.each(stuck, (block, i) => {
      this.blocked--;
      this.toReady(block, i);
      return true;
    });
  }

  /** A subscription has ended in order: its messages are free, and the deliveries do not count. */
  giveBack(sub: number): number {
    return this.each(leased, (block, i) => {
      if (block.sub[i] !== sub) return false;
      this.#unlease(block, i);
      block.setAttempt(i, block.attemptOf(i) - 1);
      this.toReady(block, i);
      return true;
    });
  }

  /** A connection was lost: its leases end at `dueMs` at the latest. */
  shorten(sub: number, dueMs: number): number {
    return this.each(leased, (block, i) => {
      if (block.sub[i] !== sub) return false;
      block.sub[i] = 0;
      this.orphans++;
      if ((((block.due[i] as number) - dueMs) | 0) > 0) block.due[i] = dueMs;
      this.timers.arm(this, block, dueMs);
      return true;
    });
  }

  /**
   * Looks through a block whose time has come: waits that are over become ready, and the leases
   * that have run out are in `picked`; their number. Each of them must be given to `retry`,
   * `sendAway` or `stick`.
   */
  collect(block: Block, nowMs: number): number {
    let expired = 0;
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < block.count; i++) {
      const state = block.stateOf(i);
      if (state !== leased && state !== waiting) continue;
      const left = ((block.due[i] as number) - nowMs) | 0;
      const isFull = expired === this.picked.length;
      if (left > 0 || (state === leased && isFull)) next = Math.min(next, left);
      else if (state === leased) this.picked[expired++] = i;
      else {
        this.blocked--;
        this.toReady(block, i);
      }
    }
    this.block = block;
    if (next !== Number.POSITIVE_INFINITY) this.timers.arm(this, block, nowMs + Math.max(1, next));
    return expired;
  }

  /** Settles a message that turned out to be no longer in the log. */
  forgetReady(block: Block, index: number): void {
    if (block.stateOf(index) !== ready) return;
    this.ready--;
    block.ready--;
    this.finish(block, index, false);
  }

  #pickReady(grant: Grant): number {
    for (const block of this.list) {
      if (block.ready === 0) continue;
      this.block = block;
      let count = 0;
      let room = grant.bytesMax;
      let first = 0;
      for (let i = 0; i < block.count && count < grant.messagesMax; i++) {
        if (block.stateOf(i) !== ready) continue;
        if (!hasPayload(block, i)) {
          if (this.#inOrder) return count;
          continue;
        }
        if (this.#isStale(block, i, grant)) {
          this.forgetReady(block, i);
          this.stale++;
          continue;
        }
        const size = (block.ends[i] as number) - (block.starts[i] as number);
        if (size > (count === 0 ? grant.firstBytesMax : room)) {
          this.isShort = count === 0;
          break;
        }
        if (count === 0) first = block.deltas[i] as number;
        if ((block.deltas[i] as number) - first > SPAN_MAX) break;
        room -= size;
        this.ready--;
        block.ready--;
        this.#lease(block, i, grant);
        this.picked[count++] = i;
        if (count === this.picked.length) break;
      }
      if (count > 0 || this.#inOrder) return count;
    }
    return 0;
  }

  #pickFresh(grant: Grant): number {
    for (; this.freshAt < this.list.length; this.freshAt++) {
      const block = this.list[this.freshAt] as Block;
      this.block = block;
      let count = 0;
      let room = grant.bytesMax;
      let first = 0;
      let i = block.fresh;
      for (; i < block.count && count < grant.messagesMax && count < this.picked.length; i++) {
        if (block.stateOf(i) !== fresh) continue;
        if (this.#isStale(block, i, grant)) {
          this.#passStale(block, i);
          continue;
        }
        const size = (block.ends[i] as number) - (block.starts[i] as number);
        if (size > (count === 0 ? grant.firstBytesMax : room)) {
          this.isShort = count === 0;
          break;
        }
        if (count === 0) first = block.deltas[i] as number;
        if ((block.deltas[i] as number) - first > SPAN_MAX) break;
        const line = this.keys === undefined ? 1 : this.#queue(block, i);
        if (line < 0) break;
        this.fresh--;
        if (line === 0) continue;
        room -= size;
        this.#lease(block, i, grant);
        this.picked[count++] = i;
      }
      block.fresh = i;
      if (count > 0 || i < block.count) return count;
    }
    return 0;
  }

  /** 1: the message's key is free; 0: it waits for its key; -1: too many wait there. */
  #queue(block: Block, index: number): number {
    const key = block.keys?.[index] ?? 0;
    const lines = this.keys as KeyLines;
    if (key === 0) return 1;
    if (!lines.isBusy(key)) {
      lines.begin(key);
      return 1;
    }
    if (!lines.hold(key, block.offsetOf(index))) return -1;
    block.setState(index, held);
    return 0;
  }

  #lease(block: Block, index: number, grant: Grant): void {
    block.setState(index, leased);
    block.setAttempt(index, block.attemptOf(index) + 1);
    block.run[index] = grant.run;
    block.sub[index] = grant.sub;
    block.due[index] = grant.dueMs;
    this.leased++;
  }

  /** A message is no longer out; it was of `lastSub`. */
  #endLease(block: Block, index: number): void {
    this.leased--;
    this.lastSub = block.sub[index] as number;
    if (this.lastSub === 0) this.orphans--;
  }

  #unlease(block: Block, index: number): void {
    this.#endLease(block, index);
    block.sub[index] = 0;
    block.setContested(index);
  }

  /** In order: what is out behind a message that failed comes again after it. */
  #rewind(offset: number): void {
    if (!this.#inOrder) return;
    const { lastSub } = this;
    this.each(leased, (block, i) => {
      if (block.offsetOf(i) <= offset) return false;
      this.#unlease(block, i);
      block.setAttempt(i, block.attemptOf(i) - 1);
      this.toReady(block, i);
      this.rewound++;
      return true;
    });
    this.lastSub = lastSub;
  }

  /** Leases taken back since a message before them failed; who reads it sets it to 0. */
  rewound = 0;

  #isStale(block: Block, index: number, grant: Grant): boolean {
    if (grant.staleBeforeMs === 0) return false;
    const at = (block.starts[index] as number) + 12;
    const records = block.records as Buffer;
    return records.readUInt32BE(at) * 2 ** 32 + records.readUInt32BE(at + 4) < grant.staleBeforeMs;
  }

  #passStale(block: Block, index: number): void {
    this.stale++;
    this.fresh--;
    const { keys } = block;
    // It was never out, so nobody waits for it.
    block.keys = undefined;
    this.finish(block, index);
    block.keys = keys;
  }

  /** A message that is not in the window: it was settled before, or was not fetched again yet. */
  #settledElsewhere(offset: number, run: number): number {
    const lease = this.inherited.get(offset);
    if (lease?.run === run) {
      this.inherited.delete(offset);
      this.lastSub = 0;
      this.lastAttempt = lease.attempt;
      this.merger.confirm(offset, 1);
      return settleResult.done;
    }
    if (offset >= this.nextOffset || !this.merger.isConfirmed(offset)) return settleResult.lost;
    return this.winners.isWinner(offset, run) ? settleResult.again : settleResult.lost;
  }
}
