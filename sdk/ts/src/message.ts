import type { Due } from '../../../protocol/src/due.ts';
import type { Batch } from './batch.ts';
import type { MqpError } from './errors.ts';
import type { AckLevel, ProduceResult, TopicInfo } from './types.ts';

/** Messages that one AbortSignal ends; one listener for all of them. */
export interface AbortGroup {
  readonly messages: Set<Message>;
}

type Resolve = (result: ProduceResult) => void;
type Reject = (error: MqpError) => void;

/** Whether a topic that is opened may be made, or must be there. */
export type OpenMode = 'make' | 'find';

/**
 * One message from the call to its answer. It is a link of three lists at once (its topic's queue
 * or the sent list, a deadline bucket), so that leaving any of them costs no search and no
 * allocation.
 */
export class Message {
  readonly topic: TopicHandle;
  readonly value: Uint8Array | string | null;
  readonly valueBytes: number;
  readonly key: Uint8Array | string | null;
  readonly keyBytes: number;
  /** As on the wire. */
  readonly headers: Uint8Array | null;
  /** -1 = not named. */
  readonly partition: number;
  readonly ack: AckLevel;
  /** When it is to be delivered; null: now. */
  readonly due: Due | null;
  /** What it counts against `bufferBytesMax`. */
  readonly bytes: number;

  /** 0 until its bytes are written for the first time. */
  sequence = 0;
  correlationId = 0;
  /** Written on the present connection and not answered there. */
  isInFlight = false;
  /** The caller has been told; the message may live on to keep the sequences without a gap. */
  isSettled = false;

  resolve: Resolve | null = null;
  reject: Reject | null = null;
  batch: Batch | null = null;
  batchIndex = 0;
  abortGroup: AbortGroup | null = null;

  list: MessageList | null = null;
  previous: Message | null = null;
  next: Message | null = null;

  bucket: DeadlineBucket | null = null;
  bucketPrevious: Message | null = null;
  bucketNext: Message | null = null;

  constructor(fields: MessageFields) {
    this.topic = fields.topic;
    this.value = fields.value;
    this.valueBytes = fields.valueBytes;
    this.key = fields.key;
    this.keyBytes = fields.keyBytes;
    this.headers = fields.headers;
    this.partition = fields.partition;
    this.ack = fields.ack;
    this.due = fields.due;
    this.bytes =
      OVERHEAD_BYTES + fields.valueBytes + fields.keyBytes + (fields.headers?.length ?? 0);
  }
}

/** What a message costs beside its own bytes, roughly. */
const OVERHEAD_BYTES = 256;

export interface MessageFields {
  topic: TopicHandle;
  value: Uint8Array | string | null;
  valueBytes: number;
  key: Uint8Array | string | null;
  keyBytes: number;
  headers: Uint8Array | null;
  partition: number;
  ack: AckLevel;
  due: Due | null;
}

/** Messages with one deadline, to the granularity of the wheel. */
export interface DeadlineBucket {
  readonly tick: number;
  head: Message | null;
}

/** A doubly linked list through the messages themselves. */
export class MessageList {
  head: Message | null = null;
  tail: Message | null = null;
  length = 0;

  push(message: Message): void {
    message.list = this;
    message.previous = this.tail;
    message.next = null;
    if (this.tail === null) this.head = message;
    else this.tail.next = message;
    this.tail = message;
    this.length++;
  }

  remove(message: Message): void {
    if (message.previous === null) this.head = message.next;
    else message.previous.next = message.next;
    if (message.next === null) this.tail = message.previous;
    else message.next.previous = message.previous;
    message.list = null;
    message.previous = null;
    message.next = null;
    this.length--;
  }
}

/** A topic as one client sees it: what waits for it, and its id on the present connection. */
export class TopicHandle {
  readonly name: string;
  /** Accepted and not yet written, in the order of the calls. */
  readonly unsent = new MessageList();
  /** The id on the present connection; 0 = not open there. */
  id = 0;
  info: TopicInfo | undefined;
  /** The pipeline waits for it: OPEN_TOPIC is under way, or waits for its next try. */
  isOpening = false;
  /** Each kind of OPEN_TOPIC that is under way on the present connection. */
  opening: { [mode in OpenMode]?: Promise<TopicInfo> | undefined } = {};
  /** Why the last OPEN_TOPIC was put off, until one is answered well. */
  refusal: MqpError | undefined;
  /** Stands in the pipeline's list of topics with something to send. */
  isActive = false;

  constructor(name: string) {
    this.name = name;
  }

  /** The connection is gone, and the id with it. */
  forget(): void {
    this.id = 0;
    this.isOpening = false;
    this.opening = {};
  }
}
