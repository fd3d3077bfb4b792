import assert from 'node:assert';
import type { Clock } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { KafkaProducer, ProduceRequest, ProduceResult } from '../../native/kafka.ts';

/** A producer that is broken again and again is renewed no more often than this. */
const RENEW_EVERY_MS = 1_000;

/** Parts of a {@link Sender}. */
export interface SenderParts {
  readonly producer: KafkaProducer;
  readonly clock: Clock;
  readonly log: Logger;
  /** It may be used again after it was full, or renewed. */
  onUsable(): void;
}

/**
 * One native producer as a lane uses it. It knows what is out, and renews an instance that is
 * broken: nothing is sent before every message of the broken one has come back, or later ones
 * could overtake them.
 */
export class Sender {
  readonly producer: KafkaProducer;
  private readonly parts: SenderParts;
  private out = 0;
  private isFull = false;
  private isHeld = false;
  private isClosed = false;
  private isRenewed = false;
  private isStopped = false;
  private onIdle: () => void = () => {};
  private renewedMs = Number.NEGATIVE_INFINITY;
  /** The instance that was used last. */
  private generation: number;

  constructor(parts: SenderParts) {
    this.parts = parts;
    this.producer = parts.producer;
    this.generation = parts.producer.generation;
  }

  /** Messages without a verdict. */
  get inFlight(): number {
    return this.out;
  }

  get isUsable(): boolean {
    return !this.isFull && !this.isHeld && !this.isStopped && !this.isClosed;
  }

  /** One produce call; `messages` are those of the payload. To be made only while usable. */
  send(request: ProduceRequest, messages: number): ProduceResult {
    const result = this.producer.produce(request);
    this.out += result.sent;
    this.generation = this.producer.generation;
    if (result.fatal) this.broken(this.producer.generation);
    else if (result.nextOrdinal < messages) this.isFull = true;
    return result;
  }

  /** So many messages have got their verdict. Called once all rows of a call were looked at. */
  settled(messages: number): void {
    if (messages === 0) return;
    this.out -= messages;
    assert(this.out >= 0, 'verdicts of messages that this sender did not send');
    if (this.out > 0) return;
    this.isFull = false;
    if (this.isHeld && this.isRenewed) this.release();
    if (this.isStopped) this.onIdle();
  }

  /**
   * Sends nothing more until {@link go}; `onIdle` is called whenever nothing is out meanwhile. With
   * `dispose` what is out is taken back: the instance is given up as if it were broken.
   */
  stop(dispose: boolean, onIdle: () => void): void {
    this.isStopped = true;
    this.onIdle = onIdle;
    if (dispose && this.out > 0) this.brokenNow();
  }

  /** May send again. */
  go(): void {
    this.isStopped = false;
  }

  /** The full queue has room again. */
  hasRoom(): void {
    this.isFull = false;
  }

  /** The instance of this generation sends nothing more. */
  broken(generation: number): void {
    if (this.isHeld || this.isClosed || generation < this.producer.generation) return;
    this.isHeld = true;
    const { clock } = this.parts;
    const waitMs = this.renewedMs + RENEW_EVERY_MS - clock.monotonic();
    this.isRenewed = false;
    if (waitMs > 0) clock.setTimer(() => this.renew(generation), waitMs);
    else this.renew(generation);
  }

  /** As {@link broken}, for the instance that was used last. */
  brokenNow(): void {
    this.broken(this.generation);
  }

  close(): void {
    this.isClosed = true;
  }

  private renew(generation: number): void {
    if (this.isClosed) return;
    const { clock, log } = this.parts;
    try {
      this.producer.renew(generation);
    } catch (error) {
      log.error({ reason: messageOf(error) }, 'the Kafka producer could not be renewed');
      clock.setTimer(() => this.renew(generation), RENEW_EVERY_MS);
      return;
    }
    this.isRenewed = true;
    this.renewedMs = clock.monotonic();
    if (this.out === 0) this.release();
  }

  private release(): void {
    this.isHeld = false;
    this.isFull = false;
    this.parts.onUsable();
  }
}
