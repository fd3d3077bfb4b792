import { Cron } from 'croner';
import type { SeriesEvery } from '../../protocol/src/series.ts';
import { coded, messageOf } from '../base/errors.ts';

/** One time of a series; numbers begin at 1. */
export interface Firing {
  readonly number: number;
  /** Unix ms. */
  readonly dueMs: number;
}

/** The times of a rule, without end: what ends a series is its count or its last time. */
export interface SeriesTimes {
  /** The one after; undefined: there is none before the year 10000. */
  after(firing: Firing): Firing | undefined;
  /**
   * The last one due at `nowMs` or before, from `firing` on, which is due itself. No number above
   * `numberMax`, and none that is cancelled.
   */
  lastUpTo(nowMs: number, firing: Firing, bounds: FiringBounds): Firing;
}

/** Which numbers of a rule fire. */
export interface FiringBounds {
  readonly numberMax: number;
  readonly cancelled: ReadonlySet<number>;
}

/** The end of the year 9999, in unix ms: no series fires later. */
export const TIMES_END_MS = 253_402_300_799_999;

/** Longest text of a cron rule, in characters. */
const CRON_CHARS_MAX = 256;
/** Times of a cron rule that are counted one by one; when more were missed they get no number. */
const CRON_COUNTED_MAX = 1_440;
const CRONS_KEPT = 256;
const HOUR_MS = 3_600_000;
const CRON_STRETCHES_MS = [1, 24, 24 * 31, 24 * 366, 24 * 366 * 9].map((hours) => hours * HOUR_MS);

/**
 * The times of a rule, counted from `anchorMs`.
 * @throws INVALID_ARGUMENT in words, for a cron rule or a time zone that cannot be read
 */
export function timesOf(every: SeriesEvery, anchorMs: number): SeriesTimes {
  if ('cron' in every) return new CronTimes(every.cron, every.timeZone ?? 'UTC');
  if ('intervalMs' in every) {
    return new ComputedTimes((number) => anchorMs + number * every.intervalMs);
  }
  const sum = growingSum(every);
  return new ComputedTimes((number) => anchorMs + sum(number));
}

/** The first time of a rule. */
export function firstOf(times: SeriesTimes, anchorMs: number): Firing | undefined {
  return times.after({ number: 0, dueMs: anchorMs });
}

/** Times that follow from their numbers. */
class ComputedTimes implements SeriesTimes {
  readonly #dueMs: (number: number) => number;

  constructor(dueMs: (number: number) => number) {
    this.#dueMs = dueMs;
  }

  after({ number }: Firing): Firing | undefined {
    const next = this.#at(number + 1);
    return next.dueMs <= TIMES_END_MS ? next : undefined;
  }

