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
  /** Calls under way at a time. */
  readonly callsMax: number;
  /** What a message is while a call has it. */
  readonly sentState: DelayState;
  /** What becomes of a message that was not taken, until it is tried again. */
  readonly leftState: DelayState;
  /** The record of a message; undefined: it does not fire any more. */
  record(entry: NearDelay): PublishRecord | undefined;
  /** Published by one call, in this order; when it was handed to the publisher. */
  onDone(entries: readonly NearDelay[], sentMs: number): void;
  /** Calls ended with records that were not taken, and wait again; the first reason. */
  onRefused(count: number, code: string, message: string): void;
  /** There is room again, or nothing more to do: {@link FireQueue.pump} may do more. */
  onRoom(): void;
}

type Refusal = Extract<PublishResult, { code: string }>;

/** A call that is under way, or that ended while others are. */
interface Call {
  /** What it was to publish; once it ended: what it left. */
  entries: readonly NearDelay[];
  isUnderWay: boolean;
  ended: Promise<void>;
}

/** Of all calls under way, save that one message may be longer. */
const BYTES_MAX = 1024 * 1024;
const BACKOFF_FIRST_MS = 20;
const BACKOFF_LAST_MS = 30_000;
const NO_WORD: Refusal = { code: 'INTERNAL', message: 'no answer', retriable: true };

/**
 * Publishes in order, by a few calls at a time, which the publisher keeps in order as long as it
 * takes all. Once a call left something nothing more is sent until all have ended; then what they
 * left goes first again, in its order. So only what was under way with it can have passed it.
 * What is refused is tried again, at growing intervals, for ever: nobody else has the message.
 */
