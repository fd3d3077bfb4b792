/** What a delivery report means for the sender. */
export type VerdictKind =
  /** The record is in the log, acks=all. */
  | 'confirmed'
  /** Not now: the same message, sent again, may pass. A copy may be in the log already. */
  | 'resend'
  /** The same bytes will be refused again. */
  | 'refused'
  /** The producer instance sends nothing more: renew it, then send again. */
  | 'fatal'
  /** The cluster knows no such topic just now; final only when an admin says so for a while. */
  | 'topicMissing';

/** A delivery report's meaning. */
export interface Verdict {
  readonly kind: VerdictKind;
  /** Our error code for the client and the undeliverable log; only when `refused`. */
  readonly code?: string;
  /** The code's name in librdkafka, for logs; undefined for one that is not listed. */
  readonly name?: string;
  /**
   * The broker judged the whole batch that librdkafka had put together, not the message: refused
   * for good is a message only when it was sent alone.
   */
  readonly ofBatch?: boolean;
  /**
   * librdkafka says the same while it learns that a whole topic is gone: refused for good is a
   * message only when it hears it twice.
   */
  readonly twice?: boolean;
}

const confirmed: Verdict = { kind: 'confirmed', name: 'NO_ERROR' };
const unlisted: Verdict = { kind: 'resend' };

// The numbers are those of rd_kafka_resp_err_t in librdkafka's rdkafka.h: negative ones are made
// by the library, the others come from the broker. What is not listed is sent again: to resend
// costs a duplicate at most, to give up costs a message.
const verdicts: ReadonlyMap<number, Verdict> = new Map<number, Verdict>([
  [0, confirmed],
  [10, { kind: 'refused', code: 'MESSAGE_TOO_LARGE', name: 'MSG_SIZE_TOO_LARGE', ofBatch: true }],
  [
    18,
    { kind: 'refused', code: 'MESSAGE_TOO_LARGE', name: 'RECORD_LIST_TOO_LARGE', ofBatch: true },
  ],
  [17, { kind: 'refused', code: 'INVALID_TOPIC', name: 'TOPIC_EXCEPTION' }],
  [29, { kind: 'refused', code: 'NOT_AUTHORIZED', name: 'TOPIC_AUTHORIZATION_FAILED' }],
  [43, { kind: 'refused', code: 'NOT_SUPPORTED', name: 'UNSUPPORTED_FOR_MESSAGE_FORMAT' }],
  [44, { kind: 'refused', code: 'UNDELIVERABLE', name: 'POLICY_VIOLATION' }],
  // A compacted topic refuses a record without a key this way, and the rest of its batch with it.
  [87, { kind: 'refused', code: 'INVALID_ARGUMENT', name: 'INVALID_RECORD', ofBatch: true }],
  [-190, { kind: 'refused', code: 'UNKNOWN_PARTITION', name: '_UNKNOWN_PARTITION', twice: true }],
  [3, { kind: 'topicMissing', name: 'UNKNOWN_TOPIC_OR_PART' }],
  [100, { kind: 'topicMissing', name: 'UNKNOWN_TOPIC_ID' }],
  [-188, { kind: 'topicMissing', name: '_UNKNOWN_TOPIC' }],
  [31, { kind: 'fatal', name: 'CLUSTER_AUTHORIZATION_FAILED' }],
  [45, { kind: 'fatal', name: 'OUT_OF_ORDER_SEQUENCE_NUMBER' }],
  [46, { kind: 'fatal', name: 'DUPLICATE_SEQUENCE_NUMBER' }],
  [47, { kind: 'fatal', name: 'INVALID_PRODUCER_EPOCH' }],
  [49, { kind: 'fatal', name: 'INVALID_PRODUCER_ID_MAPPING' }],
  [59, { kind: 'fatal', name: 'UNKNOWN_PRODUCER_ID' }],
  [90, { kind: 'fatal', name: 'PRODUCER_FENCED' }],
  [-150, { kind: 'fatal', name: '_FATAL' }],
  [-148, { kind: 'fatal', name: '_GAPLESS_GUARANTEE' }],
  [-149, { kind: 'fatal', name: '_INCONSISTENT' }],
  [-144, { kind: 'fatal', name: '_FENCED' }],
  [2, { kind: 'resend', name: 'INVALID_MSG' }],
  [5, { kind: 'resend', name: 'LEADER_NOT_AVAILABLE' }],
  [6, { kind: 'resend', name: 'NOT_LEADER_FOR_PARTITION' }],
  [7, { kind: 'resend', name: 'REQUEST_TIMED_OUT' }],
  [8, { kind: 'resend', name: 'BROKER_NOT_AVAILABLE' }],
  [9, { kind: 'resend', name: 'REPLICA_NOT_AVAILABLE' }],
  [13, { kind: 'resend', name: 'NETWORK_EXCEPTION' }],
  [19, { kind: 'resend', name: 'NOT_ENOUGH_REPLICAS' }],
  [20, { kind: 'resend', name: 'NOT_ENOUGH_REPLICAS_AFTER_APPEND' }],
  // Sent again it carries a fresh time.
  [32, { kind: 'resend', name: 'INVALID_TIMESTAMP' }],
  [56, { kind: 'resend', name: 'KAFKA_STORAGE_ERROR' }],
  [74, { kind: 'resend', name: 'FENCED_LEADER_EPOCH' }],
  [89, { kind: 'resend', name: 'THROTTLING_QUOTA_EXCEEDED' }],
  [-184, { kind: 'resend', name: '_QUEUE_FULL' }],
  [-185, { kind: 'resend', name: '_TIMED_OUT' }],
  [-187, { kind: 'resend', name: '_ALL_BROKERS_DOWN' }],
  [-192, { kind: 'resend', name: '_MSG_TIMED_OUT' }],
  [-195, { kind: 'resend', name: '_TRANSPORT' }],
  [-197, { kind: 'resend', name: '_DESTROY' }],
  [-151, { kind: 'resend', name: '_PURGE_INFLIGHT' }],
  [-152, { kind: 'resend', name: '_PURGE_QUEUE' }],
]);

/** What a delivery report's code (`rd_kafka_resp_err_t`) means for the message. */
export function verdictOf(code: number): Verdict {
  return code === 0 ? confirmed : (verdicts.get(code) ?? unlisted);
}

/** Every code that is listed, for the tables in tests and docs. */
export function listedVerdicts(): IterableIterator<[number, Verdict]> {
  return verdicts.entries();
}
