/** Latency of answered messages, in ms, from the (intended) send time. */
export interface LatencyMs {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
}

/** What every generator prints as its last line. */
export interface LoadReport {
  readonly requestsPerSecond: number;
  /** Answered well in the whole run, warm-up included. */
  readonly acked: number;
  readonly failed: number;
  readonly failedByCode?: Readonly<Record<string, number>>;
  readonly latencyMs: LatencyMs;
  readonly cpuSeconds: number;
  /** Of `--window`: the latency of each stretch of the counted time, in ms. */
  readonly windows?: readonly { readonly p50: number; readonly p99: number }[];
}

/** What one run of one side gave. */
export interface RunResult {
  readonly requestsPerSecond: number;
  readonly acked: number;
  readonly failed: number;
  readonly failedByCode?: Readonly<Record<string, number>>;
  /** Answered, and not in the log afterwards: a defect. */
  readonly missing: number;
  /** In the log beyond what was answered. */
  readonly duplicates: number;
  /** From the last answer until all has arrived. */
  readonly drainSeconds: number;
  readonly latencyMs: LatencyMs;
  /** Of the load and the drain; null where there is no such process, or it is not ours. */
  readonly cpuSeconds: {
    readonly client: number;
    readonly node: number | null;
    readonly kafka: number | null;
  };
  readonly stealPercent: number;
  /** What only some questions measure, bytes for example. */
  readonly extra?: Readonly<Record<string, number>>;
}

/** A run that did not load anything: only `extra` counts. */
export function bareResult(
  extra: Readonly<Record<string, number>>,
  stealPercent: number,
): RunResult {
  return {
    requestsPerSecond: 0,
    acked: 0,
    failed: 0,
    missing: 0,
    duplicates: 0,
    drainSeconds: 0,
    latencyMs: { p50: 0, p90: 0, p99: 0, p999: 0, max: 0 },
    cpuSeconds: { client: 0, node: null, kafka: null },
    stealPercent,
    extra,
  };
}
