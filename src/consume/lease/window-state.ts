import type { FetchedRecords } from '../../backend/consumer-port.ts';
import { OffsetMerger } from '../../offsets/offset-merger.ts';
import { Block, messageState } from './block.ts';
import type { BlockTimers } from './block-timers.ts';
import { compacted } from './compaction.ts';
import type { OpenLeaseRow } from './grant.ts';
import { KeyLines } from './key-lines.ts';
import type { ConsumeMode } from './settle.ts';
import { Winners } from './winners.ts';

const { fresh, leased, waiting, ready, held, away, settled } = messageState;
/** No wait: to be given out at once. */
export const NO_WAIT = -1;
const NONE_DROPPED = new Uint8Array(0);

/** How a window is made. */
export interface WindowOptions {
  readonly mode: ConsumeMode;
  readonly floor: number;
  /** Messages that may wait behind one key. */
  readonly heldMax: number;
  readonly timers: BlockTimers<WindowState>;
}

/**
 * A lease that another owner granted, and which holds on here; with run 0 a message that failed
 * there, `dueMs` the end of its wait or {@link NO_WAIT}.
 */
export interface InheritedLease {
  readonly run: number;
  readonly attempt: number;
  readonly dueMs: number;
  /** It was refused here before its message was read: it fails as soon as that is. */
  readonly isRefused?: true;
}

/** The unfinished messages of a partition of a group, with their payload; see `LeaseWindow`. */
export class WindowState {
  readonly merger: OffsetMerger;
  readonly mode: ConsumeMode;
  readonly keys: KeyLines | undefined;
  readonly inherited = new Map<number, InheritedLease>();
  /** Messages that were fetched and are not settled. */
  unfinished = 0;
  /** Of these: never given out, to be given out again, out, failed and not to be given out now. */
  fresh = 0;
  ready = 0;
  leased = 0;
  blocked = 0;
  /** Of those out: of a connection that was lost, or leased by an owner before. */
  orphans = 0;
  /** Bytes of payload that are held. */
  bytes = 0;
  /** Behind the last message that was given out, here or by an owner before. */
  given = 0;
  /** Settled because they were older than `staleBeforeMs`. */
  stale = 0;
  protected list: Block[] = [];
  /** The first block that may have messages that were never given out. */
  protected freshAt = 0;
  /** The message that {@link find} found. */
  index = -1;
  protected readonly timers: BlockTimers<WindowState>;
  protected readonly winners = new Winners();
  #dead = 0;
  #next: number;
  #hit: Block | undefined;

  constructor(options: WindowOptions) {
    this.mode = options.mode;
    this.merger = new OffsetMerger(options.floor);
    this.keys = options.mode === 'key-ordered' ? new KeyLines(options.heldMax) : undefined;
    this.timers = options.timers;
    this.#next = options.floor;
  }

  /** Offset of the next message that is to be fetched. */
  get nextOffset(): number {
    return this.#next;
  }

  /** Blocks in memory, for tests and metrics. */
  get blocks(): readonly Block[] {
    return this.list;
  }

  /** What lies between here and `offset` is settled or gone: fetching goes on there. */
  jump(offset: number): void {
    this.#next = Math.max(this.#next, offset);
  }

  /**
   * Takes in what was fetched. Messages that are settled already are passed over, as are those
   * marked in `drop`; offsets that the log does not have count as settled. `attempts` are the
   * deliveries that each had elsewhere.
   */
  take(batch: FetchedRecords, drop: Uint8Array = NONE_DROPPED, attempts?: Uint16Array): void {
    this.clear();
    const block = Block.of(batch, this.keys !== undefined);
    let expected = this.#next;
    for (let i = 0; i < block.count; i++) {
      const offset = block.offsetOf(i);
      if (offset > expected) this.merger.confirm(expected, offset - expected);
      if (offset < expected || this.merger.isConfirmed(offset) || drop[i] === 1) {
        if (offset >= expected) this.merger.confirm(offset, 1);
        block.setState(i, settled);
        block.open--;
      } else {
        if (attempts !== undefined) block.setAttempt(i, attempts[i] as number);
        if (this.inherited.size > 0) this.#inherit(block, i, offset);
      }
      expected = Math.max(expected, offset + 1);
    }
    if (batch.nextOffset > expected) this.merger.confirm(expected, batch.nextOffset - expected);
    this.#next = Math.max(expected, batch.nextOffset);
    if (block.open === 0) {
      block.drop();
      return;
    }
    this.list.push(block);
    this.unfinished += block.open;
    this.bytes += block.bytes;
    for (let i = 0; i < block.count; i++) if (block.stateOf(i) === fresh) this.fresh++;
  }

