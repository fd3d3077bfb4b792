import { EventEmitter } from 'node:events';
import type { DeliveredRuns } from '../../../protocol/src/delivered-runs.ts';
import type {
  ConsumedMessage,
  ConsumeHandler,
  ConsumerEvents,
  ConsumerState,
  RunOptions,
  SubscribeOptions,
  SubscriptionInfo,
} from './consume-types.ts';
import type { Engine } from './engine.ts';
import { MqpError } from './errors.ts';
import { HandlerLoop } from './handler-loop.ts';
import { HeldLeases } from './held-leases.ts';
import { Lease, type LeaseHost, type Run } from './lease.ts';
import { LeaseKeeper } from './lease-keeper.ts';
import { LeaseQueue } from './lease-queue.ts';
import { ackKind, extendKind, nackKind } from './settle-kind.ts';
import { Settler } from './settler.ts';
import { subscribeOf } from './subscribe-input.ts';
import { Subscription } from './subscription.ts';
import { Waiters } from './waiters.ts';

type Step = IteratorResult<ConsumedMessage, undefined>;

const DONE: Step = { done: true, value: undefined };
const CLOSE_TIMEOUT_MS = 30_000;
const CONCURRENCY = 16;
const EXTEND_MS_MAX = 3_600_000;
const RETRY_MS = 200;
/** So long an answer to an ack is waited for, and another node looked for that gives it. */
const SETTLE_MS = 60_000;
/** So long at least may the node take to answer UNSUBSCRIBE. */
const GOODBYE_MS_MIN = 1000;

/**
 * A subscription of a group, across reconnects. Its messages are read by `for await`, or handled by
 * {@link Consumer.run}; either one, once. Whoever reads by `for await` settles each message.
 */
