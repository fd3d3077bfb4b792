import { loadAddon } from './load.ts';

/** Columns of one verdict row; a row is {@link VERDICT_COLUMNS} consecutive numbers. */
export const VERDICT_COLUMNS = 7;
/**
 * What stands in each column of a verdict row.
 *
 * `count` 0 marks a *ready* row instead of a verdict: `topicId` >= 0 says that what was deferred
 * for that topic may be sent now; `topicId` -1 says that a full queue has room again.
 */
export const VERDICT = {
  topicId: 0,
  /** Lane sequence of the run's first message. */
  firstSequence: 1,
  count: 2,
  /** librdkafka's `rd_kafka_resp_err_t`; 0 is success. `verdictOf` says what it means. */
  code: 3,
  /** -1 when the messages did not ask for their place, or it is not known. */
  partition: 4,
  /** Offset of the run's first message, or -1. */
  baseOffset: 5,
  /** Generation of the instance that sent the run. */
  generation: 6,
} as const;

/** Columns of one row of {@link ProduceResult.deferred}: topicId, firstSequence, count, reason. */
export const DEFERRED_COLUMNS = 4;
/** Why messages of a topic were left out of a produce call. */
export const DEFER_REASON = {
  /** A partition has its allowed bytes in flight; a ready row follows. */
  partitionFull: 1,
  /** The partition count is not known (asked for in the background); a ready row follows. */
  topicUnknown: 2,
  /** The caller blocked the topic (`topicsBlocked`); nothing follows. */
  blocked: 3,
  /** The id was never given to `setTopic`; nothing follows. */
  notRegistered: 4,
} as const;

/** Columns of one row of {@link KafkaProducer.health}. */
export const HEALTH_COLUMNS = 4;
/** What stands in each column of a health row. */
export const HEALTH = {
  topicId: 0,
  /**
   * How long the partition that waits longest has seen nothing confirmed while something of it is
   * in flight, in ms; 0 when nothing is.
   */
  waitingMs: 1,
  /** Messages since the start that were confirmed, and that came back by the cluster's fault. */
  confirmed: 2,
  failed: 3,
} as const;

/** Options of {@link KafkaProducer}. */
export interface KafkaProducerOptions {
  /**
   * Objects with one key share one native producer (a cluster's name, say), also across threads.
   */
  key: string;
  /**
   * librdkafka settings; `bootstrap.servers` is needed. Used by the first object of a key and for
   * its later generations; ignored for the others. Fixed ones (see {@link PRODUCER_DEFAULTS}) are
   * filled in when absent.
   */
  config: Record<string, string>;
  /** 0..255; one open object per (key, lane). Verdicts reach the object that sent, or nobody. */
  lane: number;
  /**
   * Called on this thread with verdicts, at most once per wake-up and 4,096 rows.
   * @param rows borrowed until the callback returns
   * @param count rows in it; each has {@link VERDICT_COLUMNS} numbers
   */
  onVerdicts(rows: Float64Array, count: number): void;
  /**
   * Errors and log lines of the shared instance, delivered to every lane. `fatal` means: this
   * generation sends nothing more, call `renew`.
   */
  onEvent?(kind: 'error' | 'fatal' | 'log', code: number, text: string): void;
}

/** Per-topic options. */
export interface TopicOptions {
  /**
   * Bytes (keys, values and headers, and 64 a record) in flight per partition before the topic is
   * deferred; default 8 MiB. One message may be longer, and then goes alone.
   */
  inFlightBytesPerPartitionMax?: number;
  /** false: no `mq` header is put on the topic's records. Default true. */
  idHeader?: boolean;
}

/** One micro-batch, or a part of it. Everything in it is borrowed for the call only. */
export interface ProduceRequest {
  /** Outbox payload: records `bodyLength u32le, topic u16le, flags u8, 0, body`. */
  payload: Uint8Array;
  /** Lane sequence of the payload's first message (ordinal 0). */
  firstSequence: number;
  /** Ordinal to start at; default 0. Finding it costs a walk over the records before it. */
  fromOrdinal?: number;
  /** By ordinal: 1 = leave out (confirmed before). */
  skip?: Uint8Array;
  /** By segment 16 bytes big-endian: producerId u64, epoch u16, first sequence u48. */
  ids: Uint8Array;
  /** By segment: number of its messages; their sum is the number of messages in the payload. */
  segmentCounts: Int32Array;
  /**
   * By segment: bit 1 = its verdicts carry partition and offset (one row per place). Without it
   * verdicts of a topic merge across partitions, and rows carry -1.
   */
  segmentFlags?: Uint8Array;
  /** Node id, 8 bytes big-endian. */
  originNode: Uint8Array;
  /** Milliseconds since 1970. */
  acceptedMs: number;
  /** By topic id: 1 = defer it (an earlier message of it waits). May be shorter than the ids. */
  topicsBlocked?: Uint8Array;
  /** Only messages of this topic id are sent; the others are passed over, not deferred. */
  onlyTopic?: number;
}

