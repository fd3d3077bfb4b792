import type { Frame } from '../../../protocol/src/frame.ts';
import { Cluster, ErrorCode, ProducedForm } from '../../../protocol/src/generated.ts';
import { producerText } from '../../../protocol/src/message-id.ts';
import { ProducedEntries } from '../../../protocol/src/produced.ts';
import type { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import { Backoff } from './backoff.ts';
import { BatchWriter } from './batch-writer.ts';
import type { Clock, Random, Timer } from './clock.ts';
import { Correlations } from './correlations.ts';
import { Deadlines } from './deadlines.ts';
import { isRetriable, MqpError, nodeError } from './errors.ts';
import type { TopicHandle } from './message.ts';
import { type Message, MessageList } from './message.ts';
import type { OutBuffer } from './out-buffer.ts';
import { overLimit } from './over-limit.ts';
import type { Identity, PipelineHost } from './pipeline-host.ts';
import { scheduledResult } from './scheduled.ts';
import { settleBadly, settleWell, unknownOutcome } from './settle.ts';
import type { NodeLimits, ProduceResult } from './types.ts';

/** One call of {@link Pipeline.fill} writes about so much. */
const FILL_BYTES = 256 * 1024;
/**
 * The node remembers 65,536 sequences behind the highest; the span of unanswered ones stays below.
 */
const SPAN_MAX = 60_000;

export interface PipelineOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly isOrdered: boolean;
  readonly inFlightMessagesMax: number;
  readonly bufferBytesMax: number;
}

/**
 * All messages between the call and the answer: queues by topic, sequences, what is in flight, and
 * going back to the first refused one. It does no I/O: {@link fill} writes frames into a buffer,
 * {@link produced} takes answers.
 *
 * A sequence is given when a message's bytes are written, never before, so that a message taken
 * back earlier leaves no gap. In ordered mode a message that has a sequence stays until the node
 * has answered it, even when its caller was told UNKNOWN, since the next ones come behind it.
 */
export class Pipeline {
  /**
   * The level `stored` was answered by the present node: its outbox may hold what order depends
   * on.
   */
  hasStoredOnly = false;
  private readonly options: PipelineOptions;
  private readonly host: PipelineHost;
  private readonly deadlines: Deadlines;
  private readonly backoff: Backoff;
  private readonly correlations = new Correlations();
  private readonly entries = new ProducedEntries();
  /** Written at least once and not answered, by rising sequence. */
  private readonly sent = new MessageList();
  private active: TopicHandle[] = [];
  /** The next of {@link sent} to be written again; null when none is. */
  private cursor: Message | null = null;
  private hold: Timer | undefined;
  private isOpen = false;
  private identity: Identity | undefined;
  private idPrefix = '';
  private nextSequence = 1;
  private inFlight = 0;
  private inFlightBytes = 0;
  private outstanding = 0;
  private bufferedBytes = 0;

  constructor(options: PipelineOptions, host: PipelineHost) {
    this.options = options;
    this.host = host;
    this.deadlines = new Deadlines(options.clock, (message) =>
      this.giveUp(message, 'TIMED_OUT', 'the deadline passed'),
    );
    this.backoff = new Backoff(options.random, { minMs: 20, maxMs: 2000 });
  }

  get outstandingMessages(): number {
    return this.outstanding;
  }

  get inFlightMessages(): number {
    return this.inFlight;
  }

  /** Messages whose sequence the node may or may not have. */
  get unansweredMessages(): number {
    return this.sent.length;
  }

  get outstandingBytes(): number {
    return this.bufferedBytes;
  }

  /** Takes a message in, or says why not. `timeoutMs` 0 = none. */
  add(message: Message, timeoutMs: number): MqpError | undefined {
    if (this.bufferedBytes + message.bytes > this.options.bufferBytesMax) {
      return new MqpError('BUFFER_FULL', 'bufferBytesMax is reached; wait for answers', {
        isRetriable: true,
      });
    }
    this.bufferedBytes += message.bytes;
    this.outstanding++;
    const { topic } = message;
    topic.unsent.push(message);
    if (timeoutMs > 0 && timeoutMs !== Number.POSITIVE_INFINITY) {
      this.deadlines.add(message, timeoutMs);
    }
    if (!topic.isActive) {
      topic.isActive = true;
      this.active.push(topic);
    }
    if (this.isOpen) this.host.wake();
    return undefined;
  }

  /** A connection is ready: what was not answered is written again, in order. */
  connected(identity: Identity): void {
    const isNewEpoch = this.identity !== undefined && this.identity.epoch !== identity.epoch;
    this.identity = identity;
    this.idPrefix = `${producerText(identity.producerId)}-${identity.epoch}-`;
    if (isNewEpoch) {
      this.nextSequence = identity.lastSequence + 1;
      for (let at = this.sent.head; at !== null; at = at.next) at.sequence = this.nextSequence++;
    } else if (this.nextSequence <= identity.lastSequence) {
      this.nextSequence = identity.lastSequence + 1;
    }
    this.cursor = this.sent.head;
    this.isOpen = true;
    this.host.wake();
  }

