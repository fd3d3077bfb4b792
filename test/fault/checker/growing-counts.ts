/** Small counts (0 to 255) by number, for numbers that begin near 0: a byte each. */
export class GrowingCounts {
  #counts = new Uint8Array(1024);
  /** The highest number that was counted, -1 before the first. */
  highest = -1;

  get(number: number): number {
    return this.#counts[number] ?? 0;
  }

  /** Answers the new count. */
  increment(number: number): number {
    const count = Math.min(255, this.get(number) + 1);
    this.set(number, count);
    return count;
  }

  set(number: number, count: number): void {
    if (number >= this.#counts.length) {
      const grown = new Uint8Array(Math.max(number + 1, this.#counts.length * 2));
      grown.set(this.#counts);
      this.#counts = grown;
    }
    this.#counts[number] = count;
    if (number > this.highest) this.highest = number;
  }
}
