import { Histogram } from '../base/histogram.ts';

const LATE_BOUNDS_MS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 5_000, 60_000] as const;

/** Times of a firing by this node's clock, in unix ms. */
export interface FiringTimes {
  readonly dueMs: number;
  /** It was handed to the publisher. */
  readonly sentMs: number;
  /** The publisher said that it is published. */
  readonly doneMs: number;
}

/** Counts of one cluster's delayed messages since the node began. */
export class DelayStats {
  fired = 0;
  /** Fired before they were due by this node's clock: stays 0. */
  early = 0;
  /** Late by more than a second. */
  late = 0;
  readonly lateMs = new Histogram(LATE_BOUNDS_MS);
  /** Publications that were refused and are tried again. */
  refused = 0;
  /** Records applied from the log. */
  applied = 0;
  /** Records in the log that are not of its form. */
  foreign = 0;
  cancelled = 0;
  moved = 0;
  tooLate = 0;
  /** Of those fired: firings of series. */
  seriesFired = 0;
  /** Missed firings of series that were skipped, or that a later one stood for. */
  seriesMissed = 0;
  /** Stretches of the index that were loaded. */
  loads = 0;
  /** Partitions that were read from the beginning. */
  replays = 0;
  clockSteps = 0;

  /**
   * One was published. It is late by when that was known, and early by when it was handed over: an
   * answer that takes long does not hide that it went too soon.
   */
  fire({ dueMs, sentMs, doneMs }: FiringTimes): void {
    const lateMs = doneMs - dueMs;
    this.fired++;
    if (sentMs < dueMs) this.early++;
    if (lateMs > 1_000) this.late++;
    this.lateMs.add(Math.max(0, lateMs));
  }
}