  /** Nothing more is written on this connection; answers still come. */
  pause(): void {
    this.isOpen = false;
  }

  /** The connection is gone, and with it every answer that was to come on it. */
  disconnected(): void {
    this.isOpen = false;
    this.release();
    this.correlations.clear();
    for (let at = this.sent.head; at !== null; at = at.next) at.isInFlight = false;
    this.inFlight = 0;
    this.inFlightBytes = 0;
    this.cursor = null;
  }

  /** Appends frames to `out`, about {@link FILL_BYTES} of them at most. */
  fill(out: OutBuffer): void {
    const { identity } = this;
    if (!this.isOpen || identity === undefined || this.hold !== undefined) return;
    const writer = new BatchWriter(out);
    if (this.fillAgain(out, writer)) this.fillNew(out, writer, identity);
    writer.end();
  }

  topicOpened(topic: TopicHandle): void {
    if (topic.unsent.length > 0 && !topic.isActive) {
      topic.isActive = true;
      this.active.push(topic);
    }
    this.host.wake();
  }

  /** The node refused the topic for good: everything that waits for it ends. */
  topicRefused(topic: TopicHandle, error: MqpError): void {
    for (let at = topic.unsent.head; at !== null; at = topic.unsent.head) this.fail(at, error);
    for (let at = this.sent.head; at !== null; ) {
      const message = at;
      at = at.next;
      if (message.topic !== topic || message.isInFlight) continue;
      this.fail(message, unknownOutcome('the topic was lost', this.idOf(message), error));
    }
    this.host.wake();
  }

  /** Takes one PRODUCED frame. @throws ProtocolError when it does not follow the grammar */
  produced(frame: Frame): void {
    const { entries } = this;
    entries.reset(frame);
    while (entries.next()) {
      const { firstCorrelationId, count } = entries;
      for (let i = 0; i < count; i++) {
        const message = this.correlations.take((firstCorrelationId + i) >>> 0);
        if (message === undefined) continue;
        if (entries.form === ProducedForm.PLAIN) this.succeed(message);
        else if (entries.form === ProducedForm.SCHEDULED) this.succeed(message, entries.acceptedMs);
        else if (entries.form === ProducedForm.PLACED) this.succeedAt(message, entries, i);
        else this.refused(message, entries.code, entries.detail, '');
      }
    }
    this.host.wake();
  }

  /** Takes the FAILED answer to one message. */
  failed(correlationId: number, error: ProtocolError): void {
    const message = this.correlations.take(correlationId);
    if (message === undefined) return;
    this.refused(message, error.code, error.retryAfterMs, error.message);
    this.host.wake();
  }

  /**
   * Ends everything: what was never sent with `error`, the rest as UNKNOWN with it as the cause.
   */
  abandon(error: MqpError): void {
    this.isOpen = false;
    this.release();
    for (const topic of this.active) {
      topic.isActive = false;
      for (let at = topic.unsent.head; at !== null; at = topic.unsent.head) this.fail(at, error);
    }
    this.active = [];
    for (let at = this.sent.head; at !== null; at = this.sent.head) {
      this.fail(at, unknownOutcome(error.message, this.idOf(at), error));
    }
    this.deadlines.close();
  }

  /** The caller stops waiting. */
  giveUp(message: Message, unsentCode: 'TIMED_OUT' | 'ABORTED', why: string): void {
    this.deadlines.remove(message);
    if (message.sequence === 0) {
      const { refusal } = message.topic;
      const because = refusal === undefined ? '' : `: ${refusal.code}: ${refusal.message}`;
      const details = { isRetriable: true, cause: refusal };
      const words = `${why}; the message was not sent${because}`;
      this.fail(message, new MqpError(unsentCode, words, details));
      return;
    }
    const error = unknownOutcome(why, this.idOf(message));
    if (this.options.isOrdered) settleBadly(message, error);
    else this.fail(message, error);
  }

  private fillAgain(out: OutBuffer, writer: BatchWriter): boolean {
    for (let at = this.cursor; at !== null; at = this.cursor) {
      if (out.end >= FILL_BYTES) return false;
      if (!this.options.isOrdered && at.isInFlight) {
        this.cursor = at.next;
        continue;
      }
      if (at.topic.id === 0) {
        if (!at.topic.isOpening) this.host.openTopic(at.topic);
        return false;
      }
      this.cursor = at.next;
      this.write(at, writer);
    }
    return true;
  }

