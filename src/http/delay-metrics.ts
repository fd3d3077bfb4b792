import { Counter, Gauge, type Registry } from 'prom-client';
import type { Histogram } from '../base/histogram.ts';
import { histogramText, rowInSeconds } from './histogram-text.ts';

/** What is known of one cluster's delayed messages; read when a scrape comes. */
export interface DelayReport {
  /** 0 the primary, or the embedded log; 1 the backup. */
  readonly cluster: number;
  readonly pending: number;
  readonly near: number;
  readonly queued: number;
  readonly stuckTopics: number;
  readonly partitionsOwn: number;
  readonly partitionsReady: number;
  readonly fired: number;
  readonly early: number;
  readonly late: number;
  /** How late they were. */
  readonly lateMs: Histogram;
  readonly refused: number;
  readonly cancelled: number;
  readonly moved: number;
  readonly tooLate: number;
  readonly seriesFired: number;
  readonly seriesMissed: number;
  readonly applied: number;
  readonly foreign: number;
  readonly replays: number;
  readonly loads: number;
  readonly clockSteps: number;
}

type Row = readonly [name: string, help: string, read: (report: DelayReport) => number];

const PREFIX = 'mqproxy_delay';

const GAUGES: readonly Row[] = [
  ['_pending', 'Delayed messages that wait in the partitions of this node.', (r) => r.pending],
  ['_near', 'Delayed messages held in memory, ahead of their time.', (r) => r.near],
  ['_queued', 'Delayed messages that are due and not published yet.', (r) => r.queued],
  ['_stuck_topics', 'Topics that do not take what is due.', (r) => r.stuckTopics],
  ['_partitions', 'Partitions of the delay log that are this node’s.', (r) => r.partitionsOwn],
  ['_partitions_ready', 'Those applied to where they began.', (r) => r.partitionsReady],
];

const COUNTERS: readonly Row[] = [
  ['_fired_total', 'Delayed messages published.', (r) => r.fired],
  ['_fired_early_total', 'Of them before their due time: stays 0.', (r) => r.early],
  ['_fired_late_total', 'Of them later than a second.', (r) => r.late],
  ['_refused_total', 'Publications that are tried again.', (r) => r.refused],
  ['_cancelled_total', 'Delayed messages cancelled.', (r) => r.cancelled],
  ['_moved_total', 'Delayed messages given another due time.', (r) => r.moved],
  ['_too_late_total', 'Commands that came too late.', (r) => r.tooLate],
  ['_series_fired_total', 'Of those published: firings of series.', (r) => r.seriesFired],
  ['_series_missed_total', 'Missed firings of series, not made.', (r) => r.seriesMissed],
  ['_applied_total', 'Records of the delay log applied to the index.', (r) => r.applied],
  ['_foreign_total', 'Records of the delay log not of its form, left alone.', (r) => r.foreign],
  ['_replays_total', 'Partitions read from the beginning of the log.', (r) => r.replays],
  ['_loads_total', 'Stretches of the index that were loaded.', (r) => r.loads],
  ['_clock_steps_total', 'Steps of the wall clock by more than a second.', (r) => r.clockSteps],
];

/** Adds what docs/operating.md says of delayed messages; all 0 while the role is not open. */
export function addDelayMetrics(registry: Registry, reports: () => readonly DelayReport[]): void {
  const own = { labelNames: ['cluster'], registers: [registry] };
  for (const [name, help, read] of GAUGES) {
    new Gauge({
      name: PREFIX + name,
      help,
      ...own,
      collect() {
        for (const one of reports()) this.set({ cluster: String(one.cluster) }, read(one));
      },
    });
  }
  for (const [name, help, read] of COUNTERS) {
    new Counter({
      name: PREFIX + name,
      help,
      ...own,
      collect() {
        this.reset();
        for (const one of reports()) this.inc({ cluster: String(one.cluster) }, read(one));
      },
    });
  }
}

/** How late delayed messages were published. */
export function delayHistogram(reports: readonly DelayReport[]): string {
  const help = 'From the due time of a delayed message to its publication.';
  return histogramText(`${PREFIX}_lag_seconds`, help, {
    bounds: reports[0]?.lateMs.bounds.map((ms) => ms / 1000) ?? [],
    rows: reports.map(({ cluster, lateMs }) => rowInSeconds(lateMs, `cluster="${cluster}"`)),
  });
}
