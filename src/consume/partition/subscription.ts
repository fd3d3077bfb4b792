import { isSideTopic } from '../retry/dead-record.ts';
import { baseTopicOf } from '../retry/retry-record.ts';

/** A connection as the engine sees it. */
export interface Receiver {
  /** The node's number for the connection. */
  readonly id: number;
  /** What the client calls itself. */
  readonly name: string;
  readonly peer: string;
  /** It has not read enough of what it was sent: nothing more for now. */
  readonly isClogged: boolean;
  /**
   * Sends whole frames. True: the system has taken them all, and the memory is the caller's again;
   * otherwise it is given away.
   */
  write(bytes: Buffer): boolean;
}

/** What a subscription asks for. */
export interface SubscriptionOptions {
  /** Its number on its connection. */
  readonly id: number;
  /** Its number on the node: 1 to 65,535. */
  readonly slot: number;
  readonly receiver: Receiver;
  readonly group: string;
  /** Names, or a prefix that ends with nothing more. */
  readonly topics: readonly string[] | undefined;
  readonly prefix: string;
  readonly creditMessages: number;
  readonly creditBytes: number;
  readonly leaseMs: number;
}

/** One consumer of a group: what it may have out, and what it has. */
export class Subscription {
  readonly id: number;
  readonly slot: number;
  readonly receiver: Receiver;
  readonly group: string;
  readonly topics: ReadonlySet<string> | undefined;
  readonly prefix: string;
  readonly leaseMs: number;
  creditMessages: number;
  creditBytes: number;
  /** Delivered and not settled; bytes are shares of what is out. */
  out = 0;
  outBytes = 0;
  /** Partitions of a partition-ordered group that are given to this one. */
  bound = 0;
  /** When it was last delivered to or settled something, in ms of the engine's clock. */
  activeMs = 0;
  /** What ASSIGNED said last. */
  assigned = -1;
  ended = false;

  constructor(options: SubscriptionOptions) {
    this.id = options.id;
    this.slot = options.slot;
    this.receiver = options.receiver;
    this.group = options.group;
    this.topics = options.topics === undefined ? undefined : new Set(options.topics);
    this.prefix = options.prefix;
    this.creditMessages = options.creditMessages;
    this.creditBytes = options.creditBytes;
    this.leaseMs = options.leaseMs;
  }

  /** What the group put off of a topic comes to those that read the topic. */
  covers(topic: string): boolean {
    const base = baseTopicOf(topic, this.group);
    if (this.topics !== undefined) return this.topics.has(topic) || this.topics.has(base);
    return base.startsWith(this.prefix) && !isSideTopic(base);
  }

  /** Messages that may be delivered to it now. */
  get room(): number {
    if (this.ended || this.receiver.isClogged) return 0;
    if (this.outBytes >= this.creditBytes && (this.out > 0 || this.creditBytes === 0)) return 0;
    return Math.max(0, this.creditMessages - this.out);
  }

  /** Messages went out to it. */
  took(count: number, bytes: number): void {
    this.out += count;
    this.outBytes += bytes;
  }

  /** Messages of it are settled, or no longer its own. */
  gave(count: number): void {
    if (count >= this.out) {
      this.out = 0;
      this.outBytes = 0;
    } else {
      this.outBytes -= (this.outBytes * count) / this.out;
      this.out -= count;
    }
  }
}
