import assert from 'node:assert/strict';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * After how long a test gives up, in ms: no promise of the node, and nothing that a machine misses
 * that is slow or does other things. What a promise allows is held against measured times.
 */
export const GIVE_UP_MS = 60_000;

/** How long {@link until} waits, and what it says when that was not enough. */
export interface UntilOptions {
  /** In ms; default {@link GIVE_UP_MS}. */
  readonly timeoutMs?: number;
  /** What was waited for, in words: "the broker answers". */
  readonly what?: string;
  /** Between two looks, in ms; default 10. */
  readonly everyMs?: number;
}

/**
 * Looks until `look` gives something other than `undefined`, `null` or `false`, and gives that. The
 * way of a test to wait for a thing that sends no event; fails with `what` when the time is over.
 */
export async function until<T>(
  look: () => T | Promise<T>,
  { timeoutMs = GIVE_UP_MS, what = 'the condition', everyMs = 10 }: UntilOptions = {},
): Promise<NonNullable<Exclude<T, false>>> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== null && seen !== false)
      return seen as NonNullable<Exclude<T, false>>;
    if (performance.now() >= end) assert.fail(`waited ${timeoutMs} ms for: ${what}`);
    await pause(everyMs);
  }
}

/** Rejects when `promise` has not settled after `timeoutMs`. */
export async function within<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  const over = new AbortController();
  try {
    const late = pause(timeoutMs, undefined, { signal: over.signal }).then(() =>
      assert.fail(`waited ${timeoutMs} ms for: ${what}`),
    );
    return await Promise.race([promise, late as Promise<never>]);
  } finally {
    over.abort();
  }
}

/**
 * Lets real time pass where that is what a test is about: an outage that lasts, a timeout of the
 * node, a moment in which nothing may happen. To wait for something to happen, use {@link until}.
 */
export function passing(ms: number): Promise<void> {
  return pause(ms);
}
