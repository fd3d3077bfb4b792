import type { Histogram } from '../base/histogram.ts';

/** What one set of labels has counted. */
export interface HistogramRow {
  /** As in the text: `lane="0"`; empty for none. */
  readonly labels: string;
  /** By bound, not cumulated; one more for the rest. */
  readonly buckets: Float64Array;
  readonly sum: number;
}

/** A row of times that were counted in ms. */
export function rowInSeconds({ buckets, sum }: Histogram, labels = ''): HistogramRow {
  return { labels, buckets, sum: sum / 1000 };
}

/** A histogram whose buckets are filled already, in Prometheus' text format. */
export function histogramText(
  name: string,
  help: string,
  { bounds, rows }: { bounds: readonly number[]; rows: readonly HistogramRow[] },
): string {
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  for (const { labels, buckets, sum } of rows) {
    let total = 0;
    const before = labels === '' ? '' : `${labels},`;
    const all = labels === '' ? '' : `{${labels}}`;
    buckets.forEach((count, i) => {
      total += count;
      const bound = i < bounds.length ? String(bounds[i]) : '+Inf';
      lines.push(`${name}_bucket{${before}le="${bound}"} ${total}`);
    });
    lines.push(`${name}_sum${all} ${sum}`, `${name}_count${all} ${total}`);
  }
  return `${lines.join('\n')}\n`;
}
