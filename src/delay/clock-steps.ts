import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import type { DelayStats } from './delay-stats.ts';

/** What {@link ClockSteps} are made of. */
export interface ClockStepsParts {
  readonly clock: Clock;
  readonly log: Logger;
  readonly stats: DelayStats;
}

/** A clock that went so far against the other is said to have stepped, in ms. */
const STEP_MS = 1_000;

/** Holds the wall clock against the one that never steps. */
export class ClockSteps {
  readonly #parts: ClockStepsParts;
  #driftMs: number;

  constructor(parts: ClockStepsParts) {
    this.#parts = parts;
    this.#driftMs = parts.clock.now() - parts.clock.monotonic();
  }

  /** By so many ms the wall clock went forward against the other since the last time. */
  watch(nowMs: number): number {
    const { clock, log, stats } = this.#parts;
    const drift = nowMs - clock.monotonic();
    const stepMs = Math.round(drift - this.#driftMs);
    this.#driftMs = drift;
    if (Math.abs(stepMs) > STEP_MS) {
      stats.clockSteps++;
      log.error({ stepMs }, 'the wall clock stepped: due times follow it');
    }
    return stepMs;
  }
}