/** What a produce call did. */
export interface ProduceResult {
  /** Messages handed to librdkafka. Each gets exactly one verdict. */
  sent: number;
  /**
   * Ordinal after the last message walked: the number of messages, or less when the queue is
   * full (call again from there after a ready row with topicId -1).
   */
  nextOrdinal: number;
  /** True when the instance refuses everything (fatal error): renew it. */
  fatal: boolean;
  /**
   * Rows of {@link DEFERRED_COLUMNS}, one per topic left out, owned by the caller. Nothing of the
   * topic from that sequence on was sent by this call.
   */
  deferred: readonly number[];
}

/** Counters of messages without a verdict yet. */
export interface InFlight {
  messages: number;
  /** Bytes of keys, values and headers, and 64 a record. */
  bytes: number;
}

/** Cluster metadata. */
export interface KafkaMetadata {
  brokers: { id: number; host: string; port: number }[];
  topics: {
    name: string;
    /** `rd_kafka_resp_err_t`, 0 = none. */
    code: number;
    partitions: {
      partition: number;
      leader: number;
      replicas: number;
      inSync: number;
      code: number;
    }[];
  }[];
}

/** What a cluster, asked for a topic, said. */
export interface TopicAnswer {
  readonly msAgo: number;
  /** An error of Kafka; 0: none, and where no partitions are known, that there is no topic. */
  readonly code: number;
}

/**
 * A lane's hold on a process-wide native producer. No method blocks the calling thread on the
 * network or on a full queue. Errors of arguments are thrown as `TypeError`/`RangeError`.
 */
export interface KafkaProducer {
  /**
   * Names a node-wide topic id (1..65535); ids must agree among the lanes of one key. Again with
   * the same name: changes the options. Asks for the topic's metadata in the background.
   */
  setTopic(id: number, name: string, options?: TopicOptions): void;
  produce(request: ProduceRequest): ProduceResult;
  /** Partition count last seen; 0 = not known. */
  partitionCount(topicId: number): number;
  /** What the cluster last said of the topic; undefined when it never said anything. */
  lastAnswer(topicId: number): TopicAnswer | undefined;
  /** Asks for metadata of one topic, or of all. Rejects with {@link KafkaFailure}. */
  metadata(options: { topic?: string; timeoutMs: number }): Promise<KafkaMetadata>;
  /** Resolves true when this lane has nothing in flight, false after the time. */
  flush(timeoutMs: number): Promise<boolean>;
  /**
   * Disposes of the instance: everything queued or in flight gets a verdict (`_PURGE_QUEUE`: not
   * sent, `_PURGE_INFLIGHT`: may have been sent), the instance is destroyed on its own thread, and
   * a new one is made at once. Affects every lane of the key. Does nothing when the generation
   * is not `ofGeneration` any more. Returns the generation now in use.
   */
  renew(ofGeneration: number): number;
  readonly generation: number;
  /** Of this lane, over all generations. */
  readonly inFlight: InFlight;
  /** Why brokers cannot be used, as the library said it last; empty since one of them answered. */
  readonly trouble: string;
  /**
   * How the topics fare over all lanes that share the producer: rows of {@link HEALTH_COLUMNS},
   * owned by the caller; topics that were never sent to have none.
   */
  health(): Float64Array;
  /**
   * Lets go of the shared producer. What is still in flight goes on while other lanes hold it, and
   * nobody hears of it; the last one purges and destroys it. No callback comes after the promise
   * resolved.
   */
  close(): Promise<void>;
}

/** A failed request to Kafka. */
export interface KafkaFailure extends Error {
  /** `rd_kafka_resp_err_t`. */
  kafkaCode: number;
}

/** Options of {@link KafkaTail}. */
export interface KafkaTailOptions {
  /** librdkafka settings; `bootstrap.servers` is needed. */
  config: Record<string, string>;
  /** Open partition positions kept; the least recently used one goes first. Default 64. */
  cursorsMax?: number;
}

