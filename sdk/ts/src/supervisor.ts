import { EventEmitter } from 'node:events';
import type { Address } from './address.ts';
import { Backoff } from './backoff.ts';
import type { Clock, Random, Timer } from './clock.ts';
import { type DialOptions, dial, type Link, type SessionIdentity } from './dial.ts';
import { connectionError, MqpError } from './errors.ts';

export interface SupervisorOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly addresses: readonly Address[];
  readonly minMs: number;
  readonly maxMs: number;
  readonly nodeChangeAfterMs: number;
  readonly dial: DialOptions;
}

export interface SupervisorHost {
  /** Who the client is at the moment of dialing. */
  identity(): SessionIdentity;
  /** False while messages of the present node could be overtaken on another one. */
  mayChangeNode(): boolean;
  connecting(): void;
  /** Takes the link over, and later says {@link Supervisor.lost}. */
  connected(link: Link): void;
  attemptFailed(error: MqpError): void;
  /** Nothing will be tried again. */
  gaveUp(error: MqpError): void;
}

/** What makes another attempt useless: the node will say the same again. */
const FINAL_CODES = new Set([
  'FENCED',
  'AUTHENTICATION_FAILED',
  'UNSUPPORTED_VERSION',
  'BAD_MAGIC',
  'UNKNOWN_FLAGS',
  'FRAME_TOO_LARGE',
  'MALFORMED',
]);

/** Whether this error of the node ends the client, not only the connection. */
export function isFinal(error: MqpError): boolean {
  return error.isFatal && FINAL_CODES.has(error.code);
}

/** Keeps one connection: chooses the address, waits between attempts, says when to give up. */
export class Supervisor {
  private readonly options: SupervisorOptions;
  private readonly host: SupervisorHost;
  private readonly backoff: Backoff;
  private readonly stop = new AbortController();
  private index = 0;
  private wasReady = false;
  private lostAtMs = 0;
  private timer: Timer | undefined;

  constructor(options: SupervisorOptions, host: SupervisorHost) {
    this.options = options;
    this.host = host;
    this.backoff = new Backoff(options.random, options);
    // Every attempt listens until it ends; there is one at a time.
    EventEmitter.setMaxListeners(0, this.stop.signal);
  }

  start(): void {
    void this.attempt();
  }

  /** The link that `connected` handed over has ended. `isLeaving`: the node asked us to go. */
  lost(error: MqpError, isLeaving: boolean): void {
    if (this.stop.signal.aborted) return;
    if (isFinal(error)) {
      this.host.gaveUp(error);
      return;
    }
    this.lostAtMs = this.options.clock.monotonic();
    if (isLeaving) this.turn();
    this.retryAfter(Math.max(this.backoff.next(), error.retryAfterMs ?? 0));
  }

  close(): void {
    this.stop.abort();
    this.timer?.cancel();
  }

  private async attempt(): Promise<void> {
    const { addresses, dial: dialOptions } = this.options;
    this.host.connecting();
    let link: Link;
    try {
      const address = addresses[this.index] as Address;
      link = await dial(address, this.host.identity(), dialOptions, this.stop.signal);
    } catch (cause) {
      this.attemptFailed(connectionError('CONNECT_FAILED', cause));
      return;
    }
    if (this.stop.signal.aborted) {
      link.connection.destroy(new MqpError('CLOSED', 'the client was closed'));
      return;
    }
    this.wasReady = true;
    this.backoff.reset();
    this.host.connected(link);
  }

  private attemptFailed(error: MqpError): void {
    if (this.stop.signal.aborted) return;
    if (isFinal(error)) {
      this.host.gaveUp(error);
      return;
    }
    this.host.attemptFailed(error);
    if (this.stop.signal.aborted) return;
    const hasMore = this.turn() && this.index !== 0;
    this.retryAfter(hasMore ? 0 : Math.max(this.backoff.next(), error.retryAfterMs ?? 0));
  }

  /** Goes to the next address, if that is allowed now. */
  private turn(): boolean {
    const { addresses, clock, nodeChangeAfterMs } = this.options;
    const isOverdue = clock.monotonic() - this.lostAtMs >= nodeChangeAfterMs;
    if (this.wasReady && !isOverdue && !this.host.mayChangeNode()) return false;
    this.index = (this.index + 1) % addresses.length;
    return true;
  }

  private retryAfter(delayMs: number): void {
    this.timer = this.options.clock.setTimer(() => void this.attempt(), delayMs);
  }
}
