import type { Clock } from '../base/clock.ts';

/** What one token may send; undefined = as much as it likes. */
export interface RateLimits {
  readonly messagesPerSecond: number | undefined;
  readonly bytesPerSecond: number | undefined;
}

/** A second's worth may be sent at once before a token is slowed down. */
const BURST_SECONDS = 1;

interface Bucket {
  messages: number;
  bytes: number;
  atMs: number;
}

/**
 * Token buckets by the name of who sends, shared by all of its connections. What was read is
 * taken, and paid for afterwards by not reading: nothing is refused for being too fast.
 */
export class TokenRates {
  private readonly clock: Clock;
  private readonly buckets = new Map<string, Bucket>();
  private limits: RateLimits;

  constructor(clock: Clock, limits: RateLimits) {
    this.clock = clock;
    this.limits = limits;
  }

  /** Other limits from now on. */
  setLimits(limits: RateLimits): void {
    this.limits = limits;
    this.buckets.clear();
  }

  /** Takes what was sent. Answers for how many ms its connection is not to be read. */
  take(name: string, messages: number, bytes: number): number {
    const { messagesPerSecond, bytesPerSecond } = this.limits;
    if (messagesPerSecond === undefined && bytesPerSecond === undefined) return 0;
    const now = this.clock.monotonic();
    let bucket = this.buckets.get(name);
    if (bucket === undefined) {
      bucket = { messages: Number.POSITIVE_INFINITY, bytes: Number.POSITIVE_INFINITY, atMs: now };
      this.buckets.set(name, bucket);
    }
    const seconds = (now - bucket.atMs) / 1000;
    bucket.atMs = now;
    bucket.messages = left(bucket.messages, messagesPerSecond, seconds) - messages;
    bucket.bytes = left(bucket.bytes, bytesPerSecond, seconds) - bytes;
    const wait = Math.max(
      debt(bucket.messages, messagesPerSecond),
      debt(bucket.bytes, bytesPerSecond),
    );
    return Math.ceil(wait * 1000);
  }
}

function left(balance: number, perSecond: number | undefined, seconds: number): number {
  if (perSecond === undefined) return 0;
  return Math.min(perSecond * BURST_SECONDS, balance + perSecond * seconds);
}

function debt(balance: number, perSecond: number | undefined): number {
  return perSecond === undefined || balance >= 0 ? 0 : -balance / perSecond;
}
