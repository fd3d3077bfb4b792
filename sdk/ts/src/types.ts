import type { SecureContextOptions } from 'node:tls';

/**
 * What an answer promises: on the disk of the node, or also answered by the backend with acks=all.
 */
export type AckLevel = 'stored' | 'replicated';

/** Where a client stands. `closed` is final; every other state may come again. */
export type ClientState = 'connecting' | 'ready' | 'draining' | 'disconnected' | 'closed';

/** TLS for every server of a client. `serverName` is checked against the certificate. */
export interface TlsOptions extends SecureContextOptions {
  readonly serverName?: string;
  /** Default true. False accepts any certificate: for tests only. */
  readonly rejectUnauthorized?: boolean;
}

/** Full-jitter reconnect: the n-th wait is random between 0 and min(maxMs, minMs × 2^n). */
export interface ReconnectOptions {
  /** Default 100 ms. */
  readonly minMs?: number;
  /** Default 5,000 ms. */
  readonly maxMs?: number;
}

/** Options of {@link MqpClient.connect}. */
export interface ClientOptions {
  /**
   * Addresses as `host:port`, tried in order; at least one. What the node does not own that was
   * reached is asked of the others, on connections beside the client's own.
   */
  readonly servers: readonly string[];
  /** Shown in the node's logs and status; at most 255 bytes of UTF-8. */
  readonly clientName?: string;
  /** 64 bits; without it the node gives a random one. A producer that restarts keeps its id. */
  readonly producerId?: bigint;
  /** 16 bits, default 0. A newer epoch of one producer id fences the older one. */
  readonly epoch?: number;
  /** Default true: messages of this client are stored in the order of the calls, per topic. */
  readonly ordered?: boolean;
  readonly token?: string;
  readonly tls?: TlsOptions;
  /** Messages on the wire without an answer; default 16,384, never above the node's own limit. */
  readonly inFlightMessagesMax?: number;
  /**
   * Bytes of all messages without an answer, sent or not; default 64 MiB. Above it: BUFFER_FULL.
   */
  readonly bufferBytesMax?: number;
  /** How long `connect` goes on trying, and how long one attempt may take; default 10,000 ms. */
  readonly connectTimeoutMs?: number;
  /**
   * Default deadline of control requests and of messages without their own; 60,000 ms; 0 = none.
   */
  readonly timeoutMs?: number;
  readonly reconnect?: ReconnectOptions;
  /**
   * In ordered mode: how long a lost node is waited for before another one is taken although
   * messages stored on the first may still be on their way. Default 30,000 ms; Infinity = for
   * ever. The change is announced by the event `nodeChanged`.
   */
  readonly nodeChangeAfterMs?: number;
}

/** A header of a message; null is a header without a value. Names are 1 to 255 bytes of UTF-8. */
export type HeaderInput = readonly [name: string, value: Uint8Array | string | null];

/**
 * A message to produce. Byte arrays are borrowed until the message is answered: do not change them
 * before. `value: null` is a tombstone.
 */
export interface MessageInput {
  readonly value: Uint8Array | string | null;
  readonly key?: Uint8Array | string | null;
  readonly headers?: readonly HeaderInput[];
  /** Without it the key chooses the partition, and without a key the node does. */
  readonly partition?: number;
  /** Delivered so many milliseconds after the node accepted it, up to 400 days. */
  readonly delayMs?: number;
  /** Delivered at this time, in unix milliseconds. */
  readonly dueAtMs?: number;
  /** Delivered after this duration, in milliseconds, which must be one of the fixed levels. */
  readonly levelMs?: number;
  /** Delayed only: topic and key name the schedule, and a later message replaces this one. */
  readonly unique?: boolean;
  /** With `unique`: when one is scheduled already, that one stays. */
  readonly ifAbsent?: boolean;
}

