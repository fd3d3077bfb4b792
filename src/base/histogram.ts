/** Counts of values by bounds, not cumulated, with one more bucket for what is above them all. */
export class Histogram {
  /** Upper bounds, each within its bucket, rising. */
  readonly bounds: readonly number[];
  readonly buckets: Float64Array;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.buckets = new Float64Array(bounds.length + 1);
  }

  add(value: number, count = 1): void {
    const i = bucketOf(this.bounds, value);
    this.buckets[i] = (this.buckets[i] as number) + count;
    this.sum += value * count;
  }
}

/** The first bucket whose upper bound is not below a value; `bounds.length` above them all. */
export function bucketOf(bounds: readonly number[], value: number): number {
  let i = 0;
  while (i < bounds.length && value > (bounds[i] as number)) i++;
  return i;
}
