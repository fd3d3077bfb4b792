import { Verdicts } from './verdicts.ts';

/** A record of the topic that delayed messages are for. */
export interface FiredRecord {
  readonly id: string;
  readonly value: string;
  readonly offset: number;
  /** By the clock of the node that fired it, in unix ms. */
  readonly timestampMs: number;
}

/** What a run must have shown, at least, to prove anything. */
export interface EnoughDelays {
  readonly fired?: number;
  readonly cancelled?: number;
}

/** The numbers of a check. */
export interface DelayRunCounts {
  readonly scheduled: number;
  readonly fired: number;
  readonly cancelled: number;
  readonly duplicates: number;
  readonly disturbances: number;
}

interface Delay {
  readonly sentMs: number;
  readonly dueMs: number;
  /** Of its answer; undefined: its outcome is not known. */
  id: string | undefined;
  isRefused: boolean;
  /** Where the topic ended when the cancel was answered. */
  cancelledAt: number | undefined;
  /** A cancel ended without a clear answer: it may have been done. */
  isDoubtful: boolean;
  copies: number;
}

/** What was done to the node or its backend, by the machine's clock. */
interface Disturbance {
  readonly untilMs: number;
}

/** A publication may be repeated so long after what disturbed it, in ms. */
const AFTERMATH_MS = 30_000;

/**
 * Holds delayed messages against their topic: none early, each once, again only where something
 * disturbed the node since it could be due, and none behind the answer that it was cancelled.
 */
export class DelayChecker {
  readonly #delays: Delay[] = [];
  readonly #disturbances: Disturbance[] = [];
  readonly #verdicts = new Verdicts();
  /** So far the node's clock was ahead of the machine's, at most, in ms. */
  #aheadMs = 0;
  #found = 0;
  #cancelled = 0;

  /** A message is about to leave; its number. Its value is {@link delayedValue} that. */
  invoke(sentMs: number, dueMs: number): number {
    const delay = { id: undefined, isRefused: false, cancelledAt: undefined, isDoubtful: false };
    return this.#delays.push({ ...delay, sentMs, dueMs, copies: 0 }) - 1;
  }

  ok(n: number, id: string): void {
    this.#of(n).id = id;
  }

  /** It may never be fired. */
  refused(n: number): void {
    this.#of(n).isRefused = true;
  }

  /** @param endOffset of the topic, asked after the answer */
  cancelled(n: number, endOffset: number): void {
    this.#cancelled++;
    this.#of(n).cancelledAt = endOffset;
  }

  /** It is not known whether it was done. */
  cancelFailed(n: number): void {
    this.#of(n).isDoubtful = true;
  }

  /** What a fault did is over. */
  disturbed(untilMs: number): void {
    this.#disturbances.push({ untilMs });
  }

  clockStepped(offsetMs: number): void {
    this.#aheadMs = Math.max(this.#aheadMs, offsetMs);
  }

  found({ id, value, offset, timestampMs }: FiredRecord): void {
    const delay = this.#delays[readValue(value)];
    const what = `${id} at offset ${offset}, written ${timestampMs}, holds ${value.slice(0, 40)}`;
    if (delay === undefined || (delay.id !== undefined && delay.id !== id)) {
      this.#verdicts.add('invented', what);
      return;
    }
    this.#found++;
    delay.copies++;
    const { dueMs, cancelledAt } = delay;
    const words = `${what}, due ${dueMs}`;
    if (delay.isRefused) this.#verdicts.add('failed-delivered', words);
    if (timestampMs < dueMs) this.#verdicts.add('early', words);
    if (cancelledAt !== undefined && offset >= cancelledAt) {
      this.#verdicts.add('after-cancel', `${words}, the topic ended at ${cancelledAt}`);
    }
    if (delay.copies > 1 + this.#disturbancesOf(delay)) {
      this.#verdicts.add('unexplained-duplicate', `${words}, for the ${delay.copies}. time`);
    }
  }

  /** Messages that were answered, were not cancelled, and were not found. */
  get missing(): number {
    return this.#delays.filter(isMissing).length;
  }

  counts(): DelayRunCounts {
    const fired = this.#delays.filter(({ copies }) => copies > 0).length;
    return {
      scheduled: this.#delays.length,
      fired,
      cancelled: this.#cancelled,
      duplicates: this.#found - fired,
      disturbances: this.#disturbances.length,
    };
  }

  /** What was found, once everything was fed in. */
  verdicts({ fired = 1, cancelled = 0 }: EnoughDelays = {}): Verdicts {
    for (const [n, delay] of this.#delays.entries()) {
      if (!isMissing(delay)) continue;
      this.#verdicts.add('lost', `delayed message ${n}, ${delay.id}, due ${delay.dueMs}`);
    }
    const counts = this.counts();
    const judge = (what: string, found: number, wanted: number): void => {
      if (found >= wanted) return;
      this.#verdicts.add('too-little', `${what}: ${found}, ${wanted} are to be shown`);
    };
    judge('fired', counts.fired, fired);
    judge('cancelled', counts.cancelled, cancelled);
    return this.#verdicts;
  }

  /** Those that may have made it fire again: since it could be due by the node's clock. */
  #disturbancesOf({ sentMs, dueMs }: Delay): number {
    const sinceMs = Math.max(sentMs, dueMs - this.#aheadMs) - AFTERMATH_MS;
    return this.#disturbances.filter(({ untilMs }) => untilMs >= sinceMs).length;
  }

  #of(n: number): Delay {
    return this.#delays[n] as Delay;
  }
}

/** The value of a delayed message. */
export function delayedValue(n: number): string {
  return `delayed ${n}`;
}

function readValue(value: string): number {
  return Number(/^delayed (\d+)$/.exec(value)?.[1] ?? -1);
}

function isMissing({ id, cancelledAt, isDoubtful, copies }: Delay): boolean {
  return id !== undefined && cancelledAt === undefined && !isDoubtful && copies === 0;
}
