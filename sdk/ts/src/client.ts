import { EventEmitter } from 'node:events';
import type { MapMessage } from '../../../protocol/src/map-message.ts';
import { Batch } from './batch.ts';
import { type Clock, type Random, systemClock, systemRandom } from './clock.ts';
import type { SubscribeOptions } from './consume-types.ts';
import { Consumer } from './consumer.ts';
import { Control } from './control.ts';
import { DelayedMessages } from './delayed-messages.ts';
import { Engine } from './engine.ts';
import { MqpError, toMqpError } from './errors.ts';
import { GroupAdmin } from './group-admin.ts';
import type { AbortGroup, Message } from './message.ts';
import { messageOf } from './message-input.ts';
import { type Settings, settingsOf } from './settings.ts';
import { TailStream } from './tail.ts';
import type {
  BatchCallback,
  ClientEvents,
  ClientOptions,
  ClientState,
  CreateTopicInput,
  MessageInput,
  NodeInfo,
  ProduceOptions,
  ProduceResult,
  TailOptions,
  TailRecord,
  TopicDescription,
  TopicInfo,
  TopicListing,
} from './types.ts';

/** Time and chance, for tests. */
export interface Environment {
  readonly clock?: Clock;
  readonly random?: Random;
}

type Resolve = (result: ProduceResult) => void;
type Reject = (error: MqpError) => void;

const CLOSE_TIMEOUT_MS = 10_000;

// One executor for all messages: a closure for each would cost more than its promise.
let resolveOfNew: Resolve;
let rejectOfNew: Reject;
function capture(resolve: Resolve, reject: Reject): void {
  resolveOfNew = resolve;
  rejectOfNew = reject;
}

/**
 * A client of one producer. It keeps one connection, makes it again when it is lost, and resends
 * what was not answered with the same ids, so that a node stores each message once.
 *
 * All methods may be called at any time; what cannot be sent yet waits, up to `bufferBytesMax`.
 */
export class MqpClient extends EventEmitter<ClientEvents> {
  readonly groups: GroupAdmin;
  private readonly engine: Engine;
  private readonly control: Control;
  private readonly settings: Settings;
  private readonly consumers = new Set<Consumer>();
  private readonly abortGroups = new WeakMap<AbortSignal, AbortGroup>();

  /**
   * A client and its first connection.
   * @throws MqpError CONNECT_FAILED (retriable) when no server answered within `connectTimeoutMs`,
   * INVALID_ARGUMENT, or what the node said, such as AUTHENTICATION_FAILED
   */
  static async connect(options: ClientOptions, environment: Environment = {}): Promise<MqpClient> {
    const client = new MqpClient(options, environment);
    await client.engine.start();
    return client;
  }

  private constructor(options: ClientOptions, environment: Environment) {
    super();
    const clock = environment.clock ?? systemClock;
    this.settings = settingsOf(options, clock, environment.random ?? systemRandom);
    this.engine = new Engine(this.settings, {
      state: (state, reason) => this.emit('state', state, reason),
      fenced: (error) => this.emit('fenced', error),
      nodeChanged: (change) => this.emit('nodeChanged', change),
      connectionError: (error) => this.emit('connectionError', error),
    });
    this.control = new Control(this.engine, this.settings.timeoutMs);
    this.groups = new GroupAdmin(this.control);
  }

  get state(): ClientState {
    return this.engine.state;
  }

  /** The node of the present or last connection. */
  get node(): NodeInfo | undefined {
    return this.engine.node;
  }

  /** Messages that have no answer yet, sent or not. */
  get outstandingMessages(): number {
    return this.engine.pipeline.outstandingMessages;
  }

  /** Their bytes, as they count against `bufferBytesMax`. */
  get outstandingBytes(): number {
    return this.engine.pipeline.outstandingBytes;
  }

  /**
   * Sends one message. In ordered mode the order of the calls is the order in the topic.
   * @throws MqpError (as a rejection) the node's refusal; UNKNOWN (retriable): it may have been
   * delivered; BUFFER_FULL, TIMED_OUT, ABORTED, CLOSED: it was not
   */
  produce(topic: string, message: MessageInput, options?: ProduceOptions): Promise<ProduceResult> {
    const refusal = this.refusal(options);
    if (refusal !== undefined) return Promise.reject(refusal);
    try {
      const added = messageOf(this.engine.topic(topic), message, options?.ack ?? 'stored');
      const promise = new Promise<ProduceResult>(capture);
      added.resolve = resolveOfNew;
      added.reject = rejectOfNew;
      const error = this.add(added, options);
      if (error !== undefined) added.reject(error);
      return promise;
    } catch (error) {
      return Promise.reject(toMqpError(error));
    }
  }

  /**
   * Sends messages with one callback for all of them, when the last is answered: cheaper than a
   * promise each. `results[i]` is the result or the error of `messages[i]`.
   */
  produceBatch(
    topic: string,
    messages: readonly MessageInput[],
    options: ProduceOptions,
    callback: BatchCallback,
  ): void {
    const batch = new Batch(messages.length, callback);
    const refusal = this.refusal(options);
    const handle = this.engine.topic(topic);
    for (let index = 0; index < messages.length; index++) {
      if (refusal !== undefined) {
        batch.settle(index, refusal);
        continue;
      }
      try {
        const added = messageOf(handle, messages[index] as MessageInput, options.ack ?? 'stored');
        added.batch = batch;
        added.batchIndex = index;
        const error = this.add(added, options);
        if (error !== undefined) batch.settle(index, error);
      } catch (error) {
        batch.settle(index, toMqpError(error));
      }
    }
    batch.begin();
  }