  private fillNew(out: OutBuffer, writer: BatchWriter, identity: Identity): void {
    for (let turn = this.active.length; turn > 0; turn--) {
      // It stays in front meanwhile: a callback of what is refused here may end the client.
      const topic = this.active[0] as TopicHandle;
      while (topic.unsent.head !== null && topic.id !== 0) {
        if (out.end >= FILL_BYTES || !this.hasRoom(identity.limits)) {
          // The others have their turn first next time.
          this.active.shift();
          this.active.push(topic);
          return;
        }
        this.writeFirst(topic.unsent.head, writer, identity.limits);
        if (!this.isOpen) return;
      }
      this.active.shift();
      if (topic.unsent.head === null) topic.isActive = false;
      else {
        this.active.push(topic);
        if (!topic.isOpening) this.host.openTopic(topic);
      }
    }
  }

  private hasRoom(limits: NodeLimits): boolean {
    if (this.inFlight >= this.options.inFlightMessagesMax) return false;
    if (this.inFlight >= limits.inFlightMessagesMax) return false;
    if (this.inFlightBytes >= limits.inFlightBytesMax) return false;
    const first = this.sent.head;
    return first === null || this.nextSequence - first.sequence < SPAN_MAX;
  }

  private writeFirst(message: Message, writer: BatchWriter, limits: NodeLimits): void {
    const refusal = overLimit(message, limits);
    if (refusal !== undefined) {
      this.fail(message, refusal);
      return;
    }
    message.topic.unsent.remove(message);
    message.sequence = this.nextSequence++;
    this.sent.push(message);
    this.write(message, writer);
  }

  private write(message: Message, writer: BatchWriter): void {
    if (message.isInFlight) this.correlations.take(message.correlationId);
    else {
      message.isInFlight = true;
      this.inFlight++;
      this.inFlightBytes += message.bytes;
    }
    this.correlations.put(message);
    writer.add(message);
  }

  private succeed(message: Message, acceptedMs = -1): void {
    const id = this.idOf(message);
    const { ack } = message;
    const result = { id, ack, partition: undefined, offset: undefined, cluster: undefined };
    this.finish(message, result, acceptedMs);
  }

  private succeedAt(message: Message, place: ProducedEntries, index: number): void {
    this.finish(message, {
      id: this.idOf(message),
      ack: message.ack,
      partition: place.partition,
      offset: place.offset < 0 ? undefined : place.offset + index,
      cluster: place.cluster === Cluster.BACKUP ? 'backup' : 'primary',
    });
  }

  private finish(message: Message, result: ProduceResult, acceptedMs = -1): void {
    if (message.ack === 'stored') this.hasStoredOnly = true;
    this.backoff.reset();
    this.unlink(message);
    const { due } = message;
    settleWell(message, due === null ? result : scheduledResult(message, due, result, acceptedMs));
    if (this.outstanding === 0) this.host.idle();
  }

  private refused(message: Message, code: number, detail: number, text: string): void {
    if (isRetriable(code)) this.refusedForNow(message, code, detail);
    else this.fail(message, nodeError(code, text, { id: this.idOf(message) }));
  }

  private fail(message: Message, error: MqpError): void {
    if (message.isInFlight) this.correlations.take(message.correlationId);
    this.unlink(message);
    settleBadly(message, error);
    if (this.outstanding === 0) this.host.idle();
  }

  private unlink(message: Message): void {
    if (this.cursor === message) this.cursor = message.next;
    message.list?.remove(message);
    this.deadlines.remove(message);
    this.leaveFlight(message);
    this.outstanding--;
    this.bufferedBytes -= message.bytes;
  }

  private leaveFlight(message: Message): void {
    if (!message.isInFlight) return;
    message.isInFlight = false;
    this.inFlight--;
    this.inFlightBytes -= message.bytes;
  }

  /** Go-back-N: the node takes nothing behind a refused sequence until it has seen that one. */
  private refusedForNow(message: Message, code: number, detail: number): void {
    this.leaveFlight(message);
    if (code !== ErrorCode.OUT_OF_SEQUENCE) {
      this.goBack(message, detail > 0 ? detail : this.backoff.next());
      return;
    }
    if (this.cursor !== null && this.cursor.sequence <= message.sequence) return;
    let first = this.sent.head;
    while (first !== null && first.sequence < detail) first = first.next;
    if (detail > 0 && detail < message.sequence && first?.sequence !== detail) {
      this.host.renewEpoch(nodeError(code, `the node waits for sequence ${detail}`));
      return;
    }
    this.goBack(first ?? message, this.backoff.next());
  }

  private goBack(message: Message, waitMs: number): void {
    if (this.cursor === null || message.sequence < this.cursor.sequence) this.cursor = message;
    if (this.hold !== undefined || !this.isOpen) return;
    this.hold = this.options.clock.setTimer(() => {
      this.hold = undefined;
      this.host.wake();
    }, waitMs);
  }

  private release(): void {
    this.hold?.cancel();
    this.hold = undefined;
  }

  private idOf(message: Message): string {
    return this.idPrefix + message.sequence;
  }
}
