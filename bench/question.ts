import type { RunResult } from './result.ts';
import type { Rig } from './rig.ts';

/** How long and how gently to measure. */
export interface Span {
  readonly seconds: number;
  readonly warmupSeconds: number;
}

/** One thing that is measured beside others. */
export interface Side {
  readonly name: string;
  /** Left out of `--quick`. */
  readonly slow?: boolean;
  run(rig: Rig, span: Span): Promise<RunResult>;
}

/** What is read from a result: `rate`, `p50`, `p99` in ms, or a name in `extra`. */
export type Measure = string;

/** A figure that is wanted: a measure of one side, or its ratio to another's in the same pair. */
export interface Figure {
  readonly measure: Measure;
  readonly of: string;
  readonly to?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** One question: sides measured in alternation, and what is wanted of them. */
export interface Question {
  readonly name: string;
  readonly title: string;
  readonly sides: readonly Side[];
  readonly figures: readonly Figure[];
  /** Part of `--quick`. */
  readonly quick?: boolean;
  /** Never more pairs than this: for what takes minutes, or does not vary. */
  readonly pairsMax?: number;
  /** Asked only by name. */
  readonly onlyByName?: boolean;
}

/** The value of a measure in a result. */
export function measureOf(result: RunResult, measure: Measure): number {
  if (measure === 'rate') return result.requestsPerSecond;
  const latency = Object.entries(result.latencyMs).find(([name]) => name === measure);
  return latency?.[1] ?? result.extra?.[measure] ?? Number.NaN;
}
