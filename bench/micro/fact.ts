import { openSync, readSync } from 'node:fs';
import { performance } from 'node:perf_hooks';

/** What is measured once and not by calls a second: the longest of many calls, a size. */
export interface Fact {
  readonly name: string;
  readonly unit: string;
  readonly value: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/** A fact and whether it is as wanted; null when nothing is wanted. */
export interface FactResult extends Fact {
  readonly reached: boolean | null;
}

/** Holds facts against what is wanted of them. */
export function judged(facts: readonly Fact[]): FactResult[] {
  return facts.map((fact) => {
    const { value, atLeast, atMost } = fact;
    const wanted = atLeast !== undefined || atMost !== undefined;
    const reached = value >= (atLeast ?? -Infinity) && value <= (atMost ?? Infinity);
    return { ...fact, value: Number(value.toPrecision(4)), reached: wanted ? reached : null };
  });
}

/** The middle of some numbers. */
export function middle(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

const stat = openOrNot('/proc/thread-self/schedstat');
const text = Buffer.alloc(128);

function openOrNot(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined;
  }
}

/** How long this thread has been ready and had no core, in ms; 0 where nobody says. */
function waitedMs(): number {
  if (stat === undefined) return 0;
  const bytes = readSync(stat, text, 0, text.length, 0);
  return Number(text.toString('latin1', 0, bytes).split(' ')[1]) / 1e6;
}

interface Times {
  readonly wallMs: number;
  /** Without what other processes had of the core meanwhile. */
  readonly ownMs: number;
}

function timesOf(work: () => void): Times {
  const waited = waitedMs();
  const began = performance.now();
  work();
  const wallMs = performance.now() - began;
  return { wallMs, ownMs: Math.max(0, wallMs - (waitedMs() - waited)) };
}

/** How many a second `work` does, which does `count`, while it has a core. */
export function perSecond(count: number, work: () => void): number {
  return (count * 1000) / timesOf(work).ownMs;
}

/** The longest of many calls, in ms: by the clock, and without the wait for a core. */
export class Longest {
  wallMs = 0;
  ownMs = 0;
  readonly #own: number[] = [];

  get calls(): number {
    return this.#own.length;
  }

  /** All but one in a thousand are not longer. */
  get p999Ms(): number {
    const sorted = [...this.#own].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length * 0.999)] ?? Number.NaN;
  }

  /** Calls `work` once; what it gives. */
  time(work: () => boolean): boolean {
    let given = false;
    const { wallMs, ownMs } = timesOf(() => {
      given = work();
    });
    this.wallMs = Math.max(this.wallMs, wallMs);
    this.ownMs = Math.max(this.ownMs, ownMs);
    this.#own.push(ownMs);
    return given;
  }
}
