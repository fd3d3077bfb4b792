import { Bench } from 'tinybench';

/** One thing timed by itself. */
export interface Micro {
  readonly name: string;
  /** Messages, bytes or hops of one call: what `unit` says. */
  readonly perCall: number;
  readonly unit: string;
  call(): void | Promise<void>;
  /** `call` gives a promise; tinybench would otherwise try it once without awaiting. */
  readonly isAsync?: true;
  /** What is wanted of it, and of one call in ms, at the median. */
  readonly perSecondAtLeast?: number;
  readonly callMsAtMost?: number;
  close?(): void | Promise<void>;
}

/** What is printed of it. */
export interface MicroResult {
  readonly name: string;
  readonly unit: string;
  readonly perSecond: number;
  readonly nanosEach: number;
  /** One call, in µs. */
  readonly callMicros: { readonly p50: number; readonly p99: number };
  /** What is wanted, in words, and whether it is so; absent when nothing is wanted. */
  readonly wanted?: string;
  readonly reached?: boolean;
}

/** Times them one after the other, each for `seconds`. */
export async function timed(micros: readonly Micro[], seconds: number): Promise<MicroResult[]> {
  const results: MicroResult[] = [];
  for (const micro of micros) {
    const bench = new Bench({ time: seconds * 1000, warmupTime: 200, throws: true });
    bench.add(micro.name, () => micro.call(), { async: micro.isAsync ?? false });
    await bench.run();
    await micro.close?.();
    const result = bench.tasks[0]?.result;
    if (!result || !('latency' in result)) continue;
    // The median: one pause of the machine would spoil a mean of half a second.
    const { p50, p99 } = result.latency;
    const perSecond = (micro.perCall * 1000) / p50;
    results.push({
      name: micro.name,
      unit: micro.unit,
      perSecond: Math.round(perSecond),
      nanosEach: round((p50 * 1e6) / micro.perCall),
      callMicros: { p50: round(p50 * 1000), p99: round(p99 * 1000) },
      ...judged(micro, perSecond, p50),
    });
  }
  return results;
}

function judged(
  { perSecondAtLeast, callMsAtMost, unit }: Micro,
  perSecond: number,
  callMs: number,
): Pick<MicroResult, 'wanted' | 'reached'> {
  if (perSecondAtLeast !== undefined) {
    const wanted = `>= ${perSecondAtLeast.toLocaleString('en')} ${unit}/s`;
    return { wanted, reached: perSecond >= perSecondAtLeast };
  }
  if (callMsAtMost === undefined) return {};
  return { wanted: `a call <= ${callMsAtMost} ms`, reached: callMs <= callMsAtMost };
}

function round(value: number): number {
  return Number(value.toPrecision(4));
}
