import type { Timer } from '../../base/clock.ts';
import { RunSet } from './run-set.ts';

/**
 * A topic whose messages are behind the rest of the lane: what of it is still to be handed to a
 * producer. Two kinds of it: messages that came back, and everything from a sequence on.
 */
export class Lag {
  readonly topic: number;
  /** Nothing of the topic from here on was handed over; infinity: all of it was. */
  from: number;
  /** Messages below {@link from} that came back without being in the log, to be sent again. */
  readonly returned = new RunSet();
  /** Why they came back, for the log of resends. */
  cause = '';
  /** What is below was noted as sent again, but not for the cluster that it goes to now. */
  repeatsUntil = 0;
  /** The next walk takes it along. */
  isReady = false;
  /** Its messages are being given up: nothing of it is sent meanwhile. */
  isDropping = false;
  /** Its messages are in the parked log, or go there. */
  isParked = false;
  /** Messages of it are with the producer that sends them one by one. */
  isAlone = false;
  /** The newest messages of the lane go elsewhere: this one is never level with them. */
  isGuest = false;
  /** Tries, one after the other, that ended because the cluster does not know the topic. */
  missing = 0;
  timer: Timer | undefined;

  constructor(topic: number, from: number) {
    this.topic = topic;
    this.from = from;
  }

  /** The first sequence that is to be sent. */
  get next(): number {
    return Math.min(this.returned.first, this.from);
  }

  /** Whether a message of the topic is to be sent. */
  wants(sequence: number): boolean {
    return sequence >= this.from || this.returned.has(sequence);
  }

  /** It goes to another cluster, which may have what a former run sent there. */
  mayRepeat({ until, cause }: { readonly until: number; readonly cause: string }): void {
    this.repeatsUntil = until;
    if (this.cause === '') this.cause = cause;
  }

  /** All it wants below `end` was handed over. */
  advance(end: number): void {
    this.returned.dropBelow(end);
    if (this.from < end) this.from = end;
  }
}
