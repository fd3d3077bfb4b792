/** What a {@link BatchBuilder} is made for; whole numbers from 1. */
export interface BatchBuilderOptions {
  /** Key, headers and value of a message together, in bytes. */
  readonly messageBytesMax: number;
  /** Longest key, in bytes. */
  readonly keyBytesMax: number;
  /** All headers of a message in wire form, in bytes. */
  readonly headersBytesMax: number;
  /** Messages (also refused ones) of one scan; at most 1,048,576. */
  readonly messagesMax: number;
  /** Segments of one scan. */
  readonly segmentsMax: number;
}

/** What scan knows of a topic beside its id. Whatever is left out is not checked. */
export interface ScanTopic {
  /** A named partition from here on is refused with UNKNOWN_PARTITION. */
  readonly partitions?: number;
  /** Key, headers and value together, in bytes; more is MESSAGE_TOO_LARGE. */
  readonly messageBytesMax?: number;
  /** An error code (u16) with which every message of the topic is refused. */
  readonly code?: number;
  /** Its name; without it delayed messages for the topic are refused with NOT_SUPPORTED. */
  readonly name?: string;
}

/** How delayed messages are taken. */
export interface DueRules {
  /** The node topic id of the delay log; 0: they are refused with NOT_SUPPORTED. */
  readonly topic: number;
  /** Durations of the fixed levels, in ms. */
  readonly levelsMs: Float64Array;
  /** This node's id, 8 bytes. */
  readonly originNode: Uint8Array;
}

/**
 * The ints of one segment in {@link BatchBuilder.segments}: `segments[i * SEGMENT_INTS + field]`.
 */
export const SEGMENT_INTS = 12;

/** Where a field of a segment is; see {@link SEGMENT_INTS}. */
export const segmentField = {
  /** The session's slot in the lane (u32 bits). */
  connection: 0,
  /** Number of its first message in the scan, from 0. */
  ordinal: 1,
  /** Messages. */
  count: 2,
  /** Correlation id of its first message (u32 bits: `>>> 0`). */
  correlationId: 3,
  /** Low 32 bits of the first sequence (`>>> 0`). */
  sequenceLow: 4,
  /** High 16 bits of the first sequence. */
  sequenceHigh: 5,
  /** 0 stored, 1 replicated. */
  level: 6,
  /** 0, or the error code all its messages are refused with. */
  code: 7,
  /** Bytes of its records in the outbox payload; 0 when refused. */
  payloadBytes: 8,
  /** The node topic id when all its messages have the same, else -1. */
  topic: 9,
  /** 1 when its messages are delayed. */
  due: 10,
} as const;

/** Columns of one row of {@link BatchBuilder.chunkTable}. */
export const CHUNK_COLUMNS = 7;

/** Where a column of {@link BatchBuilder.chunkTable} is. */
export const chunkColumn = {
  topic: 0,
  partition: 1,
  baseOffset: 2,
  messages: 3,
  byteStart: 4,
  byteLength: 5,
  crc: 6,
} as const;

/** Columns of one row of {@link BatchBuilder.places}. */
export const PLACE_COLUMNS = 4;

/** Where a column of {@link BatchBuilder.places} is. */
export const placeColumn = { ordinal: 0, count: 1, partition: 2, offset: 3 } as const;

/** What {@link BatchBuilder.encodeChunks} is told. */
export interface ChunkPlan {
  /**
   * 16 bytes for each accepted segment, big-endian: producerId u64, epoch u16, sequence u48 of its
   * first message.
   */
  readonly ids: Uint8Array;
  /** Messages of each accepted segment, in message order; their sum is `acceptedMessages`. */
  readonly acceptedSegments: Int32Array;
  /** Partitions of each topic, in the order of {@link BatchBuilder.topics}; each >= 1. */
  readonly partitions: Int32Array;
  /** Next offset of each partition of each topic, flat in the order of `partitions`. */
  readonly nextOffsets: Float64Array;
  /** Messages without key go to `(sticky + connection) mod partitions`; u32. */
  readonly sticky: number;
  /** Timestamp of all records, in ms since 1970. */
  readonly timestampMs: number;
}

