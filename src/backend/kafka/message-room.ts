/** What Kafka counts of a batch before its records, in bytes. */
export const BATCH_HEAD_BYTES = 61;
/**
 * Most of a record beside key, headers and value: its length, attributes, two deltas (those of the
 * first record of a batch are 0), lengths of key and value, number of headers.
 */
const RECORD_BYTES = 5 + 1 + 2 + 3 + 5 + 3;
/** The `mq` header at its longest, which is that of a delayed message, with its name. */
const MQ_HEADER_BYTES = 1 + 2 + 1 + 42;
/**
 * The two lengths of a header may take a byte more in Kafka than on our wire, but only in headers
 * of so many bytes: of a name from 64 bytes on with a value from 64 bytes on.
 */
const LONGER_HEADER_BYTES = 3 + 64 + 64;

/** What bounds a message of a topic, in bytes. */
export interface TopicBounds {
  /** The topic's `max.message.bytes`: the longest batch, so also one of a single message. */
  readonly batchBytesMax: number;
  /** Most of all headers of a message, as on our wire. */
  readonly headersBytesMax: number;
}

/**
 * The longest message, key + headers + value as on our wire, in bytes, that a topic takes whatever
 * it is made of. The `mq` header counts where it is switched off too, since delayed messages have
 * it. A topic with `compression.type` of its own may still refuse one: what cannot be compressed
 * may grow by that.
 */
export function messageRoom({ batchBytesMax, headersBytesMax }: TopicBounds): number {
  const left = batchBytesMax - BATCH_HEAD_BYTES - RECORD_BYTES - MQ_HEADER_BYTES;
  const headers = Math.max(0, Math.min(left, headersBytesMax));
  return Math.max(1, left - Math.floor(headers / LONGER_HEADER_BYTES));
}
