/** Where a tail begins. The numbers are those of the wire (TAIL, field `from`). */
export const tailFrom = { offset: 0, beginning: 1, end: 2, time: 3 } as const;

/** One of {@link tailFrom}'s numbers. */
export type TailFrom = (typeof tailFrom)[keyof typeof tailFrom];

/** What is known of a topic. */
export interface TopicDescription {
  readonly name: string;
  /** Number of partitions, from 1. */
  readonly partitions: number;
  /** Largest record the backend takes, key, headers and value together, in bytes. */
  readonly messageBytesMax: number;
  /** Copies of each partition; 1 on the embedded backend. */
  readonly replicationFactor: number;
  /** Copies that must have a record before acks=all is answered. */
  readonly minInsyncReplicas: number;
  /** Settings of the topic that differ from the backend's defaults, by the backend's names. */
  readonly config: Readonly<Record<string, string>>;
}

/** A topic to be made. What is left out is the backend's default. */
export interface CreateTopicRequest {
  readonly name: string;
  readonly partitions?: number;
  readonly replicationFactor?: number;
  readonly config?: Readonly<Record<string, string>>;
}

/** A line of a listing. */
export interface TopicSummary {
  readonly name: string;
  readonly partitions: number;
}

/** The span of offsets a partition holds. */
export interface PartitionOffsets {
  readonly partition: number;
  /** Offset of the oldest record still there; equals `endOffset` when there is none. */
  readonly startOffset: number;
  /** Offset the next record will get. */
  readonly endOffset: number;
  /** The broker that leads the partition; absent on the embedded backend or when unknown. */
  readonly leader?: number;
}

/** A read from one partition, answered at once or when something arrives (long poll). */
export interface TailRequest {
  readonly topic: string;
  readonly partition: number;
  readonly from: TailFrom;
  /** An offset, or ms since 1970, as `from` says; ignored for `beginning` and `end`. */
  readonly position: number;
  /** Most bytes of records in the answer; one record is always given, however long. */
  readonly bytesMax: number;
  /** Longest wait for a first record, in ms; 0 answers at once. */
  readonly waitMs: number;
  /** The record at that offset was seen there: a reader that brings nothing of it is at fault. */
  readonly isThere?: boolean;
  /** Ends the wait early: the answer is then an empty result. */
  readonly signal?: AbortSignal;
}

/** What a tail found. */
export interface TailResult {
  readonly partition: number;
  readonly startOffset: number;
  readonly endOffset: number;
  /** Where the next tail goes on. */
  readonly nextOffset: number;
  /** Number of records. */
  readonly count: number;
  /** `count` records as they go on the wire. Owned by the caller. */
  readonly records: Uint8Array;
}

/** Whether the backend answers at the moment. Known, not asked: reading it costs nothing. */
export interface Reachability {
  readonly reachable: boolean;
  /** Why not, one sentence; absent when reachable. */
  readonly reason?: string;
}

/**
 * What the server asks of the backend: topics and reading. Producing goes through the lanes.
 *
 * All methods reject with a `CodedError`: `BACKEND_UNAVAILABLE` (retriable) when the backend does
 * not answer in time, `INVALID_TOPIC` for a name that clients may not use, and those named below.
 */
export interface Backend {
  readonly kind: 'embedded' | 'kafka';
  /** Resolves to undefined when the backend knows that there is no such topic. */
  describeTopic(name: string): Promise<TopicDescription | undefined>;
  /** @throws TOPIC_EXISTS, INVALID_ARGUMENT, NOT_AUTHORIZED */
  createTopic(request: CreateTopicRequest): Promise<TopicDescription>;
  /** Topics whose name begins with `prefix`, by name, without the internal ones. */
  listTopics(prefix: string): Promise<TopicSummary[]>;
  /** One entry for each partition, by number. @throws UNKNOWN_TOPIC */
  offsets(name: string): Promise<PartitionOffsets[]>;
  /** @throws UNKNOWN_TOPIC, UNKNOWN_PARTITION, OFFSET_OUT_OF_RANGE */
  tail(request: TailRequest): Promise<TailResult>;
  /**
   * Frees the records of a partition that lie before an offset. The embedded log frees whole chunks
   * only, so some of them may stay. @throws UNKNOWN_TOPIC, UNKNOWN_PARTITION, NOT_AUTHORIZED
   */
  deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<void>;
  reachable(): Reachability;
  close(): Promise<void>;
}