  /**
   * Deliveries of an unfinished message that failed, and when its wait ends ({@link NO_WAIT}:
   * none); undefined when none has failed.
   */
  failedAt(offset: number): { attempt: number; dueMs: number } | undefined {
    const inherited = this.inherited.get(offset);
    if (inherited !== undefined) return inherited.run === 0 ? inherited : undefined;
    const block = this.find(offset);
    if (block === undefined) return undefined;
    const { index } = this;
    const state = block.stateOf(index);
    const attempt = block.attemptOf(index) - (state === leased ? 1 : 0);
    if (state === settled || attempt <= 0) return undefined;
    const dueMs = block.due[index] as number;
    const hasWait = state === waiting || (state === away && dueMs !== 0);
    return { attempt, dueMs: hasWait ? dueMs : NO_WAIT };
  }

  /**
   * Settles the leases of an owner before up to `offset`, whose own must be under `run`, of
   * messages that were not read again yet; those that it settled. They are of nobody's slot here.
   */
  protected takeInherited(offset: number, run: number): InheritedLease[] {
    if (this.inherited.get(offset)?.run !== run) return [];
    const taken: InheritedLease[] = [];
    for (const [at, lease] of this.inherited) {
      if (at > offset || lease.run === 0) continue;
      this.inherited.delete(at);
      this.merger.confirm(at, 1);
      taken.push(lease);
    }
    return taken;
  }

  /** A lease of another owner whose message was not fetched again yet gets another end. */
  extendInherited(offset: number, run: number, dueMs: number): boolean {
    const lease = this.inherited.get(offset);
    if (lease?.run !== run) return false;
    this.inherited.set(offset, { ...lease, dueMs });
    return true;
  }

  /**
   * A lease of another owner was refused whose message was not fetched again yet. Once it is, the
   * message is leased under run 0, to be found by `locate`, until its failure is decided.
   */
  refuseInherited(offset: number, run: number): boolean {
    const lease = this.inherited.get(offset);
    if (lease?.run !== run) return false;
    const { attempt } = lease;
    this.inherited.set(offset, { run: 0, attempt, dueMs: NO_WAIT, isRefused: true });
    return true;
  }

  /** A lease that an owner before granted, as long as it is open. */
  leaseOf(offset: number, run: number): { attempt: number; dueMs: number } | undefined {
    const lease = this.inherited.get(offset);
    if (lease !== undefined) return lease.run === run ? lease : undefined;
    const block = this.find(offset);
    if (block === undefined) return undefined;
    const { index } = this;
    if (block.stateOf(index) !== leased || block.run[index] !== run) return undefined;
    return { attempt: block.attemptOf(index), dueMs: block.due[index] as number };
  }

  /** Leases that are open, rising by offset, at most `max`. */
  openLeases(max: number): OpenLeaseRow[] {
    const open: OpenLeaseRow[] = [];
    this.each(leased, (block, i) => {
      if (open.length >= max) return false;
      const run = block.run[i] as number;
      const attempt = block.attemptOf(i);
      open.push({ offset: block.offsetOf(i), run, attempt, dueMs: block.due[i] as number });
      return true;
    });
    return open;
  }

  /** Drops payload that was given out, the oldest first, until `bytesMax` are left. */
  shed(bytesMax: number): void {
    for (let i = 0; i < this.list.length && this.bytes > bytesMax; i++) {
      const block = this.list[i] as Block;
      if (block.fresh === block.count && block.ready === 0) this.dropPayload(block);
    }
  }

  /** A block with messages that are ready and whose payload is not here. */
  missing(): Block | undefined {
    if (this.ready === 0) return undefined;
    for (const block of this.list) {
      if (block.ready === 0 || block.asked) continue;
      for (let i = 0; i < block.count; i++) {
        if (block.stateOf(i) === ready && !hasPayload(block, i)) return block;
      }
    }
    return undefined;
  }

  /** Payload that was read again: `starts` and `ends` by the block's own indexes, 0 for none. */
  supply(block: Block, records: Buffer, starts: Uint32Array, ends: Uint32Array): void {
    this.bytes += records.length - block.bytes;
    block.drop();
    block.records = records;
    block.starts = starts;
    block.ends = ends;
  }

  /** Everything is given up: timers end. */
  close(): void {
    for (const block of this.list) {
      this.timers.forget(block);
      block.drop();
    }
    this.list = [];
    this.bytes = 0;
  }