export class Consumer
  extends EventEmitter<ConsumerEvents>
  implements AsyncIterable<ConsumedMessage>
{
  state: ConsumerState = 'subscribing';
  /** What the node granted last. */
  info: SubscriptionInfo | undefined;
  private readonly engine: Engine;
  private readonly options: SubscribeOptions;
  private readonly creditMessages: number;
  private readonly subscription: Subscription;
  private readonly settler: Settler;
  private readonly keeper: LeaseKeeper;
  private readonly queue = new LeaseQueue();
  private readonly held: HeldLeases;
  private readonly started: Waiters<void>;
  private readonly idle: Waiters<void>;
  private readonly finished: Waiters<void>;
  private readonly waiting: { resolve(step: Step): void; reject(error: MqpError): void }[] = [];
  private readonly leaseHost: LeaseHost;
  private loop: HandlerLoop | undefined;
  private isRead = false;
  private extendMsMax = EXTEND_MS_MAX;
  private end: MqpError | undefined;
  private closing: Promise<void> | undefined;

  /** Made by `client.subscribe`. @throws MqpError INVALID_ARGUMENT */
  constructor(engine: Engine, options: SubscribeOptions) {
    super();
    this.engine = engine;
    this.options = options;
    const { clock } = engine;
    const request = subscribeOf(options);
    this.creditMessages = request.creditMessages;
    this.held = new HeldLeases(() => this.subscription.restoreCredit());
    this.started = new Waiters(clock);
    this.idle = new Waiters(clock);
    this.finished = new Waiters(clock);
    this.settler = new Settler({
      timeoutMs: SETTLE_MS,
      frameBytesMax: () => engine.node?.limits.frameBytesMax ?? 8192,
      sleep: () => engine.sleep(RETRY_MS),
      followOwner: (refusal, ask) => engine.followOwner(refusal, ask, SETTLE_MS),
      givenBack: (lease) => this.givenBack(lease),
      committed: (lease) => this.held.committed(lease),
      idle: () => this.quiet(),
    });
    this.keeper = new LeaseKeeper({
      clock,
      leases: () => this.held,
      extend: (lease) => this.prolong(lease),
    });
    this.leaseHost = this.hostOfLeases();
    this.subscription = new Subscription(engine, request, {
      held: this.held,
      isBusy: () => this.isBusy,
      subscribed: (info) => this.subscribed(info),
      delivered: (runs) => this.delivered(runs),
      assigned: (assigned) => this.assigned(assigned),
      connected: (exchange) => this.settler.connected(exchange),
      disconnected: () => this.settler.disconnected(),
      failed: (error) => this.finish(error),
    });
  }

  /** Messages that are leased to this consumer and not settled. */
  get heldMessages(): number {
    return this.held.size;
  }

  /** Resolves when the node has granted the subscription for the first time. */
  async start(timeoutMs: number): Promise<void> {
    const started = this.started.wait(timeoutMs, 'no answer to SUBSCRIBE before the deadline');
    this.subscription.open();
    try {
      await started;
    } catch (error) {
      this.finish(error as MqpError);
      throw error;
    }
  }

  /**
   * The messages as they come. The iteration ends when the consumer is closed; leaving it closes
   * the consumer. A message whose lease ended while it waited to be read is left out.
   */
  [Symbol.asyncIterator](): AsyncIterator<ConsumedMessage, undefined> {
    this.readOnce();
    return {
      next: () => this.next(),
      return: async () => {
        await this.close();
        return DONE;
      },
    };
  }

  /**
   * Runs the handler for every message, and extends leases while messages wait for it or it runs.
   * What it resolves, is acked; what it throws, is given back. Resolves when the consumer is
   * closed. @throws MqpError what ended the subscription
   */
  run(handler: ConsumeHandler, options: RunOptions = {}): Promise<void> {
    this.readOnce();
    const { concurrency = CONCURRENCY, extendMsMax = EXTEND_MS_MAX } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1) {
      throw new MqpError('INVALID_ARGUMENT', 'concurrency is an integer from 1');
    }
    if (this.state === 'closed') return this.end ? Promise.reject(this.end) : Promise.resolve();
    this.extendMsMax = extendMsMax;
    const host = { take: () => this.take(), handled: () => this.quiet() };
    this.loop = new HandlerLoop(host, handler, concurrency);
    if (this.info !== undefined) {
      this.loop.mode = this.info.mode;
      this.keeper.start(this.info.leaseMs);
    }
    const finished = this.finished.wait(Number.POSITIVE_INFINITY, '');
    for (const lease of this.held) this.mayExtend(lease);
    this.loop.pump();
    return finished;
  }

  /**
   * Takes nothing more, waits until the handlers have ended and what they asked for is answered,
   * then gives back the leases of what was not handled. After `timeoutMs` (default 30,000) what is
   * still open is given back too.
   */
  close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.closing ??= this.drain(options.timeoutMs ?? CLOSE_TIMEOUT_MS);
    return this.closing;
  }

  private async drain(timeoutMs: number): Promise<void> {
    if (this.state === 'closed') return;
    const deadlineMs = this.engine.clock.monotonic() + timeoutMs;
    this.setState('closing', undefined);
    this.subscription.hold();
    this.loop?.stop();
    for (const lease of this.queue.drain()) this.held.delete(lease);
    this.endIteration();
    if (this.isBusy && timeoutMs > 0) {
      await this.idle.wait(timeoutMs, 'not drained').catch(() => {});
    }
    const leftMs = deadlineMs - this.engine.clock.monotonic();
    await this.subscription.close(timeoutMs > 0 ? Math.max(leftMs, GOODBYE_MS_MIN) : 0);
    this.finish(undefined);
  }

  private get isBusy(): boolean {
    return (this.loop?.running ?? 0) > 0 || this.settler.unanswered > 0;
  }

  private readOnce(): void {
    if (!this.isRead) {
      this.isRead = true;
      return;
    }
    throw new MqpError('INVALID_ARGUMENT', 'a consumer is read or run once');
  }

  private subscribed(info: SubscriptionInfo): void {
    this.info = info;
    if (this.loop !== undefined) {
      this.loop.mode = info.mode;
      this.keeper.start(info.leaseMs);
    }
    if (this.state !== 'closing') this.setState(stateOf(info.assigned), undefined);
    this.emit('assigned', info);
    this.started.resolve(undefined);
    // The node shortens what a lost connection held: on a new one it is made long again.
    for (const lease of this.held) this.prolong(lease);
  }

  private assigned(assigned: number): void {
    if (this.info === undefined) return;
    this.info = { ...this.info, assigned };
    if (this.state !== 'closing') this.setState(stateOf(assigned), undefined);
    this.emit('assigned', this.info);
  }

  private delivered(runs: DeliveredRuns): void {
    const nowMs = this.engine.clock.monotonic();
    const leaseMs = this.info?.leaseMs ?? 0;
    const isMuch = this.held.size > 2 * this.creditMessages || this.held.before > 0;
    if (isMuch) this.held.forgetEnded(nowMs, leaseMs);
    const endsAtMs = nowMs + leaseMs;
    while (runs.nextRun()) {
      const { topic, cluster, partition } = runs;
      const run: Run = { token: Buffer.from(runs.token), topic, cluster, partition };
      while (runs.next()) this.receive(run, runs, endsAtMs);
    }
    if (this.loop !== undefined) this.loop.pump();
    else this.serve();
  }

  private receive(run: Run, runs: DeliveredRuns, endsAtMs: number): void {
    if (this.state === 'closing' || this.state === 'closed') return;
    const lease = new Lease(this.leaseHost, run, {
      index: runs.index,
      offset: runs.offset,
      timestampMs: runs.timestampMs,
      attempt: runs.attempt,
      id: runs.id,
      key: runs.key ?? null,
      headers: runs.headers,
      value: runs.value,
      endsAtMs,
    });
    this.held.add(lease);
    if (this.loop !== undefined) this.mayExtend(lease);
    this.queue.push(lease);
  }

  private mayExtend(lease: Lease): void {
    lease.extendUntilMs = this.engine.clock.monotonic() + this.extendMsMax;
  }

  /** The next message whose lease has not ended. */
  private take(): Lease | undefined {
    const nowMs = this.engine.clock.monotonic();
    for (;;) {
      const lease = this.queue.shift();
      if (lease === undefined) return undefined;
      if (lease.state === 'held' && lease.endsAtMs > nowMs) return lease;
      lease.lose();
      this.release(lease);
    }
  }

  private next(): Promise<Step> {
    const lease = this.take();
    if (lease !== undefined) return Promise.resolve({ done: false, value: lease });
    if (this.end !== undefined) return Promise.reject(this.end);
    if (this.state === 'closing' || this.state === 'closed') return Promise.resolve(DONE);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  private serve(): void {
    while (this.waiting.length > 0) {
      const lease = this.take();
      if (lease === undefined) return;
      this.waiting.shift()?.resolve({ done: false, value: lease });
    }
  }

  private hostOfLeases(): LeaseHost {
    const ackWait = this.options.ackWait ?? 'recorded';
    const end = (lease: Lease, asked: Promise<void>) => this.settle(lease, asked);
    return {
      ack: (lease, wait) => end(lease, this.settler.ask(ackKind(wait ?? ackWait), lease)),
      nack: (lease, options) => end(lease, this.settler.ask(nackKind(options), lease)),
      commit: (lease, wait) =>
        end(lease, this.settler.commit(lease, (wait ?? ackWait) === 'committed')),
      extend: (lease, leaseMs) => this.extend(lease, leaseMs),
    };
  }

  private settle(lease: Lease, asked: Promise<void>): Promise<void> {
    return asked.then(
      () => {
        lease.settled();
        this.release(lease);
      },
      (error: MqpError) => {
        this.lost(lease, error);
        throw error;
      },
    );
  }

  /** One that has no answer yet is asked for again on the next connection anyway. */
  private prolong(lease: Lease): void {
    if (lease.state === 'held' && lease.extending === 0) void lease.extend();
  }

  private async extend(lease: Lease, leaseMs = this.info?.leaseMs ?? 0): Promise<void> {
    const fromMs = this.engine.clock.monotonic();
    lease.extending++;
    try {
      await this.settler.ask(extendKind(leaseMs), lease);
      lease.endsAtMs = Math.max(lease.endsAtMs, fromMs + leaseMs);
    } catch (error) {
      const { code } = error as MqpError;
      if (code === 'LEASE_LOST' && lease.state === 'held') this.lost(lease, error as MqpError);
      throw error;
    } finally {
      lease.extending--;
    }
  }

  private lost(lease: Lease, error: MqpError): void {
    lease.lose();
    this.release(lease);
    this.emit('lost', lease, error);
  }

  /**
   * In order, what was delivered behind a message that was given back comes again after it. Called
   * before the next frame is read, so that what is delivered again is not among them.
   */
  private givenBack(lease: Lease): void {
    if (this.info?.mode === 'partition-ordered') this.held.givenBack(lease);
  }

  private release(lease: Lease): void {
    this.held.delete(lease);
    this.quiet();
  }

  /** Something ended: perhaps everything has. */
  private quiet(): void {
    if (this.isBusy) return;
    this.idle.resolve(undefined);
    this.engine.answered();
  }

  private endIteration(): void {
    const { end } = this;
    for (const { resolve, reject } of this.waiting.splice(0)) {
      if (end === undefined) resolve(DONE);
      else reject(end);
    }
  }

  /** Without an error it was closed. */
  private finish(error: MqpError | undefined): void {
    if (this.state === 'closed') return;
    if (this.state !== 'closing') this.end = error;
    this.setState('closed', error);
    this.loop?.stop();
    this.keeper.stop();
    this.settler.close(error ?? new MqpError('CLOSED', 'the consumer was closed'));
    for (const lease of this.held) lease.lose();
    this.held.clear();
    this.queue.drain();
    this.endIteration();
    this.idle.resolve(undefined);
    if (this.end === undefined) this.finished.resolve(undefined);
    else this.finished.reject(this.end);
    this.started.reject(error ?? new MqpError('CLOSED', 'the consumer was closed'));
    void this.subscription.close(0);
  }

  private setState(state: ConsumerState, reason: Error | undefined): void {
    if (this.state === state || this.state === 'closed') return;
    this.state = state;
    this.emit('state', state, reason);
  }
}

function stateOf(assigned: number): ConsumerState {
  return assigned > 0 ? 'active' : 'waiting';
}
