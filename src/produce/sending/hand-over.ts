import type { Clock, Timer } from '../../base/clock.ts';
import type { MicroBatch } from '../intake/micro-batch.ts';

/** Bytes that are handed over at once, whatever is on its way. */
const HELD_BYTES_MAX = 256 * 1024;
/** Longest hold, for the case that no report comes, in ms. */
const HOLD_MS = 5;

/** Parts of a {@link HandOver}. */
export interface HandOverParts {
  readonly clock: Clock;
  /** Messages that have no report yet. */
  inFlight(): number;
  /** Sends a stored batch; its payload is *borrowed*. */
  forward(batch: MicroBatch, payload: Uint8Array): void;
}

interface Held {
  readonly batch: MicroBatch;
  readonly payload: Uint8Array;
}

/**
 * Between the outbox and the sender: gathers small batches that nobody waits for while others are
 * on their way. Their messages were answered when they were stored; sent one batch at a time,
 * each would be a request for every partition it touches, and the requests, not the messages,
 * are what costs the sender and the broker their time. What somebody waits for goes at once, and
 * everything before it.
 */
export class HandOver {
  private readonly parts: HandOverParts;
  /** Copies of what is held, one behind the other. */
  private readonly copies = Buffer.allocUnsafeSlow(HELD_BYTES_MAX);
  private held: Held[] = [];
  private heldBytes = 0;
  private timer: Timer | undefined;

  constructor(parts: HandOverParts) {
    this.parts = parts;
  }

  /** The first sequence that is held; infinity when nothing is. */
  get first(): number {
    return this.held[0]?.batch.firstSequence ?? Number.POSITIVE_INFINITY;
  }

  /** Takes a stored batch; the payload is *borrowed*. */
  take(batch: MicroBatch, payload: Uint8Array): void {
    const { forward, clock, inFlight } = this.parts;
    const bytes = this.heldBytes + payload.length;
    if (batch.hasReplicated || bytes >= HELD_BYTES_MAX || inFlight() === 0) {
      this.release();
      forward(batch, payload);
      return;
    }
    const copy = this.copies.subarray(this.heldBytes, bytes);
    copy.set(payload);
    this.held.push({ batch, payload: copy });
    this.heldBytes = bytes;
    this.timer ??= clock.setTimer(() => this.release(), HOLD_MS);
  }

  /** Reports came: what was held goes when nothing is on its way any more. */
  reported(): void {
    if (this.held.length > 0 && this.parts.inFlight() === 0) this.release();
  }

  /** Sends all that is held. */
  release(): void {
    this.timer?.cancel();
    this.timer = undefined;
    const { held } = this;
    if (held.length === 0) return;
    this.held = [];
    this.heldBytes = 0;
    for (const { batch, payload } of held) this.parts.forward(batch, payload);
  }

  close(): void {
    this.timer?.cancel();
    this.held = [];
    this.heldBytes = 0;
  }
}
