import type { Clock } from '../../base/clock.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';

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
/** A chunk that came late is made up for, up to so much. */
const BEHIND_MS_MAX = 20;
const STEP_MS_MAX = 100;
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
  /** Counts the bytes that come in. */
  readonly stats: LaneStats;
  /** false: the backend alone is the limit. */
  isGentle(): boolean;
  /** Resolves after everything that waits in the thread's event loop has had its turn. */
  takeTurns(): Promise<void>;
}

/**
 * How fast a lane sends its backlog while new messages come in. All of it at once would keep disk
 * and processor from them; so the rate follows what they wait until they are answered `stored`:
 * while their 99th percentile stays within {@link SLOWER_MAX} of what it was without a backlog, the
 * rate grows, else it falls (additive steps would take minutes between 4 MiB/s and what a disk
 * gives). Where no new message comes, there is no limit but the backend's own.
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
  private bytesPerSecond = RATE_FIRST;
  private answeredMs = Number.NEGATIVE_INFINITY;
  private sentMs = Number.NEGATIVE_INFINITY;

  constructor(parts: DrainPaceParts) {
    this.parts = parts;
    this.windowMs = parts.clock.monotonic();
    this.storedBytes = parts.stats.get(stat.storedBytes);
  }

  /** One walk over the backlog. Each has the whole rate: none stands while another reads. */
  walk(): DrainWalk {
    return new DrainWalk(this, this.parts);
  }

  /** Bytes a second that a walk may send; `undefined` while nothing limits it. */
  get rate(): number | undefined {
    return this.isAlone ? undefined : this.bytesPerSecond;
  }

  /** What is said of it: the rate while a backlog is sent under it, else 0. */
  get limit(): number {
    const isSending = this.parts.clock.monotonic() - this.sentMs < ALONE_MS;
    return isSending ? (this.rate ?? 0) : 0;
  }

  /**
   * New messages were answered; the first may have waited in the ring for `waitedMs`, as far as the
   * lane knows: what comes while its thread is in a turn of something else is not seen before.
   */
  answered(waitedMs: number, messages: number): void {
    const now = this.parts.clock.monotonic();
    this.answeredMs = now;
    const bucket = bucketOf(waitedMs);
    this.window[bucket] = (this.window[bucket] as number) + messages;
    this.messages += messages;
    const lastsMs = now - this.windowMs;
    if (lastsMs < WINDOW_MS) return;
    if (this.messages >= WINDOW_MESSAGES || lastsMs >= WINDOW_MS_MAX) this.endWindow(now, lastsMs);
  }

  /** A walk sends so many bytes. */
  sent(bytes: number): void {
    this.sentBytes += bytes;
    this.sentMs = this.parts.clock.monotonic();
  }

  /** There is nobody to make way for. */
  private get isAlone(): boolean {
    const { clock, isGentle } = this.parts;
    return !isGentle() || clock.monotonic() - this.answeredMs >= ALONE_MS;
  }

  /** Bursts, the last ones before an outage say, make nothing calm that was not. */
  private get calmMs(): number {
    const sorted = this.calm.toSorted((a, b) => a - b);
    const quiet = sorted[Math.floor(sorted.length * CALM_SHARE)] ?? CALM_MS_DEFAULT;
    return Math.max(quiet, CALM_MS_MIN);
  }

  private endWindow(now: number, lastsMs: number): void {
    const p99 = quantile(this.window, this.messages * 0.99);
    const stored = this.parts.stats.get(stat.storedBytes);
    const seconds = lastsMs / 1_000;
    const least = Math.max(RATE_MIN, (ARRIVALS_MIN * (stored - this.storedBytes)) / seconds);
    this.bytesPerSecond = Math.max(least, this.next(p99, this.sentBytes / seconds));
    this.window.fill(0);
    this.messages = 0;
    this.sentBytes = 0;
    this.storedBytes = stored;
    this.windowMs = now;
  }

  /** The rate after a window in which so much was sent. */
  private next(p99: number, sentPerSecond: number): number {
    const rate = this.bytesPerSecond;
    if (sentPerSecond === 0) {
      this.calm.push(p99);
      if (this.calm.length > CALM_WINDOWS) this.calm.shift();
      return Math.min(rate, RATE_FIRST);
    }
    if (p99 <= SLOWER_MAX * this.calmMs) return Math.min(RATE_MAX, FASTER * rate);
    return SLOWER * Math.min(rate, sentPerSecond);
  }
}

/** A walk over the backlog at a {@link DrainPace}: `pass` before a chunk, `took` after it. */
export class DrainWalk {
  private readonly pace: DrainPace;
  private readonly parts: Pick<DrainPaceParts, 'clock' | 'takeTurns'>;
  /** When more may be sent. */
  private nextMs = Number.NEGATIVE_INFINITY;

  constructor(pace: DrainPace, parts: Pick<DrainPaceParts, 'clock' | 'takeTurns'>) {
    this.pace = pace;
    this.parts = parts;
  }

  /** Resolves when a chunk may be sent; never in the turn in which it was called. */
  async pass(): Promise<void> {
    const { clock, takeTurns } = this.parts;
    await takeTurns();
    for (;;) {
      const waitMs = this.pace.rate === undefined ? 0 : this.nextMs - clock.monotonic();
      if (waitMs < 1) return;
      // In steps: the limit may go meanwhile.
      await new Promise<void>((resolve) => {
        clock.setTimer(resolve, Math.min(waitMs, STEP_MS_MAX));
      });
    }
  }

  /** So many bytes were read, to be sent now. */
  took(bytes: number): void {
    const now = this.parts.clock.monotonic();
    const { rate } = this.pace;
    // What is sent without a limit is no debt for the time when there is one again.
    this.nextMs =
      rate === undefined
        ? now
        : Math.max(this.nextMs, now - BEHIND_MS_MAX) + (bytes / rate) * 1_000;
    this.pace.sent(bytes);
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
