/**
 * A set of sequences, as runs. Adding is cheap and in any order; the runs are put in order when
 * somebody asks. Its memory follows the runs, so it is bounded by what may be in flight.
 */
export class RunSet {
  /** Pairs: first sequence, and the one after the last. */
  private runs: number[] = [];
  private isSorted = true;

  get isEmpty(): boolean {
    return this.runs.length === 0;
  }

  /** The lowest sequence; infinity when there is none. */
  get first(): number {
    this.sort();
    return this.runs[0] ?? Number.POSITIVE_INFINITY;
  }

  /** How many sequences it holds. */
  get count(): number {
    this.sort();
    let count = 0;
    for (let i = 0; i < this.runs.length; i += 2) {
      count += (this.runs[i + 1] as number) - (this.runs[i] as number);
    }
    return count;
  }

  add(first: number, count: number): void {
    const { runs } = this;
    const last = runs.length - 1;
    if (last > 0 && runs[last] === first) {
      runs[last] = first + count;
      return;
    }
    if (last > 0 && first < (runs[last] as number)) this.isSorted = false;
    runs.push(first, first + count);
  }

  has(sequence: number): boolean {
    this.sort();
    const index = this.indexOf(sequence);
    return index < this.runs.length && (this.runs[index] as number) <= sequence;
  }

  /** Forgets every sequence below `end`. */
  dropBelow(end: number): void {
    this.sort();
    const index = this.indexOf(end);
    if (index > 0) this.runs.splice(0, index);
    const first = this.runs[0];
    if (first !== undefined && first < end) this.runs[0] = end;
  }

  /** Moves everything into `other`. */
  moveTo(other: Pick<RunSet, 'add'>): void {
    const { runs } = this;
    for (let i = 0; i < runs.length; i += 2) {
      other.add(runs[i] as number, (runs[i + 1] as number) - (runs[i] as number));
    }
    this.runs = [];
    this.isSorted = true;
  }

  /** Index of the first run that ends behind `sequence`. */
  private indexOf(sequence: number): number {
    let low = 0;
    let high = this.runs.length / 2;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.runs[middle * 2 + 1] as number) <= sequence) low = middle + 1;
      else high = middle;
    }
    return low * 2;
  }

  private sort(): void {
    if (this.isSorted) return;
    this.isSorted = true;
    const { runs } = this;
    const order = Array.from({ length: runs.length / 2 }, (_, i) => i * 2);
    order.sort((a, b) => (runs[a] as number) - (runs[b] as number));
    const merged: number[] = [];
    for (const at of order) {
      const from = runs[at] as number;
      const to = runs[at + 1] as number;
      const last = merged.length - 1;
      if (last > 0 && from <= (merged[last] as number)) {
        merged[last] = Math.max(merged[last] as number, to);
      } else merged.push(from, to);
    }
    this.runs = merged;
  }
}