export interface ProduceOptions {
  /** Default `stored`. */
  readonly ack?: AckLevel;
  /**
   * Counts from the call. A message whose bytes may have left ends as UNKNOWN, one that was never
   * sent as TIMED_OUT. Default: `timeoutMs` of the client; 0 = none.
   */
  readonly timeoutMs?: number;
  /** Ends a message as UNKNOWN when its bytes may have left, else as ABORTED. */
  readonly signal?: AbortSignal;
}

export interface ProduceResult {
  /** `<producer hex>-<epoch>-<sequence>`; opaque, at most 64 of [0-9a-z-]. */
  readonly id: string;
  /** The level that was asked for and reached. */
  readonly ack: AckLevel;
  /** Known when the backend has answered, or when the backend is embedded. */
  readonly partition?: number;
  readonly offset?: number;
  readonly cluster?: 'primary' | 'backup';
  /** Of a delayed message: what get, cancel and move take. */
  readonly delayId?: string;
  /** Of a delayed message: when it is due, in unix milliseconds, where the node has said it. */
  readonly dueAtMs?: number;
}

/** Called once per batch: the first error or null, and for each message its result or its error. */
export type BatchCallback = (
  error: Error | null,
  results: readonly (ProduceResult | Error)[],
) => void;

export interface TailOptions {
  /**
   * An offset (of one partition: `partition` must name it where a topic has several), a time (first
   * record not before it), the oldest record or what comes next; default `end`.
   */
  readonly from?: 'beginning' | 'end' | number | Date;
  /** Without it all partitions are read and merged; the order holds within each partition. */
  readonly partition?: number;
  /** Ends the iteration without an error. */
  readonly signal?: AbortSignal;
  /** Bytes per answer and partition; default 1 MiB, never above the node's own limit. */
  readonly bytesMax?: number;
}

export interface TailRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly timestampMs: number;
  /** The id of the message when it came through a node; else absent. */
  readonly id?: string;
  readonly key: Uint8Array | null;
  readonly headers: readonly (readonly [name: string, value: Uint8Array | null])[];
  readonly value: Uint8Array | null;
}

/** What the node answers when a topic is opened. */
export interface TopicInfo {
  readonly name: string;
  readonly partitions: number;
  readonly messageBytesMax: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  readonly ack: readonly AckLevel[];
  readonly warnings: readonly string[];
}

export interface PartitionDescription {
  readonly partition: number;
  readonly startOffset: number;
  readonly endOffset: number;
  readonly leader?: number;
}

export interface TopicDescription {
  readonly name: string;
  readonly partitions: readonly PartitionDescription[];
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  readonly messageBytesMax: number;
  readonly config: Readonly<Record<string, unknown>>;
}

export interface CreateTopicInput {
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly config?: Readonly<Record<string, string>>;
}

export interface TopicListing {
  readonly name: string;
  readonly partitions: number;
}

/** What the node said of itself in the handshake. */
export interface NodeInfo {
  readonly nodeId: string;
  readonly nodeVersion: string;
  readonly backend: string;
  readonly features: readonly string[];
  readonly limits: NodeLimits;
  readonly serverTimeMs: number;
  /** The address of this connection, `host:port`. */
  readonly address: string;
}

export interface NodeLimits {
  readonly frameBytesMax: number;
  readonly messageBytesMax: number;
  readonly keyBytesMax: number;
  readonly headersBytesMax: number;
  readonly topicsPerConnectionMax: number;
  readonly inFlightMessagesMax: number;
  readonly inFlightBytesMax: number;
  readonly tailBytesMax: number;
  readonly idleTimeoutMs: number;
}

/** Payload of the event `nodeChanged`. */
export interface NodeChange {
  readonly from: string;
  readonly to: string;
  /** True when all that was sent to the old node had been answered `replicated`. */
  readonly isOrderKept: boolean;
}

/** Events of a client and their arguments. */
export interface ClientEvents {
  state: [state: ClientState, reason: Error | undefined];
  /** Another session with a newer epoch took this producer id; the client is closed for good. */
  fenced: [error: Error];
  nodeChanged: [change: NodeChange];
  /** A connection was lost or could not be made; the client goes on trying. */
  connectionError: [error: Error];
}
