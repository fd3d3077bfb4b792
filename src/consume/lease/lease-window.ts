import { type Block, messageState } from './block.ts';
import { PickWindow } from './pick-window.ts';

const { leased, waiting, away, stuck, settled } = messageState;

/** What became of a message that was named under a token. */
export const settleResult = { done: 0, again: 1, lost: 2 } as const;

/**
 * The unfinished messages of one partition of a group: who may have which of them when. Pure: time
 * comes as an argument. The span is not bounded, only what is unfinished, so one message that is
 * never finished holds back nothing.
 */
export class LeaseWindow extends PickWindow {
  /** Subscription of what {@link settle} finished, or of what failed. */
  lastSub = 0;
  /** Deliveries of what {@link settle} finished. */
  lastAttempt = 0;

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

  /**
   * A leased message failed and goes elsewhere: `land` or `comeBack` follows. `dueMs` is the end of
   * its wait as the next owner is told, should it not arrive; 0: none.
   */
  sendAway(block: Block, index: number, dueMs = 0): void {
    this.#unlease(block, index);
    block.setState(index, away);
    block.due[index] = dueMs;
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
    if (!this.inOrder) return;
    const { lastSub } = this;
    this.each(leased, (block, i) => {
      if (block.offsetOf(i) <= offset) return false;
      this.#unlease(block, i);
      block.setAttempt(i, block.attemptOf(i) - 1);
      this.toReady(block, i);
      if (this.lastSub === lastSub) this.rewound++;
      return true;
    });
    this.lastSub = lastSub;
  }

  /** Leases of `lastSub` taken back since its message failed; who reads it sets it to 0. */
  rewound = 0;

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