/** One read of a partition; the fields are those of the wire's TAIL. */
export interface TailRequest {
  topic: string;
  partition: number;
  /** 0 offset, 1 beginning, 2 end, 3 time. */
  from: number;
  /** Offset, or milliseconds since 1970; not used for beginning and end. */
  position: number;
  /** Bound of the records' bytes; at least one record is given, whatever its size. */
  bytesMax: number;
  /** How long to wait for the first record; 0 = do not wait for new ones. */
  waitMs: number;
}

/** What a read found. */
export interface TailResult {
  /** Log start and end of the partition as last seen. */
  startOffset: number;
  endOffset: number;
  /** Where to read on. */
  nextOffset: number;
  count: number;
  /** TAIL wire records, owned by the caller. */
  records: Buffer;
}

/**
 * Reads partitions without a group, a cursor per position read: one native consumer that asks, and
 * up to 8 that fetch, since each can hold a partition once.
 */
export interface KafkaTail {
  /**
   * Rejects with {@link KafkaFailure}; code 1 is OFFSET_OUT_OF_RANGE. When nothing came in its
   * time and no broker could be reached at some time since something came, the brokers are asked,
   * which may take 5 s more: it rejects when they do not answer.
   */
  read(request: TailRequest): Promise<TailResult>;
  /** First and next offset of a partition, asked from its leader. */
  offsets(options: { topic: string; partition: number; timeoutMs: number }): Promise<{
    startOffset: number;
    endOffset: number;
  }>;
  /** Rejects waiting reads with `_DESTROY` and ends the native threads. */
  close(): Promise<void>;
}

/** Settings the producer fills in where the caller gave none. */
export const PRODUCER_DEFAULTS: Readonly<Record<string, string>> = {
  'enable.idempotence': 'true',
  acks: 'all',
  'message.timeout.ms': '0',
  'socket.timeout.ms': '6000',
  // A broker answers a connection in order, so a batch that waits for its replicas holds up those
  // of all other topics behind it: for less than the 3 s after which these would count as stuck.
  'request.timeout.ms': '2000',
  // The library's own 10 s would be added to every outage.
  'reconnect.backoff.max.ms': '1000',
  'allow.auto.create.topics': 'false',
  'linger.ms': '0',
  'queue.buffering.max.kbytes': '65536',
  'queue.buffering.max.messages': '1000000',
};

/** librdkafka's codes that the node tells apart. */
export const KAFKA_CODE = {
  OK: 0,
  OFFSET_OUT_OF_RANGE: 1,
  UNKNOWN_TOPIC_OR_PARTITION: 3,
  MESSAGE_TOO_LARGE: 10,
  INVALID_TOPIC: 17,
  RECORD_LIST_TOO_LARGE: 18,
  TOPIC_AUTHORIZATION_FAILED: 29,
  CLUSTER_AUTHORIZATION_FAILED: 31,
  INVALID_TIMESTAMP: 32,
  POLICY_VIOLATION: 44,
  INVALID_RECORD: 87,
  _DESTROY: -197,
  _TRANSPORT: -195,
  _UNKNOWN_PARTITION: -190,
  _UNKNOWN_TOPIC: -188,
  _ALL_BROKERS_DOWN: -187,
  _TIMED_OUT: -185,
  _QUEUE_FULL: -184,
  _PURGE_QUEUE: -152,
  _PURGE_INFLIGHT: -151,
  _FATAL: -150,
} as const;

interface KafkaNative {
  KafkaProducer: new (options: KafkaProducerOptions) => KafkaProducer;
  KafkaTail: new (options: KafkaTailOptions) => KafkaTail;
}

/**
 * Opens a lane's producer; nothing is asked of the network yet. Throws on a bad setting.
 *
 * @throws BACKEND_UNAVAILABLE while 256 objects of the key are open, or were closed and have
 * messages without a report: a cluster that is away leaves those of each that is closed.
 */
export function openKafkaProducer(options: KafkaProducerOptions): KafkaProducer {
  const native = loadAddon() as KafkaNative;
  return new native.KafkaProducer({
    ...options,
    config: { ...PRODUCER_DEFAULTS, ...options.config },
  });
}

/** Opens a reader; nothing is asked of the network yet. Throws on a bad setting. */
export function openKafkaTail(options: KafkaTailOptions): KafkaTail {
  const native = loadAddon() as KafkaNative;
  return new native.KafkaTail(options);
}
