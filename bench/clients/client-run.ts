import { parseArgs } from 'node:util';
import type { LoadReport } from '../result.ts';

/** What a client program is asked for. */
export interface ClientFlags {
  /** `HOST:PORT` of Kafka or of a node. */
  readonly brokers: string;
  readonly topic: string;
  readonly mode: string;
  readonly size: number;
  readonly duration: number;
  readonly warmup: number;
  /** Of a group, where it consumes. */
  readonly consumers: number;
  /** Messages to take in all, where it consumes. */
  readonly count: number;
}

/** Reads `--name value` flags. */
export function clientFlags(): ClientFlags {
  const text = { type: 'string' } as const;
  const span = { duration: text, warmup: text };
  const shape = { topic: text, mode: text, size: text, consumers: text, count: text };
  const { values } = parseArgs({ options: { brokers: text, ...shape, ...span } });
  return {
    brokers: values.brokers ?? '127.0.0.1:9092',
    topic: values.topic ?? 'bench',
    mode: values.mode ?? 'single',
    size: Number(values.size ?? 100),
    duration: Number(values.duration ?? 5),
    warmup: Number(values.warmup ?? 1),
    consumers: Number(values.consumers ?? 1),
    count: Number(values.count ?? 0),
  };
}

const keys = 10_000;

/** The keys of `mq_load`, in order. */
export function keyTable(): Buffer[] {
  return Array.from({ length: keys }, (_, i) => Buffer.from(`k${String(i).padStart(7, '0')}`));
}

/** A value as `mq_load` makes it: half random, half constant. */
export function valueBytes(size: number): Buffer {
  let state = 0x9e3779b9;
  return Buffer.from(
    Array.from({ length: size }, (_, i) => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return i % 2 === 0 ? state >>> 24 : 0x76;
    }),
  );
}

/** Times and counts of one run. Times are `performance.now()`, in ms. */
export class ClientRun {
  acked = 0;
  failed = 0;
  readonly countFrom: number;
  readonly end: number;
  #latencies = new Float64Array(1 << 16);
  #counted = 0;

  constructor({ duration, warmup }: ClientFlags) {
    this.countFrom = performance.now() + warmup * 1000;
    this.end = this.countFrom + duration * 1000;
  }

  get over(): boolean {
    return performance.now() >= this.end;
  }

  /** One message was answered well; `sent` is when it left. */
  answered(sent: number): void {
    const now = performance.now();
    this.acked++;
    if (now < this.countFrom || now >= this.end) return;
    if (this.#counted === this.#latencies.length) {
      const longer = new Float64Array(this.#counted * 2);
      longer.set(this.#latencies);
      this.#latencies = longer;
    }
    this.#latencies[this.#counted++] = now - sent;
  }

  /** Prints the one line; `rate` where it is not what was answered in the counted time. */
  print(rate?: number): void {
    const sorted = this.#latencies.subarray(0, this.#counted).sort();
    const at = (share: number): number =>
      sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
    const { user, system } = process.cpuUsage();
    const report: LoadReport = {
      requestsPerSecond: rate ?? (this.#counted * 1000) / (this.end - this.countFrom),
      acked: this.acked,
      failed: this.failed,
      latencyMs: { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max: at(1) },
      cpuSeconds: (user + system) / 1e6,
    };
    process.stdout.write(`${JSON.stringify(report)}\n`);
  }
}

/** Keeps `width` sends going until the run is over, and waits for the last. */
export async function keepGoing(
  run: ClientRun,
  width: number,
  send: (n: number) => Promise<void>,
): Promise<void> {
  let n = 0;
  const one = async (): Promise<void> => {
    while (!run.over) await send(n++);
  };
  await Promise.all(Array.from({ length: width }, one));
}
