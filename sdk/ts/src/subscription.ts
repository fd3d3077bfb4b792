import type { Assigned } from '../../../protocol/src/assigned.ts';
import { encodeCredit } from '../../../protocol/src/credit.ts';
import type { DeliveredRuns } from '../../../protocol/src/delivered-runs.ts';
import type { Frame } from '../../../protocol/src/frame.ts';
import type { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { Opcode } from '../../../protocol/src/generated.ts';
import {
  decodeSubscribed,
  encodeSubscribe,
  type Subscribe,
  type Subscribed,
} from '../../../protocol/src/subscribe.ts';
import { decodeUnsubscribed, encodeUnsubscribe } from '../../../protocol/src/unsubscribe.ts';
import { Backoff } from './backoff.ts';
import type { SubscriptionInfo } from './consume-types.ts';
import type { Engine } from './engine.ts';
import { connectionError, type MqpError, nodeError } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { HeldLeases } from './held-leases.ts';
import type { Subscriber } from './subscriptions.ts';

export interface SubscriptionHost {
  /** What is held from before counts against the credit of a new subscription. */
  readonly held: HeldLeases;
  /** Handlers run, or answers are awaited. */
  isBusy(): boolean;
  subscribed(info: SubscriptionInfo): void;
  delivered(runs: DeliveredRuns): void;
  assigned(assigned: number): void;
  connected(exchange: Exchange): void;
  disconnected(): void;
  /** It will not be tried again. */
  failed(error: MqpError): void;
}

/** Keeps one subscription: makes it on every connection, and takes what comes for it. */
export class Subscription implements Subscriber {
  private readonly engine: Engine;
  private readonly host: SubscriptionHost;
  private readonly request: Subscribe & { readonly creditMessages: number };
  private exchange: Exchange | undefined;
  private granted: Subscribed | undefined;
  /** Messages that the node was asked for last. */
  private creditMessages = 0;
  private isCreditDue = false;
  private isClosing = false;

  constructor(
    engine: Engine,
    request: Subscribe & { readonly creditMessages: number },
    host: SubscriptionHost,
  ) {
    this.engine = engine;
    this.request = request;
    this.host = host;
  }

  get isBusy(): boolean {
    return this.host.isBusy();
  }

  fail(error: MqpError): void {
    this.host.failed(error);
  }

  open(): void {
    this.engine.subscriptions.add(this);
    const { exchange } = this.engine.subscriptions;
    if (exchange !== undefined) this.connected(exchange);
  }

  connected(exchange: Exchange): void {
    this.exchange = exchange;
    this.host.connected(exchange);
    if (!this.isClosing) void this.subscribe(exchange);
  }

  disconnected(): void {
    this.exchange = undefined;
    this.granted = undefined;
    this.host.disconnected();
  }

  delivered(runs: DeliveredRuns): void {
    this.host.delivered(runs);
  }

  /** The number of partitions changed, or the node ended the subscription. */
  assigned({ ended, assigned }: Assigned): void {
    if (ended === undefined) {
      this.host.assigned(assigned);
      return;
    }
    const { exchange } = this;
    this.forget();
    const error = nodeError(ended.code, ended.message);
    if (!error.isRetriable || exchange === undefined) this.host.failed(error);
    else void this.subscribe(exchange);
  }

  /** Less is held from before: what of the credit is free now is asked for, once in this turn. */
  restoreCredit(): void {
    if (this.isCreditDue) return;
    this.isCreditDue = true;
    setImmediate(() => {
      this.isCreditDue = false;
      this.updateCredit();
    });
  }

  /** Asks for nothing more. */
  hold(): void {
    this.isClosing = true;
    this.sendCredit(0, 0);
  }

  /**
   * Ends it at the node, which takes its leases back; the answer is waited for as long as
   * `timeoutMs`, which may be 0. Errors do not matter any more.
   */
  async close(timeoutMs: number): Promise<void> {
    this.isClosing = true;
    const { exchange, granted } = this;
    if (exchange !== undefined && granted !== undefined) {
      const answer = unsubscribe(exchange, granted.subscription, timeoutMs);
      if (timeoutMs > 0) await answer;
    }
    this.forget();
    this.engine.subscriptions.delete(this);
  }

  private forget(): void {
    if (this.granted !== undefined) {
      this.engine.subscriptions.forget(this.granted.subscription);
    }
    this.granted = undefined;
  }

  /**
   * Goes on until it is answered, refused for good, or the connection has ended. An answer has no
   * deadline: what the node grants after it would be a subscription that nobody ends.
   */
  private async subscribe(exchange: Exchange): Promise<void> {
    const backoff = new Backoff(this.engine.random, { minMs: 100, maxMs: 5000 });
    while (exchange === this.exchange && !this.isClosing) {
      try {
        await exchange.request(
          Opcode.SUBSCRIBE,
          (writer, id) => encodeSubscribe(writer, id, this.reduced()),
          (frame) => this.answered(frame, exchange),
          Number.POSITIVE_INFINITY,
        );
        return;
      } catch (cause) {
        if (exchange !== this.exchange) return;
        const error = connectionError('DISCONNECTED', cause);
        if (!error.isRetriable) {
          this.host.failed(error);
          return;
        }
        await this.engine.sleep(Math.max(error.retryAfterMs ?? 0, backoff.next()));
      }
    }
  }

  private reduced(): Subscribe {
    this.host.held.subscribing();
    this.creditMessages = this.freeCredit();
    return { ...this.request, creditMessages: this.creditMessages };
  }

  private freeCredit(): number {
    return Math.max(1, this.request.creditMessages - this.host.held.before);
  }

  private updateCredit(): void {
    const { granted } = this;
    const messages = this.freeCredit();
    if (granted === undefined || this.isClosing || messages === this.creditMessages) return;
    this.creditMessages = messages;
    this.sendCredit(messages, granted.creditBytes);
  }

  /** In the same turn as the frame was read: a DELIVER may follow it at once. */
  private answered(frame: Frame, exchange: Exchange): void {
    const granted = decodeSubscribed(frame);
    if (this.isClosing) {
      // Nobody reads it: it would keep messages from the others while the connection lasts.
      void unsubscribe(exchange, granted.subscription);
      return;
    }
    this.granted = granted;
    this.engine.subscriptions.learn(granted.subscription, this);
    const { assigned, mode, creditMessages, creditBytes, leaseMs } = granted;
    this.host.subscribed({ assigned, mode, creditMessages, creditBytes, leaseMs });
    // Something may have been settled while the answer was on its way.
    this.updateCredit();
  }

  private sendCredit(messages: number, bytes: number): void {
    const { exchange, granted } = this;
    if (exchange === undefined || granted === undefined) return;
    const credit = { subscription: granted.subscription, messages, bytes };
    exchange.send((writer, id) => encodeCredit(writer, id, credit));
  }
}

/** Resolves when it is answered, or will not be. */
function unsubscribe(exchange: Exchange, id: number, timeoutMs = 0): Promise<void> {
  const encode = (writer: FrameWriter, correlationId: number) =>
    encodeUnsubscribe(writer, correlationId, id);
  return exchange
    .request(Opcode.UNSUBSCRIBE, encode, decodeUnsubscribed, timeoutMs)
    .catch(() => {});
}
