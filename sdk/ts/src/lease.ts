import type { MessageHeader } from '../../../protocol/src/message-headers.ts';
import { formatMessageId, type MessageId } from '../../../protocol/src/message-id.ts';
import type { AckWait, ConsumedMessage, NackOptions } from './consume-types.ts';
import { MqpError } from './errors.ts';

/** Messages that came under one token. */
export interface Run {
  readonly token: Buffer;
  readonly topic: string;
  readonly cluster: number;
  readonly partition: number;
}

/** What a message asks of its consumer. */
export interface LeaseHost {
  ack(lease: Lease, wait: AckWait | undefined): Promise<void>;
  nack(lease: Lease, options: NackOptions): Promise<void>;
  extend(lease: Lease, leaseMs: number | undefined): Promise<void>;
  commit(lease: Lease, wait: AckWait | undefined): Promise<void>;
}

/** What a record said. Bytes are views of what was read from the socket. */
export interface LeaseFields {
  readonly index: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly attempt: number;
  readonly id: MessageId | undefined;
  readonly key: Uint8Array | null;
  readonly headers: readonly MessageHeader[];
  readonly value: Uint8Array | null;
  /** Clock time (monotonic) at which the lease may have ended. */
  readonly endsAtMs: number;
}

/**
 * `held` until something was asked for it; `settling` until the node has answered; `settled` after;
 * `lost` when the lease ended without us.
 */
type LeaseState = 'held' | 'settling' | 'settled' | 'lost';

/** A message and its lease: the consumer's own side of {@link ConsumedMessage}. */
export class Lease implements ConsumedMessage {
  readonly run: Run;
  readonly index: number;
  readonly offset: number;
  readonly timestampMs: number;
  readonly attempt: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** Clock time (monotonic) at which the lease may have ended. */
  endsAtMs: number;
  /** No more extensions after this; set when a handler takes it over. */
  extendUntilMs = Number.POSITIVE_INFINITY;
  state: LeaseState = 'held';
  /** Extensions that were asked for and have no answer. */
  extending = 0;
  private readonly host: LeaseHost;
  private readonly messageId: MessageId | undefined;
  private readonly messageHeaders: readonly MessageHeader[];
  /** NACK was asked for: in order, the messages behind it are delivered again after it. */
  isGivenBack = false;
  /** Settles when the node has answered what was asked for. */
  settling: Promise<void> | undefined;
  private controller: AbortController | undefined;

  constructor(host: LeaseHost, run: Run, fields: LeaseFields) {
    this.host = host;
    this.run = run;
    this.index = fields.index;
    this.offset = fields.offset;
    this.timestampMs = fields.timestampMs;
    this.attempt = fields.attempt;
    this.key = fields.key;
    this.value = fields.value;
    this.endsAtMs = fields.endsAtMs;
    this.messageId = fields.id;
    this.messageHeaders = fields.headers;
  }

  get topic(): string {
    return this.run.topic;
  }

  get cluster(): 'primary' | 'backup' {
    return this.run.cluster === 0 ? 'primary' : 'backup';
  }

  get partition(): number {
    return this.run.partition;
  }

  get id(): string | undefined {
    return this.messageId === undefined ? undefined : formatMessageId(this.messageId);
  }

  get headers(): readonly (readonly [name: string, value: Uint8Array | null])[] {
    return this.messageHeaders.map(({ name, value }) => [name, value] as const);
  }

  get isSettled(): boolean {
    return this.state !== 'held';
  }

  get signal(): AbortSignal {
    this.controller ??= new AbortController();
    if (this.state === 'lost') this.controller.abort();
    return this.controller.signal;
  }

  ack(options: { readonly wait?: AckWait } = {}): Promise<void> {
    return this.settle(() => this.host.ack(this, options.wait));
  }

  nack(options: NackOptions = {}): Promise<void> {
    if (this.state === 'held') this.isGivenBack = true;
    return this.settle(() => this.host.nack(this, options));
  }

  commit(options: { readonly wait?: AckWait } = {}): Promise<void> {
    return this.settle(() => this.host.commit(this, options.wait));
  }

  extend(leaseMs?: number): Promise<void> {
    if (this.state !== 'held') return quiet(Promise.reject(this.gone()));
    return quiet(this.host.extend(this, leaseMs));
  }

  /** It is done, by what was asked for it or for one behind it. */
  settled(): void {
    this.state = 'settled';
    this.settling ??= Promise.resolve();
  }

  /** The lease is not ours any more. */
  lose(): void {
    this.state = 'lost';
    this.controller?.abort();
  }

  private settle(ask: () => Promise<void>): Promise<void> {
    if (this.settling !== undefined) return this.settling;
    if (this.state === 'lost') return quiet(Promise.reject(this.gone()));
    this.state = 'settling';
    try {
      this.settling = quiet(ask());
      return this.settling;
    } catch (error) {
      this.state = 'held';
      return quiet(Promise.reject(error));
    }
  }

  private gone(): MqpError {
    if (this.state === 'lost') return new MqpError('LEASE_LOST', 'the lease of this message ended');
    return new MqpError('INVALID_ARGUMENT', 'this message was settled before');
  }
}

/** A rejection that nobody waits for must not end the process. */
function quiet(promise: Promise<void>): Promise<void> {
  promise.catch(() => {});
  return promise;
}
