import { cpuSecondsOf, cpuTicks, stealPercent } from '../src/cli/load/machine-load.ts';
import type { LoadReport, RunResult } from './result.ts';

/** Reads the CPU time of the parts before a run, and what they used after it. */
export class Meter {
  readonly #node: number | undefined;
  readonly #kafka: number | undefined;
  readonly #before: { node: number | undefined; kafka: number | undefined };
  readonly #ticks = cpuTicks();

  constructor(pids: { readonly node?: number; readonly kafka?: number | undefined }) {
    this.#node = pids.node;
    this.#kafka = pids.kafka;
    this.#before = { node: cpuSecondsOf(this.#node), kafka: cpuSecondsOf(this.#kafka) };
  }

  get stealPercent(): number {
    return stealPercent(this.#ticks, cpuTicks());
  }

  /** @param arrived records in the log once all has drained */
  result(load: LoadReport, arrived: number, drainSeconds = 0): RunResult {
    return {
      requestsPerSecond: load.requestsPerSecond,
      acked: load.acked,
      failed: load.failed,
      ...(load.failed > 0 ? { failedByCode: load.failedByCode ?? {} } : {}),
      missing: Math.max(0, load.acked - arrived),
      duplicates: Math.max(0, arrived - load.acked),
      drainSeconds,
      latencyMs: load.latencyMs,
      cpuSeconds: {
        client: load.cpuSeconds,
        node: used(this.#before.node, cpuSecondsOf(this.#node)),
        kafka: used(this.#before.kafka, cpuSecondsOf(this.#kafka)),
      },
      stealPercent: this.stealPercent,
    };
  }
}

function used(before: number | undefined, after: number | undefined): number | null {
  if (before === undefined || after === undefined) return null;
  return Math.round((after - before) * 100) / 100;
}
