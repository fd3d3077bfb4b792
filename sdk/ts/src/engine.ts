import type { Frame } from '../../../protocol/src/frame.ts';
import type { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { Opcode } from '../../../protocol/src/generated.ts';
import type { Goaway } from '../../../protocol/src/goaway.ts';
import { decodeOpenTopicAnswer, encodeOpenTopic } from '../../../protocol/src/open-topic.ts';
import { Backoff } from './backoff.ts';
import type { Clock, Random, Timer } from './clock.ts';
import type { Link } from './dial.ts';
import { connectionError, MqpError, nodeError } from './errors.ts';
import { Exchange } from './exchange.ts';
import { type OpenMode, TopicHandle } from './message.ts';
import { type AskOwner, OtherNodes } from './other-nodes.ts';
import { Pipeline } from './pipeline.ts';
import type { Settings } from './settings.ts';
import { Subscriptions } from './subscriptions.ts';
import { Supervisor } from './supervisor.ts';
import type { ClientState, NodeChange, NodeInfo, TopicInfo } from './types.ts';
import { Waiters } from './waiters.ts';

/** What the engine tells its client. */
export interface EngineListener {
  state(state: ClientState, reason: Error | undefined): void;
  fenced(error: MqpError): void;
  nodeChanged(change: NodeChange): void;
  connectionError(error: MqpError): void;
}

/** A control request: how it is written and read. */
export interface Call<T> {
  readonly opcode: number;
  encode(writer: FrameWriter, correlationId: number): void;
  decode(frame: Frame): T;
}

const EPOCH_MAX = 0xffff;

/** Ties connection, pipeline and topics together: one client from its first attempt to its end. */
export class Engine {
  readonly clock: Clock;
  readonly random: Random;
  readonly pipeline: Pipeline;
  readonly subscriptions = new Subscriptions();
  state: ClientState = 'connecting';
  node: NodeInfo | undefined;
  private readonly settings: Settings;
  private readonly listener: EngineListener;
  private readonly supervisor: Supervisor;
  private readonly others: OtherNodes;
  private readonly topics = new Map<string, TopicHandle>();
  private readonly ready: Waiters<Exchange>;
  private readonly idle: Waiters<void>;
  private exchange: Exchange | undefined;
  /** Asked of any node before the end, and not yet answered; TAIL may be answered late. */
  private calls = 0;
  private producerId: bigint;
  private epoch: number;
  private isRenewing = false;
  private isLeaving = false;
  private isFinished = false;
  private leaveTimer: Timer | undefined;
  private lastError: MqpError | undefined;
  private end: MqpError | undefined;

  constructor(settings: Settings, listener: EngineListener) {
    this.settings = settings;
    this.listener = listener;
    this.clock = settings.clock;
    this.random = settings.random;
    this.producerId = settings.producerId;
    this.epoch = settings.epoch;
    this.ready = new Waiters(settings.clock);
    this.idle = new Waiters(settings.clock);
    this.pipeline = new Pipeline(settings, {
      wake: () => this.exchange?.wake(),
      openTopic: (topic) => void this.openForPipeline(topic),
      renewEpoch: (reason) => this.renewEpoch(reason),
      idle: () => this.answered(),
    });
    this.others = new OtherNodes(settings);
    this.supervisor = new Supervisor(settings, {
      identity: () => ({ producerId: this.producerId, epoch: this.epoch }),
      mayChangeNode: () => this.mayChangeNode(),
      connecting: () => this.setState('connecting', undefined),
      connected: (link) => this.attach(link),
      attemptFailed: (error) => this.attemptFailed(error),
      gaveUp: (error) => this.finish(error),
    });
  }

  /** Resolves when the first connection is ready. */
  async start(): Promise<void> {
    this.supervisor.start();
    try {
      await this.whenReady(this.settings.connectTimeoutMs);
    } catch (cause) {
      const error = this.lastError ?? connectionError('CONNECT_FAILED', cause);
      this.finish(error);
      throw error;
    }
  }

  topic(name: string): TopicHandle {
    let handle = this.topics.get(name);
    if (handle === undefined) {
      handle = new TopicHandle(name);
      this.topics.set(name, handle);
    }
    return handle;
  }

  /** Why the client takes nothing more, if it does not. */
  get ended(): MqpError | undefined {
    return this.end;
  }

  /** The present exchange, or the next one. @throws MqpError TIMED_OUT, CLOSED, or why it ended */
  whenReady(timeoutMs: number): Promise<Exchange> {
    if (this.end !== undefined && this.state === 'closed') return Promise.reject(this.end);
    if (this.exchange !== undefined && !this.isLeaving) return Promise.resolve(this.exchange);
    return this.ready.wait(timeoutMs, 'no connection before the deadline');
  }

  /** Sends a control request on the present connection, or on the next one. */
  async call<T>(call: Call<T>, timeoutMs: number): Promise<T> {
    const exchange = await this.whenReady(timeoutMs);
    return this.counted(exchange.request(call.opcode, call.encode, call.decode, timeoutMs));
  }

  /** The same; what another node owns is asked of that one, where an address leads to it. */
  async callOwner<T>(call: Call<T>, timeoutMs: number): Promise<T> {
    const deadlineMs = this.clock.monotonic() + timeoutMs;
    const ask: AskOwner<T> = (exchange, leftMs) =>
      exchange.request(call.opcode, call.encode, call.decode, leftMs);
    const exchange = await this.whenReady(timeoutMs);
    const follow = (error: unknown) =>
      this.followOwner(error, ask, deadlineMs - this.clock.monotonic());
    return this.counted(ask(exchange, timeoutMs).catch(follow));
  }

  /** Asks the other nodes what this one refused with NOT_OWNER. @throws any other `error` */
  followOwner<T>(error: unknown, ask: AskOwner<T>, timeoutMs: number): Promise<T> {
    return this.others.follow(error, ask, { nodeId: this.node?.nodeId ?? '', timeoutMs });
  }

  /**
   * The same for a request that reads a topic, which is opened first on the same connection, and
   * never made.
   */
  async callOnTopic<T>(topic: TopicHandle, call: Call<T>, timeoutMs: number): Promise<T> {
    const exchange = await this.whenReady(timeoutMs);
    await this.openOn(exchange, topic, timeoutMs, 'find');
    return exchange.request(call.opcode, call.encode, call.decode, timeoutMs);
  }

  /** Runs `run` again and again while the error is retriable, there is time, and it is wanted. */
  async callAgain<T>(
    run: (timeoutMs: number) => Promise<T>,
    timeoutMs: number,
    isWanted: () => boolean = () => true,
  ): Promise<T> {
    const deadlineMs = this.clock.monotonic() + timeoutMs;
    const backoff = new Backoff(this.random, { minMs: 50, maxMs: 2000 });
    for (;;) {
      try {
        return await run(Math.max(1, deadlineMs - this.clock.monotonic()));
      } catch (cause) {
        const error = this.end ?? connectionError('DISCONNECTED', cause);
        const waitMs = Math.max(error.retryAfterMs ?? 0, backoff.next());
        const isLate = this.clock.monotonic() + waitMs >= deadlineMs;
        if (!error.isRetriable || isLate || !isWanted()) throw error;
        await this.sleep(waitMs);
      }
    }
  }

  /** Opens a topic on the present connection, or waits for one; single flight per connection. */
  async open(topic: TopicHandle, timeoutMs: number, mode: OpenMode): Promise<TopicInfo> {
    const exchange = await this.whenReady(timeoutMs);
    return this.counted(this.openOn(exchange, topic, timeoutMs, mode));
  }

  /** What waits here does not keep the process alive: the connection does, or its next attempt. */
  sleep(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.clock.setTimer(resolve, delayMs).unref?.();
    });
  }

  /**
   * Takes nothing more, waits for the answers, then ends; what is left ends as UNKNOWN or CLOSED.
   * Of several calls the one that waits the shortest ends it.
   */
  async close(timeoutMs: number): Promise<void> {
    if (this.isFinished) return;
    this.end ??= new MqpError('CLOSED', 'the client was closed');
    if (this.exchange !== undefined) this.setState('draining', undefined);
    if (this.isBusy && timeoutMs > 0) {
      await this.idle.wait(timeoutMs, 'not drained').catch(() => {});
    }
    this.finish(this.end);
  }

  private get isBusy(): boolean {
    return this.pipeline.outstandingMessages > 0 || this.calls > 0;
  }

  /** Whoever asks again and again does not hold up the end: only what began before it counts. */
  private counted<T>(work: Promise<T>): Promise<T> {
    if (this.end !== undefined) return work;
    this.calls++;
    return work.finally(() => {
      this.calls--;
      this.answered();
    });
  }

  private openOn(
    exchange: Exchange,
    topic: TopicHandle,
    timeoutMs: number,
    mode: OpenMode,
  ): Promise<TopicInfo> {
    if (topic.id !== 0 && topic.info !== undefined) return Promise.resolve(topic.info);
    const request = { name: topic.name, isExisting: mode === 'find' };
    topic.opening[mode] ??= exchange
      .request(
        Opcode.OPEN_TOPIC,
        (writer, correlationId) => encodeOpenTopic(writer, correlationId, request),
        decodeOpenTopicAnswer,
        timeoutMs,
      )
      .then(({ topicId, ...info }) => {
        if (exchange === this.exchange) topic.id = topicId;
        topic.info = info as TopicInfo;
        return topic.info;
      })
      .finally(() => {
        if (exchange === this.exchange) topic.opening[mode] = undefined;
      });
    return topic.opening[mode];
  }

  /** Goes on until the topic is open, refused for good, or the connection has ended. */
  private async openForPipeline(topic: TopicHandle): Promise<void> {
    const { exchange } = this;
    if (exchange === undefined) return;
    topic.isOpening = true;
    const backoff = new Backoff(this.random, { minMs: 50, maxMs: 2000 });
    while (exchange === this.exchange) {
      try {
        await this.openOn(exchange, topic, this.settings.timeoutMs || 60_000, 'make');
        if (exchange !== this.exchange) return;
        topic.isOpening = false;
        topic.refusal = undefined;
        this.pipeline.topicOpened(topic);
        return;
      } catch (cause) {
        if (exchange !== this.exchange) return;
        const error = connectionError('DISCONNECTED', cause);
        if (!error.isRetriable) {
          topic.isOpening = false;
          this.pipeline.topicRefused(topic, error);
          return;
        }
        topic.refusal = error;
        await this.sleep(Math.max(error.retryAfterMs ?? 0, backoff.next()));
      }
    }
  }

  private mayChangeNode(): boolean {
    if (!this.settings.isOrdered) return true;
    return this.pipeline.unansweredMessages === 0 && !this.pipeline.hasStoredOnly;
  }

  private attach(link: Link): void {
    const { hello, address } = link;
    const { nodeId, nodeVersion, backend, features, limits, serverTimeMs } = hello;
    const previous = this.node?.nodeId;
    const isOrderKept = this.mayChangeNode();
    const node = { nodeId, nodeVersion, backend, features, limits, serverTimeMs };
    this.node = { ...node, address: address.text };
    this.others.learn(address, nodeId);
    this.producerId = hello.producerId;
    this.isRenewing = false;
    this.isLeaving = false;
    const exchange = this.exchangeOn(link, limits.idleTimeoutMs);
    this.exchange = exchange;
    if (link.connection.isClosed) {
      const closed = 'the connection was closed';
      exchange.close(new MqpError('DISCONNECTED', closed, { isRetriable: true }));
      return;
    }
    if (previous !== undefined && previous !== nodeId) {
      this.pipeline.hasStoredOnly = false;
      this.listener.nodeChanged({ from: previous, to: nodeId, isOrderKept });
    }
    this.pipeline.connected(hello);
    this.setState(this.end === undefined ? 'ready' : 'draining', undefined);
    this.ready.resolve(exchange);
    this.subscriptions.attach(exchange);
  }

  private exchangeOn(link: Link, idleTimeoutMs: number): Exchange {
    return new Exchange(
      link.connection,
      {
        fill: (out) => this.pipeline.fill(out),
        produced: (frame) => {
          this.pipeline.produced(frame);
          this.answered();
        },
        produceFailed: (id, error) => this.pipeline.failed(id, error),
        answered: () => this.answered(),
        goaway: (goaway) => this.goaway(goaway),
        pushed: (frame) => this.subscriptions.frame(frame),
        closed: (error) => this.detach(error),
      },
      { clock: this.clock, idleTimeoutMs },
    );
  }

  private detach(error: MqpError): void {
    this.exchange = undefined;
    this.leaveTimer?.cancel();
    this.leaveTimer = undefined;
    for (const topic of this.topics.values()) topic.forget();
    this.pipeline.disconnected();
    this.subscriptions.detach();
    if (this.state === 'closed') return;
    this.setState('disconnected', error);
    this.supervisor.lost(error, this.isLeaving);
    this.answered();
  }

  private goaway(goaway: Goaway): void {
    if (this.isLeaving) return;
    this.isLeaving = true;
    this.pipeline.pause();
    this.setState('draining', nodeError(goaway.reason, 'the node is going away'));
    this.leaveTimer = this.clock.setTimer(() => this.leave(), goaway.drainMs);
    this.answered();
  }

  /** Whenever something was answered, or will not be: perhaps nothing is under way any more. */
  answered(): void {
    if (this.isLeaving && !this.isAwaited) this.leave();
    if (this.end !== undefined && !this.isBusy) this.idle.resolve(undefined);
  }

  /** The present node has still to answer, or to be told, something. */
  private get isAwaited(): boolean {
    if (this.pipeline.inFlightMessages > 0 || this.subscriptions.isBusy) return true;
    return this.exchange?.isBusy === true;
  }

  private leave(): void {
    const left = new MqpError('DISCONNECTED', 'left a node that is going away', {
      isRetriable: true,
    });
    this.exchange?.close(left);
  }

  private renewEpoch(reason: MqpError): void {
    if (this.isRenewing) return;
    this.isRenewing = true;
    this.epoch++;
    if (this.epoch > EPOCH_MAX) this.finish(reason);
    else this.exchange?.close(reason);
  }

  private attemptFailed(error: MqpError): void {
    this.lastError = error;
    this.setState('disconnected', error);
    this.listener.connectionError(error);
  }

  private finish(error: MqpError): void {
    if (this.isFinished) return;
    this.isFinished = true;
    this.end ??= error;
    this.supervisor.close();
    this.pipeline.abandon(error);
    this.lastError = error;
    this.setState('closed', error);
    this.subscriptions.end(error);
    this.others.close(error);
    this.exchange?.close(error);
    this.ready.reject(error);
    this.idle.resolve(undefined);
    if (error.code === 'FENCED') this.listener.fenced(error);
  }

  private setState(state: ClientState, reason: Error | undefined): void {
    if (this.state === state || this.state === 'closed') return;
    // While draining for close(), a lost connection is an interlude.
    this.state = state;
    this.listener.state(state, reason);
  }
}
