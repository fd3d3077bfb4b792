import { coded } from '../../base/errors.ts';
import { parseDuration } from '../../config/units.ts';

/** When messages of a load fall due, in ms. */
export interface DueSpan {
  /** The first so long after the beginning … */
  readonly aheadMs: number;
  /** … and all over so long. */
  readonly overMs: number;
}

const OVER_MS = 10_000;

/**
 * Reads `--ahead`, a time or a range such as 5s..15s, beside `--over`, which a range says too.
 * @throws USAGE for what is neither, and for a range that is not as long as `--over`
 */
export function dueSpanOf(ahead: string, overMs: number | undefined): DueSpan {
  const [from, to, ...others] = ahead.split('..');
  const aheadMs = parseDuration(from ?? '');
  const endMs = to === undefined ? undefined : parseDuration(to);
  if (aheadMs === undefined || others.length > 0 || (to !== undefined && endMs === undefined)) {
    const words = `--ahead: ${JSON.stringify(ahead)} is not a duration, such as 5s`;
    throw coded('USAGE', `${words}, or a range, such as 5s..15s`);
  }
  if (endMs === undefined) return { aheadMs, overMs: overMs ?? OVER_MS };
  const rangeMs = endMs - aheadMs;
  if (rangeMs <= 0)
    throw coded('USAGE', `--ahead: the range ${ahead} does not end after its start`);
  if (overMs !== undefined && overMs !== rangeMs) {
    const words = `--ahead: the range ${ahead} is ${rangeMs} ms long, and --over says ${overMs} ms`;
    throw coded('USAGE', words, { hint: 'name one of them' });
  }
  return { aheadMs, overMs: rangeMs };
}
