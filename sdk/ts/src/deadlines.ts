import type { Clock, Timer } from './clock.ts';
import type { DeadlineBucket, Message } from './message.ts';

/** A message ends at most this much after its deadline, and never before. */
const TICK_MS = 16;

/**
 * Deadlines of all messages behind one timer. Messages of one tick share a bucket; entering and
 * leaving cost the same for one message as for a million. The timer stands at the earliest
 * tick that was ever asked for, so it may wake for a bucket that has emptied meanwhile.
 */
export class Deadlines {
  private readonly clock: Clock;
  private readonly onExpired: (message: Message) => void;
  private readonly buckets = new Map<number, DeadlineBucket>();
  private lastBucket: DeadlineBucket | undefined;
  private timer: Timer | undefined;
  private timerTick = Number.POSITIVE_INFINITY;

  constructor(clock: Clock, onExpired: (message: Message) => void) {
    this.clock = clock;
    this.onExpired = onExpired;
  }

  add(message: Message, delayMs: number): void {
    const tick = Math.ceil((this.clock.monotonic() + delayMs) / TICK_MS);
    const bucket = this.bucketOf(tick);
    message.bucket = bucket;
    message.bucketPrevious = null;
    message.bucketNext = bucket.head;
    if (bucket.head !== null) bucket.head.bucketPrevious = message;
    bucket.head = message;
    if (tick < this.timerTick) this.arm(tick);
  }

  remove(message: Message): void {
    const { bucket } = message;
    if (bucket === null) return;
    if (message.bucketPrevious === null) bucket.head = message.bucketNext;
    else message.bucketPrevious.bucketNext = message.bucketNext;
    if (message.bucketNext !== null) message.bucketNext.bucketPrevious = message.bucketPrevious;
    message.bucket = null;
    message.bucketPrevious = null;
    message.bucketNext = null;
    if (bucket.head === null && bucket !== this.lastBucket) this.buckets.delete(bucket.tick);
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.buckets.clear();
    this.lastBucket = undefined;
  }

  private bucketOf(tick: number): DeadlineBucket {
    const last = this.lastBucket;
    if (last?.tick === tick) return last;
    if (last !== undefined && last.head === null) this.buckets.delete(last.tick);
    let bucket = this.buckets.get(tick);
    if (bucket === undefined) {
      bucket = { tick, head: null };
      this.buckets.set(tick, bucket);
    }
    this.lastBucket = bucket;
    return bucket;
  }

  private arm(tick: number): void {
    this.timer?.cancel();
    this.timerTick = tick;
    const delayMs = Math.max(0, tick * TICK_MS - this.clock.monotonic());
    this.timer = this.clock.setTimer(() => this.fire(), delayMs);
  }

  private fire(): void {
    this.timerTick = Number.POSITIVE_INFINITY;
    const nowMs = this.clock.monotonic();
    let earliest = Number.POSITIVE_INFINITY;
    for (const bucket of [...this.buckets.values()]) {
      if (bucket.tick * TICK_MS > nowMs) {
        if (bucket.tick < earliest && bucket.head !== null) earliest = bucket.tick;
        continue;
      }
      while (bucket.head !== null) {
        const message = bucket.head;
        this.remove(message);
        this.onExpired(message);
      }
      this.buckets.delete(bucket.tick);
      if (this.lastBucket === bucket) this.lastBucket = undefined;
    }
    if (earliest < this.timerTick) this.arm(earliest);
  }
}