  lastUpTo(nowMs: number, firing: Firing, { numberMax, cancelled }: FiringBounds): Firing {
    const endMs = Math.min(nowMs, TIMES_END_MS);
    let step = 1;
    while (this.#at(firing.number + step).dueMs <= endMs) step *= 2;
    let low = firing.number;
    let high = firing.number + step;
    while (high - low > 1) {
      const middle = Math.floor((low + high) / 2);
      if (this.#at(middle).dueMs <= endMs) low = middle;
      else high = middle;
    }
    low = Math.min(low, numberMax);
    while (low > firing.number && cancelled.has(low)) low--;
    return low > firing.number ? this.#at(low) : firing;
  }

  #at(number: number): Firing {
    return { number, dueMs: this.#dueMs(number) };
  }
}

/**
 * The sum of the first waits, each `factor` times the one before and none above `maxMs`: by a
 * formula, so that no error adds up and nothing has to be counted through.
 */
function growingSum({
  firstMs,
  factor,
  maxMs = Number.POSITIVE_INFINITY,
}: {
  firstMs: number;
  factor: number;
  maxMs?: number;
}): (number: number) => number {
  if (factor === 1) return (number) => number * firstMs;
  const growth = Math.log1p(factor - 1);
  // Each where it is exact to a few units in the last place: a power near 1 loses digits by the
  // subtraction, and a large exponent loses them in its product.
  const grown = (number: number) =>
    number * growth < 1 ? Math.expm1(number * growth) : factor ** number - 1;
  const growing = (number: number) => (firstMs * grown(number)) / (factor - 1);
  /** Waits that are shorter than the longest. */
  const shorter = Math.max(0, Math.ceil(Math.log(maxMs / firstMs) / growth));
  return (number) => {
    const sum = number <= shorter ? growing(number) : growing(shorter) + (number - shorter) * maxMs;
    return Math.round(sum);
  };
}

/** Times of a clock on the wall. */
class CronTimes implements SeriesTimes {
  readonly #cron: Cron;

  constructor(text: string, timeZone: string) {
    this.#cron = cronOf(text, timeZone);
  }

  after({ number, dueMs }: Firing): Firing | undefined {
    const nextMs = this.#nextMs(dueMs);
    return nextMs === undefined ? undefined : { number: number + 1, dueMs: nextMs };
  }

  lastUpTo(nowMs: number, firing: Firing, { numberMax, cancelled }: FiringBounds): Firing {
    let last = firing;
    let wanted = firing;
    for (let counted = 0; counted < CRON_COUNTED_MAX; counted++) {
      const next = last.number < numberMax ? this.after(last) : undefined;
      if (next === undefined || next.dueMs > nowMs) return wanted;
      last = next;
      if (!cancelled.has(last.number)) wanted = last;
    }
    const dueMs = this.#lastMs(nowMs, last.dueMs);
    let number = last.number + 1;
    while (cancelled.has(number)) number++;
    return dueMs === last.dueMs || number > numberMax ? wanted : { number, dueMs };
  }

  /** The last time at `nowMs` or before, looked for in longer and longer stretches. */
  #lastMs(nowMs: number, fromMs: number): number {
    for (const stretchMs of CRON_STRETCHES_MS) {
      const beginMs = Math.max(fromMs, nowMs - stretchMs);
      let lastMs: number | undefined;
      for (let at = this.#nextMs(beginMs); at !== undefined && at <= nowMs; at = this.#nextMs(at)) {
        lastMs = at;
      }
      if (lastMs !== undefined) return lastMs;
      if (beginMs === fromMs) break;
    }
    return fromMs;
  }

  #nextMs(afterMs: number): number | undefined {
    const next = this.#cron.nextRun(new Date(afterMs))?.getTime();
    return next === undefined || next <= afterMs || next > TIMES_END_MS ? undefined : next;
  }
}

/** Cron rules that were read, the oldest first: reading costs more than finding the next time. */
const crons = new Map<string, Cron>();

function cronOf(text: string, timeZone: string): Cron {
  const name = JSON.stringify([timeZone, text]);
  let cron = crons.get(name);
  if (cron !== undefined) return cron;
  checkTimeZone(timeZone);
  cron = readCron(text, timeZone);
  if (crons.size >= CRONS_KEPT) crons.delete(crons.keys().next().value ?? name);
  crons.set(name, cron);
  return cron;
}

function checkTimeZone(timeZone: string): void {
  try {
    new Intl.DateTimeFormat('en', { timeZone });
  } catch (cause) {
    const words = `there is no time zone ${JSON.stringify(timeZone)}; write Europe/Berlin or UTC`;
    throw coded('INVALID_ARGUMENT', words, { cause });
  }
}

function readCron(text: string, timeZone: string): Cron {
  const name = `cron ${JSON.stringify(text.slice(0, CRON_CHARS_MAX))}`;
  const fields = text.trim().split(/\s+/).length;
  if (text.length > CRON_CHARS_MAX || fields !== 5) {
    const words = `${name} has ${fields} fields; it takes 5: minute hour day month weekday`;
    throw coded('INVALID_ARGUMENT', words);
  }
  try {
    return new Cron(text, { timezone: timeZone, mode: '5-part', paused: true });
  } catch (cause) {
    const why = messageOf(cause).replace(/^\w+: /, '');
    throw coded('INVALID_ARGUMENT', `${name} cannot be read: ${why}`, { cause });
  }
}
