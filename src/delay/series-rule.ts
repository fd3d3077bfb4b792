import type { RuleHeader } from '../../protocol/src/rule-header.ts';
import type { MissedFirings, SeriesEvery } from '../../protocol/src/series.ts';
import { type Firing, firstOf, type SeriesTimes, timesOf } from './series-times.ts';

/** A firing that is taken up so long after its time is missed, in ms. */
export const MISSED_AFTER_MS = 60_000;

/** What is to be done with a series whose next firing is due. */
export interface Turn {
  /** Fires now; undefined: nothing does. */
  readonly fires: Firing | undefined;
  /** Firings that were missed and are passed over, or stand for by the one that fires. */
  readonly passed: number;
  /** How the series goes on; undefined: it is over. */
  readonly next: Firing | undefined;
}

/** The rule of a series. It reads no clock and keeps nothing. */
export class SeriesRule {
  readonly #times: SeriesTimes;
  readonly #anchorMs: number;
  readonly #missed: MissedFirings;
  readonly #count: number;
  readonly #untilMs: number;
  readonly #cancelled: ReadonlySet<number>;

  /**
   * @param anchorMs when the series was accepted; its times are counted from there
   * @throws INVALID_ARGUMENT in words, for a cron rule or a time zone that cannot be read
   */
  constructor(
    rule: Pick<RuleHeader, 'missed' | 'count' | 'untilMs' | 'cancelled'> & { every: SeriesEvery },
    anchorMs: number,
  ) {
    this.#times = timesOf(rule.every, anchorMs);
    this.#anchorMs = anchorMs;
    this.#missed = rule.missed;
    this.#count = rule.count ?? Number.POSITIVE_INFINITY;
    this.#untilMs = rule.untilMs ?? Number.POSITIVE_INFINITY;
    this.#cancelled = new Set(rule.cancelled);
  }

  /** The first firing; undefined: there is none. */
  first(): Firing | undefined {
    return this.#unlessOver(firstOf(this.#times, this.#anchorMs));
  }

  /** The next firing that is not cancelled; undefined: there is none. */
  after(firing: Firing): Firing | undefined {
    return this.#unlessCancelled(this.#unlessOver(this.#times.after(firing)));
  }

  /**
   * What becomes of the firing that stands, when it is taken up at `nowMs`: not before its time.
   * It is missed after {@link MISSED_AFTER_MS}, or when the one after it is due.
   */
  turn(stands: Firing, nowMs: number): Turn {
    if (this.#missed === 'all' || nowMs <= stands.dueMs) {
      return { fires: stands, passed: 0, next: this.after(stands) };
    }
    const following = this.#unlessOver(this.#times.after(stands));
    const isFollowed = following !== undefined && following.dueMs <= nowMs;
    if (!isFollowed && nowMs <= stands.dueMs + MISSED_AFTER_MS) {
      return { fires: stands, passed: 0, next: this.#unlessCancelled(following) };
    }
    return this.#turnOfMissed(stands, nowMs);
  }

  #turnOfMissed(stands: Firing, nowMs: number): Turn {
    const bounds = { numberMax: this.#count, cancelled: this.#cancelled };
    const last = this.#times.lastUpTo(Math.min(nowMs, this.#untilMs), stands, bounds);
    const next = this.after(last);
    const passed = last.number - stands.number;
    const follower = this.#unlessOver(this.#times.after(last));
    const isMissed =
      nowMs > last.dueMs + MISSED_AFTER_MS || (follower !== undefined && follower.dueMs <= nowMs);
    if (isMissed && this.#missed === 'skip') return { fires: undefined, passed: passed + 1, next };
    return { fires: last, passed, next };
  }

  /** A firing, or the next after it that is not cancelled. */
  #unlessCancelled(firing: Firing | undefined): Firing | undefined {
    let next = firing;
    while (next !== undefined && this.#cancelled.has(next.number)) {
      next = this.#unlessOver(this.#times.after(next));
    }
    return next;
  }

  #unlessOver(firing: Firing | undefined): Firing | undefined {
    if (firing === undefined) return undefined;
    return firing.number <= this.#count && firing.dueMs <= this.#untilMs ? firing : undefined;
  }
}
