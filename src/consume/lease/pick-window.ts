import { Block, messageState } from './block.ts';
import type { Grant } from './grant.ts';
import { hasPayload, type WindowOptions, WindowState } from './window-state.ts';

const { fresh, leased, ready, held, settled } = messageState;

/** Widest run: an index under a token is a u16. */
const SPAN_MAX = 65_535;

/** The part of a `LeaseWindow` that says which messages go out next. */
export class PickWindow extends WindowState {
  /** What the last {@link pick} took: messages of one block, in order. */
  block = new Block(0, 0);
  readonly picked = new Int32Array(1024);
  /** The last {@link pick} took nothing since `firstBytesMax` was too little. */
  isShort = false;
  protected readonly inOrder: boolean;

  constructor(options: WindowOptions) {
    super(options);
    this.inOrder = options.mode === 'partition-ordered';
  }

  /**
   * Leases messages of one block, rising, to whoever `grant` names; their number, and themselves in
   * `block` and `picked`. Those that failed before come first. In order they go as they lie in the
   * log: none passes one that failed, and none goes out while somebody who may be gone has any: he
   * may still handle it, or it comes again.
   */
  pick(grant: Grant): number {
    this.isShort = false;
    this.clear();
    const count = this.inOrder ? this.#pickInOrder(grant) : this.#pickAny(grant);
    if (count === 0) return 0;
    this.timers.arm(this, this.block, grant.dueMs);
    const given = this.block.offsetOf(this.picked[count - 1] as number) + 1;
    if (given > this.given) this.given = given;
    return count;
  }

  /** Settles a message that turned out to be no longer in the log. */
  forgetReady(block: Block, index: number): void {
    if (block.stateOf(index) !== ready) return;
    this.ready--;
    block.ready--;
    this.finish(block, index, false);
  }

  #pickAny(grant: Grant): number {
    const count = this.ready > 0 ? this.#pickReady(grant) : 0;
    if (count > 0 || this.isShort || this.fresh === 0) return count;
    return this.#pickFresh(grant);
  }

  #pickInOrder(grant: Grant): number {
    if (this.orphans > 0) return 0;
    const first = this.ready + this.blocked > 0 ? this.#firstState() : fresh;
    if (first === fresh) return this.#pickFresh(grant);
    return first === ready ? this.#pickReady(grant) : 0;
  }

  /**
   * State of the first message that is neither out nor settled. That may be one that was never out
   * before others that failed: what was out under an owner that was killed is not known.
   */
  #firstState(): number {
    for (const block of this.list) {
      if (block.open === 0) continue;
      for (let i = 0; i < block.count; i++) {
        const state = block.stateOf(i);
        if (state !== leased && state !== settled) return state;
      }
    }
    return settled;
  }

  #pickReady(grant: Grant): number {
    for (const block of this.list) {
      if (block.ready === 0) continue;
      this.block = block;
      let count = 0;
      let room = grant.bytesMax;
      let first = 0;
      for (let i = 0; i < block.count && count < grant.messagesMax; i++) {
        const state = block.stateOf(i);
        if (state !== ready) {
          if (this.#isBarred(state)) break;
          continue;
        }
        if (!hasPayload(block, i)) {
          if (this.inOrder) return count;
          continue;
        }
        if (this.#isStale(block, i, grant)) {
          this.forgetReady(block, i);
          this.stale++;
          continue;
        }
        const size = block.sizeOf(i);
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
      if (count > 0 || this.isShort || this.inOrder) return count;
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
        const state = block.stateOf(i);
        if (state !== fresh) {
          if (this.#isBarred(state)) break;
          continue;
        }
        if (this.#isStale(block, i, grant)) {
          this.#passStale(block, i);
          continue;
        }
        // Before its size: who has no room for it is not to wait for what waits itself.
        if (this.#isKeyBusy(block, i)) {
          if (!this.#hold(block, i)) break;
          continue;
        }
        const size = block.sizeOf(i);
        if (size > (count === 0 ? grant.firstBytesMax : room)) {
          this.isShort = count === 0;
          break;
        }
        if (count === 0) first = block.deltas[i] as number;
        if ((block.deltas[i] as number) - first > SPAN_MAX) break;
        room -= size;
        this.fresh--;
        this.#beginKey(block, i);
        this.#lease(block, i, grant);
        this.picked[count++] = i;
      }
      block.fresh = i;
      if (count > 0 || i < block.count) return count;
    }
    return 0;
  }

  /** In order nothing passes a message in this state, which is not the one that is looked for. */
  #isBarred(state: number): boolean {
    return this.inOrder && state !== leased && state !== settled;
  }

  #isKeyBusy(block: Block, index: number): boolean {
    const key = block.keys?.[index] ?? 0;
    return key !== 0 && this.keys?.isBusy(key) === true;
  }

  /** The message waits for its key from now on; false: too many do. */
  #hold(block: Block, index: number): boolean {
    const key = block.keys?.[index] as number;
    if (this.keys?.hold(key, block.offsetOf(index)) !== true) return false;
    block.setState(index, held);
    this.fresh--;
    return true;
  }

  #beginKey(block: Block, index: number): void {
    const key = block.keys?.[index] ?? 0;
    if (key !== 0) this.keys?.begin(key);
  }

  #lease(block: Block, index: number, grant: Grant): void {
    block.setState(index, leased);
    block.setAttempt(index, block.attemptOf(index) + 1);
    block.run[index] = grant.run;
    block.sub[index] = grant.sub;
    block.due[index] = grant.dueMs;
    this.leased++;
  }

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
}
