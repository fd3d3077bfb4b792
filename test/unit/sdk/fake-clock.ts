import type { Clock, Random, Timer } from '../../../sdk/ts/src/clock.ts';

interface Entry extends Timer {
  readonly atMs: number;
  readonly fn: () => void;
}

/**
 * Time that moves when the test says so. A timer of 0 ms fires in the next turn of the event loop.
 */
export class FakeClock implements Clock {
  private nowMs = 1_000_000;
  private readonly entries = new Set<Entry>();

  now(): number {
    return this.nowMs;
  }

  monotonic(): number {
    return this.nowMs;
  }

  setTimer(fn: () => void, delayMs: number): Timer {
    const entry: Entry = {
      atMs: this.nowMs + delayMs,
      fn,
      cancel: () => {
        this.entries.delete(entry);
      },
    };
    this.entries.add(entry);
    if (delayMs <= 0) setImmediate(() => this.fire(entry));
    return entry;
  }

  /** Delays of the timers that are set, rising. */
  get delaysMs(): number[] {
    return [...this.entries].map((entry) => entry.atMs - this.nowMs).sort((a, b) => a - b);
  }

  advance(byMs: number): void {
    const untilMs = this.nowMs + byMs;
    for (;;) {
      let next: Entry | undefined;
      for (const entry of this.entries) {
        if (entry.atMs <= untilMs && (next === undefined || entry.atMs < next.atMs)) next = entry;
      }
      if (next === undefined) break;
      this.nowMs = Math.max(this.nowMs, next.atMs);
      this.fire(next);
    }
    this.nowMs = untilMs;
  }

  private fire(entry: Entry): void {
    if (this.entries.delete(entry)) entry.fn();
  }
}

/** Always the same number: 0 makes every jittered wait 0. */
export function fixedRandom(value: number): Random {
  return { float: () => value };
}
