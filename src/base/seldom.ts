import type { Clock } from './clock.ts';

/**
 * When a line about what lasts is worth saying again. It remembers each name, so names come from
 * a closed list: codes, and our own words.
 */
export class Seldom {
  readonly #clock: Clock;
  readonly #everyMs: number;
  readonly #saidMs = new Map<string, number>();

  constructor(clock: Clock, everyMs: number) {
    this.#clock = clock;
    this.#everyMs = everyMs;
  }

  /** Whether the line of this name was not said within the time; it counts as said then. */
  isDue(name: string): boolean {
    const now = this.#clock.monotonic();
    const said = this.#saidMs.get(name) ?? Number.NEGATIVE_INFINITY;
    if (now - said < this.#everyMs) return false;
    this.#saidMs.set(name, now);
    return true;
  }
}
