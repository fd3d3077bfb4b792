import type { BudgetSettings } from './retry-policy.ts';

/**
 * How many dead letters of a (topic, group) may be moved now. A poison message now and then is
 * normal; when everything fails, what is dead is most likely something behind the consumers, and
 * pouring the topic into the dead letters would only lose its order. So a move takes a token; an
 * acknowledged message gives back a part of one, and time a few a minute, so that consumption comes
 * to life again by itself: each move frees a place for a message that has not failed yet.
 *
 * Pure: time comes in by argument, in ms of a clock that does not go back.
 */
export class TokenBudget {
  #tokens: number;
  #atMs: number;
  #refused = false;
  readonly #settings: BudgetSettings;

  constructor(settings: BudgetSettings, nowMs: number) {
    this.#settings = settings;
    this.#tokens = settings.burst;
    this.#atMs = nowMs;
  }

  /** Tokens there are now, between 0 and the burst (at least 1). */
  tokens(nowMs: number): number {
    this.#refill(nowMs);
    return this.#tokens;
  }

  /** Whether the last take found no token: the budget holds messages back. */
  get isHolding(): boolean {
    return this.#refused;
  }

  /** Notes `count` messages that were handled. */
  acked(count: number): void {
    this.#tokens = Math.min(
      this.#most,
      this.#tokens + (count * this.#settings.perHundredAcks) / 100,
    );
  }

  /** Takes one token; false when there is none. */
  take(nowMs: number): boolean {
    this.#refill(nowMs);
    this.#refused = this.#tokens < 1;
    if (this.#refused) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Gives a token back whose move was not done. */
  giveBack(): void {
    this.#tokens = Math.min(this.#most, this.#tokens + 1);
  }

  /** When time alone makes the next whole token, in ms from now; 0: there is one. */
  waitMs(nowMs: number): number {
    this.#refill(nowMs);
    if (this.#tokens >= 1) return 0;
    const { perMinute } = this.#settings;
    if (perMinute === 0) return Number.POSITIVE_INFINITY;
    return Math.ceil(((1 - this.#tokens) * 60_000) / perMinute);
  }

  /** A burst of 0 still saves one token, or nothing would ever come through. */
  get #most(): number {
    return Math.max(1, this.#settings.burst);
  }

  #refill(nowMs: number): void {
    const passedMs = Math.max(0, nowMs - this.#atMs);
    this.#atMs = Math.max(this.#atMs, nowMs);
    const made = (passedMs * this.#settings.perMinute) / 60_000;
    this.#tokens = Math.min(this.#most, this.#tokens + made);
  }
}