/**
 * Turns a stretch of a lane's ring into one micro-batch: {@link scan}, then bits of `accept` may
 * be cleared, then {@link encodePayload} or {@link encodeChunks}. The ring's bytes from `from` to
 * `consumed` must stay as they are until the last encode. One per lane; synchronous; everything
 * it hands out is its own and is *borrowed until the next call* that rewrites it.
 */
export interface BatchBuilder {
  /** Of the last scan: {@link SEGMENT_INTS} ints a segment. The same array for ever. */
  readonly segments: Int32Array;
  /** Of the last scan: 1 for each valid message, 0 for each refused; JS clears what it refuses. */
  readonly accept: Uint8Array;
  /** Of the last scan: the node topic id of each message (undefined for malformed ones). */
  readonly messageTopics: Uint16Array;
  /** Of the last scan: distinct node topic ids of valid messages, `topicCount` of them. */
  readonly topics: Int32Array;
  /** Of the last scan: valid messages of each of `topics`. */
  readonly topicMessages: Int32Array;
  /** How many of `topics` and `topicMessages` count. */
  readonly topicCount: number;
  /** Where the next scan begins; what lies before may be overwritten once this one is encoded. */
  readonly consumed: number;
  /** Messages of the last scan, refused ones included. */
  readonly messages: number;
  /** Bytes of the outbox payload if every valid message stays accepted. */
  readonly payloadBytes: number;

  /** Tells what to check for a node topic id (1 to 65535); replaces what was told before. */
  setTopic(topic: number, what: ScanTopic): void;
  /** Tells how delayed messages are taken; replaces what was told before. */
  setDue(rules: DueRules): void;

  /**
   * Reads entries of `ring` between the byte positions `from` and `to` (equal: nothing), checks
   * every message and splits them into segments: consecutive messages of one connection with
   * sequence and correlation id rising by one, the same level and the same code.
   *
   * It stops before an entry that would bring the entries' bytes above `bytesMax` (but takes at
   * least one), and before a message that would exceed `messagesMax` or `segmentsMax`: then
   * `consumed` is the position of the entry begun, and the next scan from there goes on inside it.
   *
   * A code that is fatal to the connection (MALFORMED, UNKNOWN_FLAGS) ends its entry: the rest of
   * the entry is that one message; its sequence and correlation id are 0 where unreadable. Later
   * entries of the connection are scanned as if nothing was.
   *
   * `nowMs`, in ms since 1970, is what a delayed message's due time is compared with.
   *
   * @returns the number of segments.
   * @throws RangeError when the ring itself is inconsistent.
   */
  scan(ring: Uint8Array, from: number, to: number, bytesMax: number, nowMs?: number): number;

  /** Delayed messages of the last scan, which are messages of the delay log's topic. */
  readonly dueMessages: number;

  /**
   * Turns the accepted delayed messages into records of the delay log; to be called before they
   * are encoded, when `dueMessages` is not 0. `ids` and `acceptedSegments` as in {@link ChunkPlan}.
   *
   * @throws RangeError when they do not fit the scan.
   */
  rewriteDue(ids: Uint8Array, acceptedSegments: Int32Array, acceptedMs: number): void;

  /** Builds the outbox payload of the accepted messages; returns its length in bytes. */
  encodePayload(): number;
  /** The payload of the last {@link encodePayload}. */
  readonly payload: Uint8Array;
  /** CRC-32C of {@link payload}. */
  readonly payloadCrc: number;
  /** Messages in the last payload or chunks. */
  readonly acceptedMessages: number;

  /**
   * Builds the embedded log's chunks of the accepted messages: TAIL wire records grouped by topic
   * and partition. Returns the number of chunks.
   *
   * @throws RangeError when the plan does not fit the scan.
   */
  encodeChunks(plan: ChunkPlan): number;
  /** Of the last {@link encodeChunks}: a row of {@link CHUNK_COLUMNS} for each chunk. */
  readonly chunkTable: Float64Array;
  /** The chunks back to back. */
  readonly chunkBytes: Uint8Array;
  /**
   * Rows of {@link PLACE_COLUMNS} in message order: from message `ordinal` on, `count` messages
   * lie at consecutive offsets of one partition. A row never crosses a segment of the scan.
   */
  readonly places: Float64Array;
}

/** Makes a {@link BatchBuilder}. */
export interface BatchBuilderConstructor {
  new (options: BatchBuilderOptions): BatchBuilder;
}