  /**
   * Reads a topic from a position on, and goes on as messages come, across reconnects. The
   * iteration ends by `return`, the signal (without an error), or an error such as
   * OFFSET_OUT_OF_RANGE or UNKNOWN_TOPIC: reading makes no topic, and waits for none.
   */
  tail(topic: string, options: TailOptions = {}): AsyncIterableIterator<TailRecord> {
    return new TailStream(this.engine, topic, options);
  }

  /**
   * Joins a group, and resolves when the node has granted it; `timeoutMs` counts until then.
   * @throws MqpError UNKNOWN_TOPIC, GROUP_CONFLICT, NOT_AUTHORIZED, INVALID_ARGUMENT, TIMED_OUT, …
   */
  async subscribe(options: SubscribeOptions): Promise<Consumer> {
    if (this.engine.ended !== undefined) throw this.engine.ended;
    const consumer = new Consumer(this.engine, options);
    this.consumers.add(consumer);
    consumer.on('state', (state) => {
      if (state === 'closed') this.consumers.delete(consumer);
    });
    await consumer.start(this.settings.timeoutMs || Number.POSITIVE_INFINITY);
    return consumer;
  }

  /** @throws MqpError TOPIC_EXISTS, INVALID_TOPIC, NOT_AUTHORIZED, … */
  createTopic(name: string, input: CreateTopicInput = {}): Promise<TopicDescription> {
    return this.control.createTopic(name, input);
  }

  /** @throws MqpError UNKNOWN_TOPIC, NOT_AUTHORIZED, … */
  describeTopic(name: string): Promise<TopicDescription> {
    return this.control.describeTopic(name);
  }

  listTopics(prefix?: string): Promise<readonly TopicListing[]> {
    return this.control.listTopics(prefix);
  }

  /** Opens a topic ahead of the first message, and tells what the node says of it. */
  openTopic(name: string): Promise<TopicInfo> {
    return this.control.openTopic(name);
  }

  /** Messages that wait for their due time; only where the node has the feature `delay`. */
  get delayed(): DelayedMessages {
    return new DelayedMessages(this.control);
  }

  /** What the node says of itself, for people and dashboards. */
  status(): Promise<Readonly<Record<string, unknown>>> {
    return this.control.status();
  }

  /**
   * Asks an opcode whose request and answer are maps, such as LIST_DEAD; for tools. With
   * `changesNothing` it is asked again while it may succeed. Bytes in the answer are the caller's.
   * @throws MqpError the node's refusal, TIMED_OUT, …
   */
  ask<Q extends object, A extends object>(
    message: MapMessage<Q, A>,
    request: Q,
    options: { readonly changesNothing?: boolean } = {},
  ): Promise<A> {
    return this.control.ask(message, request, options.changesNothing === true);
  }

  /** The round trip to the node in ms. */
  ping(): Promise<number> {
    return this.control.ping();
  }

  /**
   * Closes its consumers, takes nothing more, waits for the answers of what was taken and asked,
   * then closes. After `timeoutMs` (default 10,000) what was sent ends as UNKNOWN and the rest as
   * CLOSED. Called again it resolves when the client has closed, too: at the earliest deadline.
   */
  async close(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    const timeoutMs = options.timeoutMs ?? CLOSE_TIMEOUT_MS;
    const deadlineMs = this.engine.clock.monotonic() + timeoutMs;
    // What is produced from now on is refused at once, unless a handler may still have to.
    if (this.consumers.size === 0) return this.engine.close(timeoutMs);
    await Promise.all([...this.consumers].map((consumer) => consumer.close({ timeoutMs })));
    await this.engine.close(Math.max(0, deadlineMs - this.engine.clock.monotonic()));
  }

  private refusal(options: ProduceOptions | undefined): MqpError | undefined {
    if (this.engine.ended !== undefined) return this.engine.ended;
    if (options?.signal?.aborted !== true) return undefined;
    return new MqpError('ABORTED', 'the signal had fired before the call', { isRetriable: true });
  }

  private add(message: Message, options: ProduceOptions | undefined): MqpError | undefined {
    const timeoutMs = options?.timeoutMs ?? this.settings.timeoutMs;
    const error = this.engine.pipeline.add(message, timeoutMs);
    if (error === undefined && options?.signal !== undefined) this.watch(message, options.signal);
    return error;
  }

  private watch(message: Message, signal: AbortSignal): void {
    let group = this.abortGroups.get(signal);
    if (group === undefined) {
      const messages = new Set<Message>();
      group = { messages };
      this.abortGroups.set(signal, group);
      signal.addEventListener('abort', () => this.abort(messages), { once: true });
    }
    group.messages.add(message);
    message.abortGroup = group;
  }

  private abort(messages: Set<Message>): void {
    for (const message of [...messages]) {
      this.engine.pipeline.giveUp(message, 'ABORTED', 'the signal fired');
    }
  }
}
