import type { FetchedRecords } from '../../backend/consumer-port.ts';

/** Where an unfinished message stands. */
export const messageState = {
  /** Never given out. */
  fresh: 0,
  leased: 1,
  /** Failed: given out again when its wait is over. */
  waiting: 2,
  /** To be given out again. */
  ready: 3,
  /** Waits for an earlier message of its key. */
  held: 4,
  /** On its way to another topic. */
  away: 5,
  /** Failed for good, and the policy lets nothing pass it. */
  stuck: 6,
  settled: 7,
} as const;

const STATE_MASK = 7;
const CONTESTED = 8;
const ATTEMPT_SHIFT = 4;
/** The most deliveries that are counted. */
export const ATTEMPT_MAX = 4_095;

// A message takes 16 bytes: offset in the block, run, due (u32 each), meta and subscription (u16
// each); meta := attempt:12 contested:1 state:3. Where its record lies, and the hash of its key,
// belong to the payload and go with it.

/**
 * Messages of one fetch, of which some are unfinished: the lease table's entries beside the
 * payload. The payload may be dropped once everything was given out, and be read again.
 */
export class Block {
  readonly base: number;
  readonly count: number;
  readonly deltas: Uint32Array;
  /** Serial of the run that a message was last leased with, modulo 2^32. */
  readonly run: Uint32Array;
  /** End of the lease or of the wait, in ms of the window's clock, modulo 2^32. */
  readonly due: Uint32Array;
  readonly meta: Uint16Array;
  /** Slot of the subscription that has the lease; 0 none. */
  readonly sub: Uint16Array;
  keys: Uint32Array | undefined;
  records: Buffer | undefined;
  /** Gives the memory of `records` back. */
  release: (() => void) | undefined;
  /** Where each record begins and ends in `records`. */
  starts: Uint32Array;
  ends: Uint32Array;
  /** Unfinished messages. */
  open: number;
  ready = 0;
  /** The first that was never given out; `count` when there is none. */
  fresh = 0;
  /** Bytes of the records of all `count` messages, be they here or not. */
  recordBytes = 0;
  /** Put together from what was left of others. */
  isMerged = false;
  /** The payload is being read again. */
  asked = false;
  /** Number and timer in `BlockTimers`. */
  id = -1;
  timer = 0;
  timerDueMs = 0;

  constructor(base: number, count: number) {
    this.base = base;
    this.count = count;
    this.open = count;
    this.deltas = new Uint32Array(count);
    this.run = new Uint32Array(count);
    this.due = new Uint32Array(count);
    this.meta = new Uint16Array(count);
    this.sub = new Uint16Array(count);
    this.starts = new Uint32Array(0);
    this.ends = this.starts;
  }

  /** Takes over what was fetched; `keyed` keeps the hashes of the keys. */
  static of(batch: FetchedRecords, keyed: boolean): Block {
    const { count, offsets, starts } = batch;
    const base = offsets[0] as number;
    const block = new Block(base, count);
    for (let i = 0; i < count; i++) block.deltas[i] = (offsets[i] as number) - base;
    block.records = batch.records;
    block.recordBytes = batch.records.length;
    block.release = batch.release;
    block.starts = starts;
    block.ends = starts.subarray(1);
    if (keyed) block.keys = batch.keyHashes;
    return block;
  }

  /** Drops the payload. */
  drop(): void {
    this.records = undefined;
    const { release } = this;
    this.release = undefined;
    release?.();
  }

  /** Offset of the last message. */
  get last(): number {
    return this.base + (this.deltas[this.count - 1] as number);
  }

  /** Bytes of the payload that is held. */
  get bytes(): number {
    return this.records?.length ?? 0;
  }

  /** About how many bytes the records of unfinished messages have, be they here or not. */
  get openBytes(): number {
    return Math.ceil((this.recordBytes * this.open) / this.count);
  }

  offsetOf(index: number): number {
    return this.base + (this.deltas[index] as number);
  }

  /** Bytes of a message's record, whose payload is here. */
  sizeOf(index: number): number {
    return (this.ends[index] as number) - (this.starts[index] as number);
  }

  /** The message with this offset; -1 when the block has none. */
  indexOf(offset: number): number {
    const delta = offset - this.base;
    const { deltas, count } = this;
    if (delta < 0) return -1;
    // Without gaps a message lies where its offset says.
    if (delta < count && deltas[delta] === delta) return delta;
    let low = 0;
    let high = Math.min(count, delta + 1);
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((deltas[middle] as number) < delta) low = middle + 1;
      else high = middle;
    }
    return deltas[low] === delta ? low : -1;
  }

  stateOf(index: number): number {
    return (this.meta[index] as number) & STATE_MASK;
  }

  setState(index: number, state: number): void {
    this.meta[index] = ((this.meta[index] as number) & ~STATE_MASK) | state;
  }

  /** Deliveries that count so far. */
  attemptOf(index: number): number {
    return (this.meta[index] as number) >>> ATTEMPT_SHIFT;
  }

  setAttempt(index: number, attempt: number): void {
    const counted = Math.min(attempt, ATTEMPT_MAX);
    this.meta[index] =
      ((this.meta[index] as number) & ((1 << ATTEMPT_SHIFT) - 1)) | (counted << ATTEMPT_SHIFT);
  }

  /** Whether a second lease was granted of a message, or will be. */
  isContested(index: number): boolean {
    return ((this.meta[index] as number) & CONTESTED) !== 0;
  }

  setContested(index: number): void {
    this.meta[index] = (this.meta[index] as number) | CONTESTED;
  }

  /** Copies one message of another block to `to`, without its payload. */
  adopt(to: number, from: Block, index: number): void {
    this.deltas[to] = from.offsetOf(index) - this.base;
    this.run[to] = from.run[index] as number;
    this.due[to] = from.due[index] as number;
    this.meta[to] = from.meta[index] as number;
    this.sub[to] = from.sub[index] as number;
    if (this.keys !== undefined) this.keys[to] = from.keys?.[index] ?? 0;
    if (from.stateOf(index) === messageState.ready) this.ready++;
  }
}
