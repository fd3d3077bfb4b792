import type { Figure, Question, Side } from './question.ts';
import { measureOf } from './question.ts';
import type { RunResult } from './result.ts';

/** The middle of several runs, and how far they lie apart. */
export interface Spread {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** The median (of an even number the mean of the middle two), smallest and largest. */
export function spreadOf(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  const lower = sorted.length % 2 === 0 ? (sorted[half - 1] ?? upper) : upper;
  return {
    median: (lower + upper) / 2,
    min: sorted[0] ?? Number.NaN,
    max: sorted.at(-1) ?? Number.NaN,
  };
}

/** All runs of one side. */
export interface SideRuns {
  readonly side: Side;
  readonly runs: RunResult[];
}

/** A figure as it was wanted and as it came out. */
export interface FigureResult extends Figure, Spread {
  readonly reached: boolean | null;
}

/**
 * A figure over all pairs: the ratio is taken within each pair, since what the machine does
 * meanwhile happens to both of its sides. `reached` is null when nothing is wanted.
 */
export function figureResult(figure: Figure, sides: readonly SideRuns[]): FigureResult | undefined {
  const runsOf = (name: string) => sides.find(({ side }) => side.name === name)?.runs;
  const runs = runsOf(figure.of);
  const others = figure.to === undefined ? undefined : runsOf(figure.to);
  if (!runs || runs.length === 0 || (figure.to !== undefined && !others)) return undefined;
  const values = runs.map((run, pair) => {
    const value = measureOf(run, figure.measure);
    const other = others?.[pair];
    return other ? value / measureOf(other, figure.measure) : value;
  });
  const spread = spreadOf(values);
  const { atLeast, atMost } = figure;
  const wanted = atLeast !== undefined || atMost !== undefined;
  const reached = spread.median >= (atLeast ?? -Infinity) && spread.median <= (atMost ?? Infinity);
  return { ...figure, ...rounded(spread), reached: wanted ? reached : null };
}

/** What is printed of a question. */
export function summaryOf(question: Question, sides: readonly SideRuns[]) {
  return {
    question: question.name,
    title: question.title,
    sides: sides.map(({ side, runs }) => sideSummary(side.name, runs)),
    figures: question.figures.flatMap((figure) => figureResult(figure, sides) ?? []),
  };
}

export type Summary = ReturnType<typeof summaryOf>;

/** The figures that are wanted and were not reached, by question, measure and side. */
export function missedFigures(answers: readonly Summary[]): string[] {
  return answers.flatMap(({ question, figures }) =>
    figures
      .filter(({ reached }) => reached === false)
      .map(({ measure, of }) => `${question}: ${measure} of ${of}`),
  );
}

function sideSummary(name: string, runs: readonly RunResult[]) {
  const spread = (read: (run: RunResult) => number) => rounded(spreadOf(runs.map(read)));
  const sum = (read: (run: RunResult) => number) =>
    runs.reduce((total, run) => total + read(run), 0);
  const extras = Object.keys(runs[0]?.extra ?? {});
  return {
    name,
    requestsPerSecond: spread((run) => run.requestsPerSecond),
    p50Ms: spread((run) => run.latencyMs.p50),
    p99Ms: spread((run) => run.latencyMs.p99),
    acked: sum((run) => run.acked),
    failed: sum((run) => run.failed),
    missing: sum((run) => run.missing),
    duplicates: sum((run) => run.duplicates),
    drainSeconds: spread((run) => run.drainSeconds),
    stealPercent: spread((run) => run.stealPercent),
    extra: Object.fromEntries(extras.map((key) => [key, spread((run) => run.extra?.[key] ?? 0)])),
    runs,
  };
}

function rounded({ median, min, max }: Spread): Spread {
  const round = (value: number) => Number(value.toPrecision(6));
  return { median: round(median), min: round(min), max: round(max) };
}