export class FireQueue {
  readonly #parts: FireQueueParts;
  #waiting: NearDelay[] = [];
  /** Bytes of each as it was pushed: a record may be emptied, or pushed twice. */
  #sizes: number[] = [];
  /** Of `waiting`: before it they are taken. */
  #head = 0;
  #waitingBytes = 0;
  /** In the order in which they were sent. */
  #calls: Call[] = [];
  #underWay = 0;
  #bytesUnderWay = 0;
  /** Why a call left something, while others behind it are under way. */
  #refusal: Refusal | undefined;
  #backoffMs = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(parts: FireQueueParts) {
    this.#parts = parts;
  }

  /** Messages that are not published yet, those on their way included. */
  get size(): number {
    return this.#waiting.length - this.#head + this.#underWay;
  }

  /** Bytes of their records. */
  get bytes(): number {
    return this.#waitingBytes + this.#bytesUnderWay;
  }

  /** Its last call left something, and the next waits. */
  get isRefused(): boolean {
    return this.#backoffMs > 0;
  }

  /** Something waits, and may be sent now. */
  get maySend(): boolean {
    if (this.#closed || this.#refusal !== undefined || this.#timer !== undefined) return false;
    if (this.#head === this.#waiting.length) return false;
    if (this.#calls.length === 0) return true;
    // What was refused is tried by one call first.
    if (this.isRefused || this.#calls.length >= this.#parts.callsMax) return false;
    return this.#bytesUnderWay + (this.#sizes[this.#head] as number) <= BYTES_MAX;
  }

  push(entry: NearDelay): void {
    this.#waiting.push(entry);
    this.#sizes.push(entry.bytes.length);
    this.#waitingBytes += entry.bytes.length;
  }

  /**
   * Sends one call of what waits, unless as many are under way as may be, or one left something a
   * moment ago. A call is a slice, so that its caller can give others their turn.
   * @returns whether there is more that may be sent now
   */
  pump(): boolean {
    if (!this.maySend) return false;
    const { entries, records, bytes } = this.#take();
    if (records.length > 0) {
      const call: Call = { entries, isUnderWay: true, ended: Promise.resolve() };
      this.#calls.push(call);
      call.ended = this.#send(call, records, bytes);
    } else this.#parts.onRoom();
    return this.maySend;
  }

  /**
   * Takes out, from the end, what is beyond `room`; nothing while a call is under way. One always
   * stays: with it is tried again.
   */
  shed(room: { readonly entries: number; readonly bytes: number }): NearDelay[] {
    if (this.#calls.length > 0) return [];
    let from = this.#waiting.length;
    let bytes = this.#waitingBytes;
    while (from - this.#head > 1 && (from - this.#head > room.entries || bytes > room.bytes)) {
      from--;
      bytes -= this.#sizes[from] as number;
    }
    this.#waitingBytes = bytes;
    this.#sizes.length = from;
    return this.#waiting.splice(from);
  }

  /** Sends what waits, and resolves when all is taken, or something is not. */
  async flush(): Promise<void> {
    while (this.size > 0 && !this.isRefused && !this.#closed) {
      this.pump();
      await this.underWay();
    }
  }

  /** Resolves when the calls that are under way now have ended. */
  async underWay(): Promise<void> {
    await Promise.all(this.#calls.map(({ ended }) => ended));
  }

  /** Resolves when no call is under way; nothing is sent after it. */
  close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    return this.underWay();
  }

  #take() {
    const { batchMax } = this.#parts;
    const entries: NearDelay[] = [];
    const records: PublishRecord[] = [];
    let bytes = 0;
    let at = this.#head;
    for (; at < this.#waiting.length && entries.length < batchMax; at++) {
      const size = this.#sizes[at] as number;
      const isLong = this.#bytesUnderWay + bytes + size > BYTES_MAX;
      if (isLong && this.#calls.length + entries.length > 0) break;
      this.#waitingBytes -= size;
      const entry = this.#waiting[at] as NearDelay;
      const record = this.#parts.record(entry);
      if (record === undefined) continue;
      entry.state = this.#parts.sentState;
      bytes += size;
      entries.push(entry);
      records.push(record);
    }
    this.#head = at;
    this.#forgetTaken();
    return { entries, records, bytes };
  }

  /** What was taken is cut off now and then. */
  #forgetTaken(): void {
    if (this.#head <= 1024 || this.#head * 2 <= this.#waiting.length) return;
    this.#waiting = this.#waiting.slice(this.#head);
    this.#sizes = this.#sizes.slice(this.#head);
    this.#head = 0;
  }

  async #send(call: Call, records: readonly PublishRecord[], bytes: number): Promise<void> {
    this.#underWay += records.length;
    this.#bytesUnderWay += bytes;
    const sentMs = this.#parts.clock.now();
    const results = await this.#publish(records);
    const done: NearDelay[] = [];
    const left: NearDelay[] = [];
    for (const [i, entry] of call.entries.entries()) {
      const result = results[i] ?? NO_WORD;
      if (!('code' in result)) done.push(entry);
      else {
        this.#refusal ??= result;
        entry.state = this.#parts.leftState;
        left.push(entry);
      }
    }
    call.entries = left;
    call.isUnderWay = false;
    this.#underWay -= done.length;
    this.#bytesUnderWay -= bytes;
    this.#settle();
    if (done.length > 0) this.#parts.onDone(done, sentMs);
    if (!this.#closed) this.#parts.onRoom();
  }

  async #publish(records: readonly PublishRecord[]): Promise<readonly PublishResult[]> {
    try {
      return await this.#parts.publisher.publish(records);
    } catch (error) {
      const refusal = { code: codeOf(error), message: messageOf(error), retriable: true };
      return records.map(() => refusal);
    }
  }

  /** Forgets the calls that left nothing; when all have ended, what they left waits again. */
  #settle(): void {
    const refusal = this.#refusal;
    if (refusal === undefined) {
      this.#calls = this.#calls.filter(({ isUnderWay }) => isUnderWay);
      this.#backoffMs = 0;
      return;
    }
    if (this.#calls.some(({ isUnderWay }) => isUnderWay)) return;
    const left = this.#calls.flatMap(({ entries }) => entries);
    const sizes = left.map(({ bytes }) => bytes.length);
    this.#calls = [];
    this.#underWay = 0;
    this.#refusal = undefined;
    this.#waiting = left.concat(this.#waiting.slice(this.#head));
    this.#sizes = sizes.concat(this.#sizes.slice(this.#head));
    this.#head = 0;
    for (const size of sizes) this.#waitingBytes += size;
    this.#wait();
    this.#parts.onRefused(left.length, refusal.code, refusal.message);
  }

  #wait(): void {
    const { clock } = this.#parts;
    const next = this.#backoffMs === 0 ? BACKOFF_FIRST_MS : this.#backoffMs * 2;
    this.#backoffMs = Math.min(next, BACKOFF_LAST_MS);
    if (this.#closed) return;
    this.#timer = clock.setTimer(() => {
      this.#timer = undefined;
      this.#parts.onRoom();
    }, this.#backoffMs);
  }
}
