import type { Clock } from '../base/clock.ts';
import { type LaneStats, stat } from './lane-stats.ts';

/** New messages may take so many times as long while a backlog is sent as they did before. */
const SLOWER_MAX = 2;
/** What is taken for quick where nothing was measured yet, and what is not asked to be beaten. */
const CALM_MS_DEFAULT = 5;
const CALM_MS_MIN = 2;
/** A window ends after so long with enough messages for a 99th percentile, else later. */
const WINDOW_MS = 500;
const WINDOW_MESSAGES = 200;
const WINDOW_MS_MAX = 5_000;
/** With no new message for so long there is nobody to wait for. */
const ALONE_MS = 1_000;
const MIB = 1024 * 1024;
const RATE_FIRST = 32 * MIB;
const RATE_MIN = 4 * MIB;
const RATE_MAX = 4096 * MIB;
/** A backlog shrinks at least by as much as comes in: what is sent is so many times that. */
const ARRIVALS_MIN = 2;
/** A turn that came late is made up for, up to so much. */
const BEHIND_MS_MAX = 20;
const FASTER = 1.25;
const SLOWER = 0.7;
/** Four buckets for each doubling, from 1/16 ms to an hour. */
const BUCKETS = 104;
const BUCKETS_PER_DOUBLING = 4;
const BUCKET_MS_FIRST = 1 / 16;
/** So many windows without a backlog are remembered; calm is the quietest quarter of them. */
const CALM_WINDOWS = 64;
const CALM_SHARE = 0.25;

/** Parts of a {@link DrainPace}. */
export interface DrainPaceParts {
  readonly clock: Clock;
  readonly stats: LaneStats;
  /** false: the backend alone is the limit. */
  isGentle(): boolean;
  /** Resolves after everything that waits in the thread's event loop has had its turn. */
  takeTurns(): Promise<void>;
}

/**
 * How fast a lane sends its backlog while new messages come in. All of it at once would keep disk
 * and processor from them; so the rate follows what they wait: while their 99th percentile stays
 * within {@link SLOWER_MAX} of what it was without a backlog, the rate grows, else it falls
 * (additive steps would take minutes between 4 MiB/s and what a disk gives). Where no new message
 * comes, there is no limit but the backend's own.
 */
export class DrainPace {
  private readonly parts: DrainPaceParts;
  private readonly window = new Float64Array(BUCKETS);
  private messages = 0;
  private windowMs: number;
  private storedBytes: number;
  private sentBytes = 0;
  /** The 99th percentiles of the last windows without a backlog, in ms. */
  private readonly calm: number[] = [];
  private rate = RATE_FIRST;
  private answeredMs = Number.NEGATIVE_INFINITY;
  /** When more may be sent. */
  private nextMs = Number.NEGATIVE_INFINITY;

  constructor(parts: DrainPaceParts) {
    this.parts = parts;
    this.windowMs = parts.clock.monotonic();
    this.storedBytes = parts.stats.get(stat.storedBytes);
  }

  /** New messages were answered, the first of which may have waited for `waitedMs`. */
  answered(waitedMs: number, messages: number): void {
    const now = this.parts.clock.monotonic();
    this.answeredMs = now;
    this.window[bucketOf(waitedMs)] = (this.window[bucketOf(waitedMs)] as number) + messages;
    this.messages += messages;
    const lastsMs = now - this.windowMs;
    if (lastsMs < WINDOW_MS) return;
    if (this.messages >= WINDOW_MESSAGES || lastsMs >= WINDOW_MS_MAX) this.endWindow(now, lastsMs);
  }

  /** Resolves when a chunk of backlog may be sent; never in the turn in which it was called. */
  async pass(): Promise<void> {
    const { clock, takeTurns } = this.parts;
    await takeTurns();
    for (;;) {
      const now = clock.monotonic();
      const waitMs = this.isAlone(now) ? 0 : this.nextMs - now;
      if (waitMs < 1) return;
      await new Promise<void>((resolve) => {
        clock.setTimer(resolve, Math.min(waitMs, ALONE_MS));
      });
    }
  }

  /** So many bytes of backlog were read, to be sent now. */
  took(bytes: number): void {
    const now = this.parts.clock.monotonic();
    this.sentBytes += bytes;
    this.nextMs = Math.max(this.nextMs, now - BEHIND_MS_MAX) + (bytes / this.rate) * 1_000;
    this.parts.stats.set(stat.drainBytesPerSecond, this.isAlone(now) ? 0 : this.rate);
  }

  /** Bursts, the last ones before an outage say, make nothing calm that was not. */
  private get calmMs(): number {
    const sorted = this.calm.toSorted((a, b) => a - b);
    const quiet = sorted[Math.floor(sorted.length * CALM_SHARE)] ?? CALM_MS_DEFAULT;
    return Math.max(quiet, CALM_MS_MIN);
  }

  /** There is nobody to make way for. */
  private isAlone(now: number): boolean {
    return !this.parts.isGentle() || now - this.answeredMs >= ALONE_MS;
  }

  private endWindow(now: number, lastsMs: number): void {
    const { stats } = this.parts;
    const p99 = quantile(this.window, this.messages * 0.99);
    const stored = stats.get(stat.storedBytes);
    const seconds = lastsMs / 1_000;
    if (this.sentBytes === 0) {
      stats.set(stat.drainBytesPerSecond, 0);
      this.rate = Math.min(this.rate, RATE_FIRST);
      this.calm.push(p99);
      if (this.calm.length > CALM_WINDOWS) this.calm.shift();
    } else if (p99 > SLOWER_MAX * this.calmMs) {
      const least = Math.max(RATE_MIN, (ARRIVALS_MIN * (stored - this.storedBytes)) / seconds);
      const sent = this.sentBytes / seconds;
      this.rate = Math.max(least, SLOWER * Math.min(this.rate, sent));
    } else {
      this.rate = Math.min(RATE_MAX, FASTER * this.rate);
    }
    this.window.fill(0);
    this.messages = 0;
    this.sentBytes = 0;
    this.storedBytes = stored;
    this.windowMs = now;
  }
}

function bucketOf(ms: number): number {
  const place = Math.ceil(Math.log2(ms / BUCKET_MS_FIRST) * BUCKETS_PER_DOUBLING);
  return Math.min(BUCKETS - 1, Math.max(0, place));
}

/** The upper bound, in ms, of the bucket in which so many messages are reached. */
function quantile(window: Float64Array, messages: number): number {
  let sum = 0;
  let bucket = 0;
  while (bucket < BUCKETS - 1) {
    sum += window[bucket] as number;
    if (sum >= messages) break;
    bucket++;
  }
  return BUCKET_MS_FIRST * 2 ** (bucket / BUCKETS_PER_DOUBLING);
}
