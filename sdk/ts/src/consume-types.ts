/** How a group's messages are given out: to anybody, by key in order, or by partition in order. */
export type ConsumeMode = 'shared' | 'key-ordered' | 'partition-ordered';

/**
 * What an ack waits for: that the node has it (`recorded`), or that the commit that carries it was
 * done (`committed`), after which the message never comes again.
 */
export type AckWait = 'recorded' | 'committed';

/** Where a group begins in partitions that it has no commit of. */
export type ConsumeStart = 'beginning' | 'end' | Date;

/** Options of `subscribe`. Either `topics` or `prefix`. */
export interface SubscribeOptions {
  /** 1 to 100 of `A–Z a–z 0–9 . _ -`. */
  readonly group: string;
  /** 1 to 256 names. */
  readonly topics?: readonly string[];
  /** Every topic whose name begins with it, now and later. */
  readonly prefix?: string;
  /** Belongs to the group; absent: as the group has it, `shared` for a new one. */
  readonly mode?: ConsumeMode;
  /** Messages that may be here at once, unsettled; default 256, at most 65,536. */
  readonly creditMessages?: number;
  /** Their bytes; default 8 MiB, at most 64 MiB. A single larger message may come alone. */
  readonly creditBytes?: number;
  /** How long a message is this consumer's alone; 100 ms to 12 h; absent: the node's default. */
  readonly leaseMs?: number;
  /** Default `beginning`. */
  readonly start?: ConsumeStart;
  /** False: deliver messages with the id of one that was delivered, too. Default true. */
  readonly dedupe?: boolean;
  /** Default `recorded`. */
  readonly ackWait?: AckWait;
}

/** `waiting`: other nodes read every partition, this one takes over when one of them goes. */
export type ConsumerState = 'subscribing' | 'active' | 'waiting' | 'closing' | 'closed';

/** What the node granted, and how many partitions it reads for the group. */
export interface SubscriptionInfo {
  readonly assigned: number;
  readonly mode: ConsumeMode;
  readonly creditMessages: number;
  readonly creditBytes: number;
  readonly leaseMs: number;
}

export interface RunOptions {
  /** Handlers that run at once; default 16. In `partition-ordered` at most one per partition. */
  readonly concurrency?: number;
  /** How long the leases of a message are extended at most; default 1 h. */
  readonly extendMsMax?: number;
}

export interface NackOptions {
  /** Not before this long from now; absent: the backoff of the group's policy. */
  readonly delayMs?: number;
  /** For people, and for the dead letter; cut to 1,024 bytes. */
  readonly reason?: string;
  /** To the dead letters now. */
  readonly dead?: boolean;
}

/** A message while it is leased to this consumer. */
export interface ConsumedMessage {
  readonly topic: string;
  readonly cluster: 'primary' | 'backup';
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  /** How often it was delivered, this time included. */
  readonly attempt: number;
  /** The id of the message when it came through a node. */
  readonly id: string | undefined;
  readonly key: Uint8Array | null;
  readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
  readonly value: Uint8Array | null;
  /** It was acked, given back or lost: nothing is left to do. */
  readonly isSettled: boolean;
  /** Fires when the lease is lost while a handler runs. */
  readonly signal: AbortSignal;
  /**
   * It is done. The promise need not be awaited: acks leave together, and one that fails is told
   * by the event `lost` too.
   * @throws MqpError (as a rejection) LEASE_LOST, BAD_TOKEN, NOT_OWNER (of a node at none
   * of the client's addresses)
   */
  ack(options?: { readonly wait?: AckWait }): Promise<void>;
  /** It is not done: again later, or to the dead letters. @throws as {@link ack} */
  nack(options?: NackOptions): Promise<void>;
  /** The lease ends this long from now; default the subscription's lease. @throws as {@link ack} */
  extend(leaseMs?: number): Promise<void>;
  /**
   * `partition-ordered` alone: acks all of its partition up to it, which are settled then too.
   * @throws as {@link ack}
   */
  commit(options?: { readonly wait?: AckWait }): Promise<void>;
}

/** What resolves, is acked; what throws, is given back with the error's message as the reason. */
export type ConsumeHandler = (message: ConsumedMessage) => Promise<void> | void;

/** Events of a consumer and their arguments. */
export interface ConsumerEvents {
  state: [state: ConsumerState, reason: Error | undefined];
  /** The node reads another number of partitions for the group, or granted a new subscription. */
  assigned: [info: SubscriptionInfo];
  /**
   * A message was not settled, LEASE_LOST most often: it comes again, or is done elsewhere. Who
   * ends before the answer is told what ended it: the message may be settled all the same.
   */
  lost: [message: ConsumedMessage, error: Error];
}
