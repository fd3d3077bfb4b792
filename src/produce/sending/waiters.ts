/** Sequences of a block: those who wait are found by the blocks that a verdict touches. */
const BLOCK = 64;
/** So many are held before anybody looks whose connection is gone. */
const PRUNE_MIN = 1_024;

/** A connection that waits for the verdicts of consecutive messages. */
export interface Waiter {
  readonly session: number;
  /** Of the first message. */
  readonly correlationId: number;
  /** The lane's sequence of the first message. */
  readonly sequence: number;
  readonly count: number;
}

/**
 * Who waits for which messages of a lane. Whose connection is gone is dropped whenever the number
 * has doubled, so what is held follows what open connections have asked for.
 */
export class Waiters {
  private readonly isOpen: (session: number) => boolean;
  /** By block of sequences; none of them reaches into the next block. */
  private readonly blocks = new Map<number, Waiter[]>();
  private held = 0;
  private pruneAt = PRUNE_MIN;

  /** @param isOpen whether the session is still connected */
  constructor(isOpen: (session: number) => boolean) {
    this.isOpen = isOpen;
  }

  /** Stretches that are held, within blocks. */
  get size(): number {
    return this.held;
  }

  add(waiter: Waiter): void {
    const end = waiter.sequence + waiter.count;
    for (let from = waiter.sequence; from < end; ) {
      const block = Math.floor(from / BLOCK);
      const to = Math.min(end, (block + 1) * BLOCK);
      const waiters = this.blocks.get(block);
      if (waiters === undefined) this.blocks.set(block, [cut(waiter, from, to)]);
      else waiters.push(cut(waiter, from, to));
      this.held++;
      from = to;
    }
    if (this.held > this.pruneAt) this.prune();
  }

  /** Takes out whoever waits for one of these messages, each with the stretch of them. */
  take(sequence: number, count: number): readonly Waiter[] {
    const taken: Waiter[] = [];
    const end = sequence + count;
    for (let block = Math.floor(sequence / BLOCK); block * BLOCK < end; block++) {
      const waiters = this.blocks.get(block);
      if (waiters === undefined) continue;
      const rest: Waiter[] = [];
      for (const waiter of waiters) {
        const last = waiter.sequence + waiter.count;
        const from = Math.max(sequence, waiter.sequence);
        const to = Math.min(end, last);
        if (from >= to) {
          rest.push(waiter);
          continue;
        }
        taken.push(cut(waiter, from, to));
        if (waiter.sequence < from) rest.push(cut(waiter, waiter.sequence, from));
        if (to < last) rest.push(cut(waiter, to, last));
      }
      this.put(block, waiters, rest);
    }
    return taken;
  }

  /** Takes out everybody. */
  takeAll(): readonly Waiter[] {
    const all = [...this.blocks.values()].flat();
    this.blocks.clear();
    this.held = 0;
    this.pruneAt = PRUNE_MIN;
    return all;
  }

  private prune(): void {
    for (const [block, waiters] of this.blocks) {
      const rest = waiters.filter(({ session }) => this.isOpen(session));
      this.put(block, waiters, rest);
    }
    this.pruneAt = Math.max(PRUNE_MIN, 2 * this.held);
  }

  private put(block: number, before: readonly Waiter[], rest: Waiter[]): void {
    this.held += rest.length - before.length;
    if (rest.length === 0) this.blocks.delete(block);
    else this.blocks.set(block, rest);
  }
}

/** The stretch of a waiter between two of the lane's sequences. */
function cut({ session, correlationId, sequence }: Waiter, from: number, to: number): Waiter {
  const id = (correlationId + (from - sequence)) >>> 0;
  return { session, correlationId: id, sequence: from, count: to - from };
}
