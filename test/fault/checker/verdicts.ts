import assert from 'node:assert/strict';

/** What a run can be found guilty of. */
export type Guilt =
  /** Answered OK, and nowhere. */
  | 'lost'
  /** Answered with a refusal, and delivered. */
  | 'failed-delivered'
  /** Never sent, or not byte for byte what was sent. */
  | 'invented'
  /** Not in the topic, partition or place that was asked for or answered. */
  | 'misplaced'
  /** First occurrences of a producer out of order within a partition. */
  | 'disordered'
  /** More often there than was noted, or under two ids. */
  | 'unexplained-duplicate'
  /** A note of a resend that does not agree with itself or with another one. */
  | 'bad-note'
  /** Offsets of a partition, or sequences of an ordered producer, with a gap. */
  | 'hole'
  /** A lease counted although a later one of its message had been given out. */
  | 'two-leases'
  /** Delivered again after an ack that was answered `committed`. */
  | 'after-commit'
  /** Delivered again after an ack that was answered `recorded`, by a node that lived on. */
  | 'after-record'
  /** An attempt that is not above one before, or above the most there may be. */
  | 'attempts'
  /** Two dead letters of one message. */
  | 'dead-twice'
  /** A dead letter of a message that had deliveries left, or whose consumer did not ask for it. */
  | 'dead-early'
  /** A delayed message that was there before its time. */
  | 'early'
  /** A delayed message behind the answer that it was cancelled. */
  | 'after-cancel'
  /** The run did too little to prove anything. */
  | 'too-little';

const EXAMPLES_MAX = 10;

/** The findings of a check: a count for each guilt, and the first examples in words. */
export class Verdicts {
  readonly counts = new Map<Guilt, number>();
  readonly examples: string[] = [];
  /** Where the evidence was put. */
  keptIn: string | undefined;

  add(guilt: Guilt, words: string): void {
    const count = (this.counts.get(guilt) ?? 0) + 1;
    this.counts.set(guilt, count);
    if (count <= EXAMPLES_MAX) this.examples.push(`${guilt}: ${words}`);
  }

  get isClean(): boolean {
    return this.counts.size === 0;
  }

  count(guilt: Guilt): number {
    return this.counts.get(guilt) ?? 0;
  }

  /** Everything in words, for a failure message. */
  toString(): string {
    if (this.isClean) return 'nothing was found';
    const counts = [...this.counts].map(([guilt, count]) => `${guilt}=${count}`).join(' ');
    const kept = this.keptIn === undefined ? '' : `\nkept in ${this.keptIn}`;
    return `${counts}\n${this.examples.join('\n')}${kept}`;
  }

  /** @throws AssertionError with everything that was found */
  assertClean(): void {
    assert(this.isClean, this.toString());
  }
}
