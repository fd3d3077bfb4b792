import type { Random } from '../../base/random.ts';
import type { Backoff } from './retry-policy.ts';

/**
 * How long a message waits after its `attempt`-th delivery failed: from the table, or
 * `min · 2^(attempt − 1)` up to `max`, with a jitter so that what failed together does not come
 * back together.
 *
 * @param attempt deliveries so far, from 1
 * @param random gives the jitter; without it the wait is exact
 * @returns whole ms, at least 1 and, jitter included, at most the longest wait of the backoff
 */
export function backoffMs(backoff: Backoff, attempt: number, random?: Random): number {
  const { min, max, table, jitterPercent } = backoff;
  const last = table.length === 0 ? max : Math.max(...table);
  const exact =
    table.length === 0
      ? // 2^53 doublings of a millisecond are beyond any `max`.
        Math.min(max, min * 2 ** Math.min(attempt - 1, 52))
      : (table[Math.min(attempt, table.length) - 1] as number);
  if (random === undefined || jitterPercent === 0) return Math.max(1, exact);
  const spread = (exact * jitterPercent) / 100;
  const wait = Math.round(exact + spread * (2 * random.float() - 1));
  return Math.min(last, Math.max(1, wait));
}
