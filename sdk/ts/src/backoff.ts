import type { Random } from './clock.ts';

/** Waits that grow by doubling, each drawn evenly between 0 and its bound (full jitter). */
export class Backoff {
  private readonly random: Random;
  private readonly minMs: number;
  private readonly maxMs: number;
  private attempts = 0;

  constructor(random: Random, bounds: { readonly minMs: number; readonly maxMs: number }) {
    this.random = random;
    this.minMs = bounds.minMs;
    this.maxMs = bounds.maxMs;
  }

  /** The next wait in ms. */
  next(): number {
    const boundMs = Math.min(this.maxMs, this.minMs * 2 ** Math.min(this.attempts, 30));
    this.attempts++;
    return this.random.float() * boundMs;
  }

  reset(): void {
    this.attempts = 0;
  }
}
