/** A run's seed: `MQP_SEED`, else one that the clock gives. Print it as `seed=`. */
export const seed = Number(process.env['MQP_SEED'] ?? Date.now() % 1_000_000);

/** A count of a test: from the environment, else the small default of `npm test`. */
export function countOf(variable: string, byDefault: number): number {
  return Number(process.env[variable] ?? byDefault);
}

/** Numbers that a seed repeats. */
export class Seeded {
  #state: number;

  constructor(state: number) {
    this.#state = (state ^ 0x9e37_79b9) >>> 0;
  }

  /** 0 to below 1. */
  float(): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** 0 to below `n`. */
  below(n: number): number {
    return Math.floor(this.float() * n);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)] as T;
  }

  bytes(n: number): Buffer {
    const bytes = Buffer.allocUnsafe(n);
    for (let i = 0; i < n; i++) bytes[i] = this.below(256);
    return bytes;
  }

  shuffle<T>(items: readonly T[]): T[] {
    const mixed = [...items];
    for (let i = mixed.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [mixed[i], mixed[j]] = [mixed[j] as T, mixed[i] as T];
    }
    return mixed;
  }
}
