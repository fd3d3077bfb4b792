import { limits } from '../base/limits.ts';

/**
 * How long a cancel, a move, or the end of a series is remembered, in ms: as long as Kafka keeps a
 * tombstone. A node that lost a series while it fired writes of it long before.
 */
export const CHANGED_KEPT_MS = 86_400_000;

/**
 * Single messages that were cancelled or moved of late, by the names of their ids. A schedule that
 * comes for one of them is a copy (sent again after a crash or an outage), not something new. Above
 * its bound the oldest are left to the index, which then is asked for every schedule.
 */
export class ChangedNames {
  /** By name, the time of the change; in the order of the changes. */
  readonly #names = new Map<string, number>();
  readonly #max: number;
  /** Until then there may be names that only the index knows, in ms since 1970. */
  #crowdedUntilMs = 0;

  constructor(max: number = limits.delayChangedMax) {
    this.#max = max;
  }

  /** `nowMs` and `atMs` in ms since 1970. */
  add(name: string, atMs: number, nowMs: number): void {
    this.#names.delete(name);
    this.#names.set(name, atMs);
    for (const [oldest, oldestMs] of this.#names) {
      const isOld = oldestMs < nowMs - CHANGED_KEPT_MS;
      if (!isOld && this.#names.size <= this.#max) break;
      this.#names.delete(oldest);
      if (!isOld) this.#crowdedUntilMs = Math.max(this.#crowdedUntilMs, oldestMs + CHANGED_KEPT_MS);
    }
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Whether a name that is not here may have been changed all the same. */
  isCrowded(nowMs: number): boolean {
    return nowMs < this.#crowdedUntilMs;
  }

  /** Forgets those of a partition, the second byte of an id. */
  forget(partition: number): void {
    for (const name of this.#names.keys())
      if (name.charCodeAt(1) === partition) this.#names.delete(name);
  }
}
