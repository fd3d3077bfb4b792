import type { Publisher, PublishRecord, PublishResult } from '../backend/publisher-port.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import type { DelayState, NearDelay } from './due-window.ts';

/** What a {@link FireQueue} needs. */
export interface FireQueueParts {
  readonly publisher: Publisher;
  readonly clock: Clock;
  /** Records of one call. */
  readonly batchMax: number;
  /** What becomes of a message that was not taken, until it is tried again. */
  readonly leftState: DelayState;
  /** The record of a message; undefined: it does not fire any more. */
  record(entry: NearDelay): PublishRecord | undefined;
  /** Published, in this order. */
  onDone(entries: readonly NearDelay[]): void;
  /** A call ended with records that were not taken; the first reason. */
  onRefused(count: number, code: string, message: string): void;
  /** There is room again, or nothing more to do. */
  onRoom(): void;
}

const BATCH_BYTES_MAX = 1024 * 1024;
const BACKOFF_FIRST_MS = 20;
const BACKOFF_LAST_MS = 30_000;

/**
 * Publishes in order, one call at a time, so that what a call left over goes first in the next.
 * What is refused is tried again, at growing intervals, for ever: nobody else has the message.
 */
export class FireQueue {
  readonly #parts: FireQueueParts;
  #waiting: NearDelay[] = [];
  /** Bytes of each as it was pushed: a record may be emptied, or pushed twice. */
  #sizes: number[] = [];
  /** Of `waiting`: before it they are taken. */
  #head = 0;
  #bytes = 0;
  #busy = false;
  #backoffMs = 0;
  #timer: Timer | undefined;
  #closed = false;
  #idle: (() => void)[] = [];

  constructor(parts: FireQueueParts) {
    this.#parts = parts;
  }

  /** Messages that are not published yet, those on their way included. */
  get size(): number {
    return this.#waiting.length - this.#head;
  }

  /** Bytes of their records. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Its last call left something, and the next waits. */
  get isRefused(): boolean {
    return this.#backoffMs > 0;
  }

  push(entry: NearDelay): void {
    this.#waiting.push(entry);
    this.#sizes.push(entry.bytes.length);
    this.#bytes += entry.bytes.length;
  }

  /** Sends what there is, unless a call is under way or its last one failed a moment ago. */
  pump(): void {
    if (this.#busy || this.#timer !== undefined || this.#closed || this.size === 0) return;
    this.#busy = true;
    void this.#send();
  }

  /**
   * Takes out, from the end, what is beyond `room`; nothing while a call is under way. One always
   * stays: with it is tried again.
   */
  shed(room: { readonly entries: number; readonly bytes: number }): NearDelay[] {
    if (this.#busy) return [];
    let from = this.#waiting.length;
    let bytes = this.#bytes;
    while (from - this.#head > 1 && (from - this.#head > room.entries || bytes > room.bytes)) {
      from--;
      bytes -= this.#sizes[from] as number;
    }
    this.#bytes = bytes;
    this.#sizes.length = from;
    return this.#waiting.splice(from);
  }

  /** Resolves when no call is under way; nothing is sent after it. */
  close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    if (!this.#busy) return Promise.resolve();
    return new Promise((resolve) => {
      this.#idle.push(resolve);
    });
  }

  async #send(): Promise<void> {
    const { entries, records, taken } = this.#take();
    const results = await this.#publish(records);
    this.#busy = false;
    const left: NearDelay[] = [];
    const done: NearDelay[] = [];
    let refusal: Extract<PublishResult, { code: string }> | undefined;
    for (const [i, entry] of entries.entries()) {
      const result = results[i];
      if (result !== undefined && !('code' in result)) done.push(entry);
      else {
        refusal ??= result;
        entry.state = this.#parts.leftState;
        left.push(entry);
      }
    }
    this.#settle(taken, left);
    if (left.length === 0) this.#backoffMs = 0;
    else this.#wait();
    if (refusal !== undefined) this.#parts.onRefused(left.length, refusal.code, refusal.message);
    if (done.length > 0) this.#parts.onDone(done);
    for (const resolve of this.#idle.splice(0)) resolve();
    if (!this.#closed) this.#parts.onRoom();
    this.pump();
  }

  #take(): { entries: NearDelay[]; records: PublishRecord[]; taken: number } {
    const entries: NearDelay[] = [];
    const records: PublishRecord[] = [];
    let bytes = 0;
    let at = this.#head;
    while (at < this.#waiting.length && entries.length < this.#parts.batchMax) {
      const entry = this.#waiting[at] as NearDelay;
      if (bytes + entry.bytes.length > BATCH_BYTES_MAX && entries.length > 0) break;
      const record = this.#parts.record(entry);
      at++;
      if (record === undefined) continue;
      entry.state = 'firing';
      bytes += entry.bytes.length;
      entries.push(entry);
      records.push(record);
    }
    return { entries, records, taken: at - this.#head };
  }

  async #publish(records: readonly PublishRecord[]): Promise<readonly PublishResult[]> {
    if (records.length === 0) return [];
    try {
      return await this.#parts.publisher.publish(records);
    } catch (error) {
      const refusal = { code: codeOf(error), message: messageOf(error), retriable: true };
      return records.map(() => refusal);
    }
  }

  /** The first `taken` are settled, save those left, which go first again. */
  #settle(taken: number, left: readonly NearDelay[]): void {
    const from = this.#head + taken - left.length;
    for (let i = this.#head; i < this.#head + taken; i++) {
      this.#bytes -= this.#sizes[i] as number;
    }
    for (const [i, entry] of left.entries()) {
      this.#waiting[from + i] = entry;
      this.#sizes[from + i] = entry.bytes.length;
      this.#bytes += entry.bytes.length;
    }
    this.#head = from;
    if (this.#head > 1024 && this.#head * 2 > this.#waiting.length) {
      this.#waiting = this.#waiting.slice(this.#head);
      this.#sizes = this.#sizes.slice(this.#head);
      this.#head = 0;
    }
  }

  #wait(): void {
    const { clock } = this.#parts;
    const next = this.#backoffMs === 0 ? BACKOFF_FIRST_MS : this.#backoffMs * 2;
    this.#backoffMs = Math.min(next, BACKOFF_LAST_MS);
    this.#timer = clock.setTimer(() => {
      this.#timer = undefined;
      this.pump();
    }, this.#backoffMs);
  }
}