  /** Puts blocks of which little is left together. To be called now and then. */
  sweep(): void {
    if (this.#dead > 0) this.#dropFinished();
    const kept = compacted(this.list, this.timers, (old, made) => {
      this.bytes += made.bytes - old;
    });
    if (kept === this.list) return;
    this.list = kept;
    this.#findFresh();
    for (const block of kept) {
      if (block.id < 0 && block.timerDueMs > 0) this.timers.arm(this, block, block.timerDueMs);
    }
  }

  /**
   * Ends a message that is out of all counts but `unfinished`. Unless it was acked, an ack under
   * its last lease is too late from now on, as under any before.
   */
  finish(block: Block, index: number, isAcked = true): void {
    const offset = block.offsetOf(index);
    const run = block.run[index] as number;
    if (block.isContested(index)) this.winners.note(offset, run, isAcked);
    if (!isAcked) block.run[index] = 0;
    block.setState(index, settled);
    this.unfinished--;
    this.merger.confirm(offset, 1);
    const key = block.keys?.[index] ?? 0;
    if (--block.open === 0) {
      this.dropPayload(block);
      this.timers.forget(block);
      this.#dead++;
    }
    if (key !== 0) this.#nextOfKey(key);
  }

  protected toReady(block: Block, index: number): void {
    block.setState(index, ready);
    block.ready++;
    this.ready++;
  }

  #nextOfKey(key: number): void {
    const offset = this.keys?.next(key) ?? -1;
    if (offset < 0) return;
    const block = this.find(offset);
    if (block !== undefined && block.stateOf(this.index) === held) {
      block.setState(this.index, ready);
      block.ready++;
      this.ready++;
    }
  }

  #inherit(block: Block, index: number, offset: number): void {
    const lease = this.inherited.get(offset);
    if (lease === undefined) return;
    this.inherited.delete(offset);
    block.setAttempt(index, lease.attempt);
    if (lease.run === 0 && lease.isRefused !== true) {
      this.#inheritFailed(block, index, lease.dueMs);
      return;
    }
    block.setState(index, leased);
    block.setContested(index);
    block.run[index] = lease.run;
    block.due[index] = lease.dueMs;
    this.leased++;
    this.orphans++;
    const key = block.keys?.[index] ?? 0;
    if (key !== 0) this.keys?.begin(key);
    this.timers.arm(this, block, lease.dueMs);
  }

  /** It failed under the owner before: it goes on waiting, or is given out as any other. */
  #inheritFailed(block: Block, index: number, dueMs: number): void {
    if (dueMs === NO_WAIT) return;
    const key = block.keys?.[index] ?? 0;
    if (key !== 0 && this.keys !== undefined) {
      if (this.keys.isBusy(key)) return;
      this.keys.begin(key);
    }
    block.setState(index, waiting);
    block.due[index] = dueMs;
    this.blocked++;
    this.timers.arm(this, block, dueMs);
  }

  protected dropPayload(block: Block): void {
    this.bytes -= block.bytes;
    block.drop();
  }

  protected find(offset: number): Block | undefined {
    const cached = this.#hit;
    if (cached !== undefined && offset >= cached.base) {
      const index = cached.indexOf(offset);
      if (index >= 0 && cached.open > 0) {
        this.index = index;
        return cached;
      }
    }
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.list[middle] as Block).base <= offset) low = middle + 1;
      else high = middle;
    }
    const block = this.list[low - 1];
    if (block === undefined) return undefined;
    this.index = block.indexOf(offset);
    if (this.index < 0) return undefined;
    this.#hit = block;
    return block;
  }

  protected each(state: number, visit: (block: Block, index: number) => boolean): number {
    let count = 0;
    for (const block of this.list) {
      if (block.open === 0) continue;
      for (let i = 0; i < block.count; i++) {
        if (block.stateOf(i) === state && visit(block, i) !== false) count++;
      }
    }
    return count;
  }

  /** Forgets blocks that are finished, when they are many. */
  protected clear(): void {
    if (this.#dead > 16 && this.#dead * 2 > this.list.length) this.#dropFinished();
  }

  #dropFinished(): void {
    this.list = this.list.filter((block) => block.open > 0);
    this.#dead = 0;
    this.#findFresh();
  }

  #findFresh(): void {
    this.#hit = undefined;
    const at = this.list.findIndex((block) => block.fresh < block.count);
    this.freshAt = at < 0 ? this.list.length : at;
  }
}

/** Whether the record of a message is here. */
export function hasPayload(block: Block, index: number): boolean {
  return block.records !== undefined && (block.ends[index] as number) > 0;
}
