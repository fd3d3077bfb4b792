import { DedupeWindow } from './dedupe-window.ts';

/** What is to be done with a stretch of sequences. */
export const judgement = {
  /** Take them: they are new and in order. */
  accept: 0,
  /** They are known: answer as the first time, store nothing. */
  duplicate: 1,
  /** They came after something that was refused: the client goes back to `expected`. */
  outOfSequence: 2,
  /** They are behind the window, or were refused for good before: nobody can judge them now. */
  tooOld: 3,
} as const;
export type Judgement = (typeof judgement)[keyof typeof judgement];

/** A stretch of sequences with one judgement. */
export interface Stretch {
  first: number;
  count: number;
  verdict: Judgement;
}

/**
 * Order and dedupe of one (producer, epoch) on one node. A reducer: no I/O, no clock.
 *
 * Ordered: sequences rise by one. What comes after a gap is refused (`outOfSequence`) until the
 * client goes back to {@link expected}, so that no refusal can reorder a pipeline. A sequence
 * refused for good is passed over with {@link pass}. Unordered: any sequence inside the window
 * that was not seen is taken.
 */
export class ProducerSession {
  readonly producerId: bigint;
  readonly epoch: number;
  readonly window: DedupeWindow;
  /** `producerId:u64 | epoch:u16`, big-endian, as it stands in ids. */
  readonly idBytes: Uint8Array;
  /** When a connection last came or left, or it was read back, in ms of the monotonic clock. */
  lastUsedMs = 0;
  /** The name of the token that speaks for it; undefined since a former run: the next may. */
  owner: string | undefined;
  /** Changed since the last checkpoint. */
  dirty = false;
  /** A checkpoint holds a window of it, of this epoch or of one before. */
  isStored = false;
  /**
   * Of its sequences up to this one it is not remembered which wait for a verdict: a former run
   * has taken them, or there was no room.
   */
  forgotten = 0;
  private firstOffered = 0;
  private readonly one: Stretch[] = [{ first: 0, count: 0, verdict: judgement.accept }];

  constructor(producerId: bigint, epoch: number, window = new DedupeWindow()) {
    this.producerId = producerId;
    this.epoch = epoch;
    this.window = window;
    this.idBytes = new Uint8Array(10);
    const view = new DataView(this.idBytes.buffer);
    view.setBigUint64(0, producerId);
    view.setUint16(8, epoch);
  }

  /** The sequence that an ordered session must send next; 0 when any will do. */
  get expected(): number {
    return this.window.highest > 0 ? this.window.highest + 1 : this.firstOffered;
  }

  /** Who waits for what was taken up to now is not remembered. */
  forget(): void {
    this.forgotten = this.window.highest;
  }

  /**
   * Goes on for `before`, whose window may know sequences that were never durable. What began
   * a session stays its beginning, or a later message could pass for it.
   */
  follow(before: ProducerSession): void {
    this.firstOffered = before.firstOffered;
  }

  /**
   * Judges `count` sequences from `first`. The answer is borrowed until the next call; nothing
   * is taken before {@link accept} or {@link pass} says so.
   */
  judge(first: number, count: number, ordered: boolean): readonly Stretch[] {
    if (this.firstOffered === 0) this.firstOffered = first;
    const expected = this.expected;
    if (ordered ? first === expected : first > this.window.highest) {
      return this.single(first, count, judgement.accept);
    }
    if (ordered && first > expected) return this.single(first, count, judgement.outOfSequence);
    return this.judgeEach(first, count, ordered);
  }

  /** These were put into a batch. */
  accept(first: number, count: number, ordered: boolean): void {
    this.dirty = true;
    if (!ordered) this.window.openBelow(first);
    this.window.accept(first, count);
  }

  /** These were refused for good; the client goes on behind them. */
  pass(first: number, count: number): void {
    this.dirty = true;
    this.window.pass(first, count);
  }

  private single(first: number, count: number, verdict: Judgement): readonly Stretch[] {
    const stretch = this.one[0] as Stretch;
    stretch.first = first;
    stretch.count = count;
    stretch.verdict = verdict;
    return this.one;
  }

  private judgeEach(first: number, count: number, ordered: boolean): readonly Stretch[] {
    const stretches: Stretch[] = [];
    let last: Stretch | undefined;
    for (let sequence = first; sequence < first + count; sequence++) {
      const verdict = this.judgeOne(sequence, ordered);
      if (last?.verdict === verdict) last.count++;
      else {
        last = { first: sequence, count: 1, verdict };
        stretches.push(last);
      }
    }
    return stretches;
  }

  private judgeOne(sequence: number, ordered: boolean): Judgement {
    // Before anything was accepted only firstOffered counts: an ordered session starts there.
    if (this.window.highest === 0) {
      if (!ordered || sequence >= this.firstOffered) return judgement.accept;
      return judgement.tooOld;
    }
    switch (this.window.look(sequence)) {
      case 'new':
        return judgement.accept;
      case 'known':
        return judgement.duplicate;
      case 'gap':
        return ordered ? judgement.tooOld : judgement.accept;
      case 'too-old':
        return judgement.tooOld;
    }
  }
}
