// Generated from protocol/schema.json by `npm run generate`. Do not edit.

/** First bytes of HELLO. */
export const MAGIC = 'MQP1';

/** The protocol version spoken here. */
export const PROTOCOL_VERSION = 1;

/** Bytes of a frame before its body, the length field included. */
export const FRAME_HEADER_BYTES = 12;

/** Least value of a frame's length field. */
export const FRAME_LENGTH_MIN = 8;

/** Set in the opcode of every answer. */
export const ANSWER = 0x80;

/** Opcodes of requests (and of GOAWAY, which only the node sends). */
export const Opcode = {
  HELLO: 0x01,
  PING: 0x02,
  GOAWAY: 0x03,
  OPEN_TOPIC: 0x10,
  CREATE_TOPIC: 0x11,
  DESCRIBE_TOPIC: 0x12,
  LIST_TOPICS: 0x13,
  PRODUCE: 0x20,
  PRODUCE_BATCH: 0x21,
  TAIL: 0x30,
  SUBSCRIBE: 0x31,
  UNSUBSCRIBE: 0x32,
  DELIVER: 0x33,
  ACK: 0x34,
  NACK: 0x35,
  EXTEND: 0x36,
  CREDIT: 0x37,
  COMMIT: 0x38,
  ASSIGNED: 0x39,
  LIST_GROUPS: 0x40,
  DESCRIBE_GROUP: 0x41,
  PAUSE_GROUP: 0x42,
  RESUME_GROUP: 0x43,
  RESET_GROUP: 0x44,
  DELETE_GROUP: 0x45,
  LIST_DEAD: 0x46,
  REDRIVE_DEAD: 0x47,
  PURGE_DEAD: 0x48,
  GET_DELAYED: 0x50,
  LIST_DELAYED: 0x51,
  DELAY_STATS: 0x52,
  CANCEL_DELAYED: 0x53,
  MOVE_DELAYED: 0x54,
  SCHEDULE_SERIES: 0x55,
  CANCEL_SERIES: 0x56,
  LIST_SERIES: 0x57,
  STATUS: 0x60,
  CLUSTERS: 0x61,
  USE_CLUSTER: 0x62,
  LIST_ASIDE: 0x63,
  RETRY_ASIDE: 0x64,
  PURGE_ASIDE: 0x65,
} as const;
export type Opcode = (typeof Opcode)[keyof typeof Opcode];

/** Opcodes of answers that are not `request | ANSWER` alone. */
export const Answer = {
  ERROR: 0x80,
  PRODUCED: 0xa0,
} as const;
export type Answer = (typeof Answer)[keyof typeof Answer];

/** Frame flags of an answer. */
export const AnswerFlag = {
  /** The body is an error body. */
  FAILED: 0x80,
} as const;
export type AnswerFlag = (typeof AnswerFlag)[keyof typeof AnswerFlag];
/** Every bit of {@link AnswerFlag}; any other is refused. */
export const ANSWER_FLAGS = 0x80;

/** Frame flags of HELLO. */
export const HelloFlag = {
  /** Sequences of this session may come in any order. */
  UNORDERED: 0x01,
} as const;
export type HelloFlag = (typeof HelloFlag)[keyof typeof HelloFlag];
/** Every bit of {@link HelloFlag}; any other is refused. */
export const HELLO_FLAGS = 0x01;

/** Frame flags of OPEN_TOPIC. */
export const OpenTopicFlag = {
  /** The topic is not made where there is none. */
  EXISTING: 0x01,
} as const;
export type OpenTopicFlag = (typeof OpenTopicFlag)[keyof typeof OpenTopicFlag];
/** Every bit of {@link OpenTopicFlag}; any other is refused. */
export const OPEN_TOPIC_FLAGS = 0x01;

/** Frame flags of PRODUCE. */
export const ProduceFlag = {
  /** A key is in the body. */
  KEY: 0x01,
  /** Headers are in the body. */
  HEADERS: 0x02,
  /** A partition is named. */
  PARTITION: 0x04,
  /** The value is null; no value bytes follow. */
  NULL_VALUE: 0x08,
  /** Answer when replicated, not when stored. */
  REPLICATED: 0x10,
  /** A due time is in the body. */
  DUE: 0x20,
} as const;
export type ProduceFlag = (typeof ProduceFlag)[keyof typeof ProduceFlag];
/** Every bit of {@link ProduceFlag}; any other is refused. */
export const PRODUCE_FLAGS = 0x3f;

/** Frame flags of PRODUCE_BATCH. */
export const ProduceBatchFlag = {
  /** Answer when replicated, not when stored. */
  REPLICATED: 0x10,
} as const;
export type ProduceBatchFlag = (typeof ProduceBatchFlag)[keyof typeof ProduceBatchFlag];
/** Every bit of {@link ProduceBatchFlag}; any other is refused. */
export const PRODUCE_BATCH_FLAGS = 0x10;

/** Flags of a record of PRODUCE_BATCH. */
export const BatchRecordFlag = {
  /** A key is in the record. */
  KEY: 0x01,
  /** Headers are in the record. */
  HEADERS: 0x02,
  /** A partition is named. */
  PARTITION: 0x04,
  /** The value is null; no value bytes follow. */
  NULL_VALUE: 0x08,
  /** A due time is in the record. */
  DUE: 0x20,
} as const;
export type BatchRecordFlag = (typeof BatchRecordFlag)[keyof typeof BatchRecordFlag];
/** Every bit of {@link BatchRecordFlag}; any other is refused. */
export const BATCH_RECORD_FLAGS = 0x2f;

/** Flags of a record of a TAIL answer. */
export const TailRecordFlag = {
  /** A key is in the record. */
  KEY: 0x01,
  /** Headers are in the record. */
  HEADERS: 0x02,
  /** The value is null; no value bytes follow. */
  NULL_VALUE: 0x08,
  /** The message id is in the record. */
  ID: 0x40,
} as const;
export type TailRecordFlag = (typeof TailRecordFlag)[keyof typeof TailRecordFlag];
/** Every bit of {@link TailRecordFlag}; any other is refused. */
export const TAIL_RECORD_FLAGS = 0x4b;

/** Flags of the Kafka record header `mq`. */
export const MqHeaderFlag = {
  /** DueMs is present. */
  DUE: 0x01,
} as const;
export type MqHeaderFlag = (typeof MqHeaderFlag)[keyof typeof MqHeaderFlag];
/** Every bit of {@link MqHeaderFlag}; any other is refused. */
export const MQ_HEADER_FLAGS = 0x01;

/** Frame flags of PRODUCED: the form of its entries. */
export const ProducedForm = {
  /** Answered OK at the level asked, 8 bytes an entry. */
  PLAIN: 0x00,
  /** OK, with cluster, partition and offset, 24 bytes an entry. */
  PLACED: 0x01,
  /** Not delivered, or unknown, 16 bytes an entry. */
  REFUSED: 0x02,
  /** Delayed messages answered OK, with the time of acceptance, 16 bytes an entry. */
  SCHEDULED: 0x03,
} as const;
export type ProducedForm = (typeof ProducedForm)[keyof typeof ProducedForm];

/** What the due field of a message is; the low four bits of its kind. */
export const DueKind = {
  /** Milliseconds from acceptance. */
  DELAY: 0x00,
  /** Unix milliseconds. */
  TIME: 0x01,
  /** A fixed level, named by its duration in milliseconds. */
  LEVEL: 0x02,
} as const;
export type DueKind = (typeof DueKind)[keyof typeof DueKind];

/** Flags beside the kind of a due field. */
export const DueFlag = {
  /** Topic and key name the schedule. */
  UNIQUE: 0x40,
  /** What is scheduled already stays. */
  IF_ABSENT: 0x80,
} as const;
export type DueFlag = (typeof DueFlag)[keyof typeof DueFlag];
/** Every bit of {@link DueFlag}; any other is refused. */
export const DUE_FLAGS = 0xc0;

/** What names a delayed message in its delay id. */
export const DelayIdKind = {
  /** The message id. */
  MESSAGE: 0x00,
  /** A hash of topic and key. */
  KEY: 0x01,
  /** A hash that a series was given. */
  SERIES: 0x02,
  /** The message id, on a fixed level. */
  LEVEL: 0x03,
} as const;
export type DelayIdKind = (typeof DelayIdKind)[keyof typeof DelayIdKind];

/** Where a TAIL begins. */
export const TailFrom = {
  /** Position is an offset. */
  OFFSET: 0x00,
  /** The first message still held. */
  BEGINNING: 0x01,
  /** After the last message. */
  END: 0x02,
  /** Position is unix milliseconds: the first message of that time or later. */
  TIME: 0x03,
} as const;
export type TailFrom = (typeof TailFrom)[keyof typeof TailFrom];

/** Frame flags of ACK and COMMIT. */
export const AckFlag = {
  /** Answer when the commit that carries it was done, not when it is recorded. */
  COMMITTED: 0x01,
} as const;
export type AckFlag = (typeof AckFlag)[keyof typeof AckFlag];
/** Every bit of {@link AckFlag}; any other is refused. */
export const ACK_FLAGS = 0x01;

/** Frame flags of NACK. */
export const NackFlag = {
  /** To the dead letters now, whatever attempts are left. */
  DEAD: 0x01,
} as const;
export type NackFlag = (typeof NackFlag)[keyof typeof NackFlag];
/** Every bit of {@link NackFlag}; any other is refused. */
export const NACK_FLAGS = 0x01;

/** AuthMechanism of HELLO. */
export const AuthMechanism = {
  /** No proof; authLength is 0. */
  NONE: 0x00,
  /** Auth is a token's bytes. */
  TOKEN: 0x01,
} as const;
export type AuthMechanism = (typeof AuthMechanism)[keyof typeof AuthMechanism];

/** Cluster of a PLACED entry and of a run of DELIVER. */
export const Cluster = {
  /** The primary cluster, or the embedded backend. */
  PRIMARY: 0x00,
  /** The backup cluster. */
  BACKUP: 0x01,
} as const;
export type Cluster = (typeof Cluster)[keyof typeof Cluster];

/** Error codes; docs/errors.md says what to do. */
export const ErrorCode = {
  OK: 0,
  UNKNOWN: 1,
  MALFORMED: 2,
  UNSUPPORTED_VERSION: 3,
  BAD_MAGIC: 4,
  UNKNOWN_OPCODE: 5,
  UNKNOWN_FLAGS: 6,
  FRAME_TOO_LARGE: 7,
  AUTHENTICATION_FAILED: 8,
  HANDSHAKE_TIMEOUT: 9,
  FENCED: 10,
  TOO_MANY_CONNECTIONS: 11,
  DRAINING: 12,
  IDLE_TIMEOUT: 13,
  LANE_OUT: 14,
  NOT_AUTHORIZED: 20,
  UNKNOWN_TOPIC: 21,
  TOPIC_UNCONFIRMED: 22,
  INVALID_TOPIC: 23,
  TOPIC_EXISTS: 24,
  TOPIC_NOT_OPEN: 25,
  TOO_MANY_TOPICS: 26,
  UNKNOWN_PARTITION: 27,
  MESSAGE_TOO_LARGE: 30,
  OUT_OF_SEQUENCE: 31,
  SEQUENCE_TOO_OLD: 32,
  RETRY_LATER: 33,
  NOT_SUPPORTED: 34,
  RESERVED_HEADER: 35,
  UNDELIVERABLE: 36,
  OFFSET_OUT_OF_RANGE: 40,
  BACKEND_UNAVAILABLE: 41,
  LEASE_LOST: 42,
  BAD_TOKEN: 43,
  NOT_OWNER: 44,
  UNKNOWN_GROUP: 45,
  GROUP_CONFLICT: 46,
  TOO_MANY_GROUPS: 47,
  UNKNOWN_SUBSCRIPTION: 48,
  ROLE_REFUSED: 49,
  INVALID_ARGUMENT: 50,
  TOO_LATE: 51,
  NOT_FOUND: 52,
  BEYOND_HORIZON: 53,
  INTERNAL: 60,
} as const;
export type ErrorCode = (typeof ErrorCode)[keyof typeof ErrorCode];

/** One row of the error table. */
export interface ErrorRow {
  readonly name: keyof typeof ErrorCode;
  readonly code: ErrorCode;
  /** The same request, with the same id, may succeed later. */
  readonly retriable: boolean;
  /** The node closes the connection after sending it. */
  readonly fatal: boolean;
  readonly meaning: string;
  /** What the user can do. */
  readonly action: string;
}

/** Every error code, by rising code. */
export const ERROR_TABLE: readonly ErrorRow[] = [
  {
    name: 'OK',
    code: 0,
    retriable: false,
    fatal: false,
    meaning: 'Done at the level asked.',
    action: 'Nothing.',
  },
  {
    name: 'UNKNOWN',
    code: 1,
    retriable: true,
    fatal: false,
    meaning: 'The outcome is not known: delivered once, or not at all.',
    action: 'Resend with the same id; inside the window it is stored once.',
  },
  {
    name: 'MALFORMED',
    code: 2,
    retriable: false,
    fatal: true,
    meaning: 'The bytes do not follow the grammar.',
    action: 'Fix the client; the message says which field.',
  },
  {
    name: 'UNSUPPORTED_VERSION',
    code: 3,
    retriable: false,
    fatal: true,
    meaning: "No version of the client's range is spoken here.",
    action: "Upgrade the client or the node; the message names the node's range.",
  },
  {
    name: 'BAD_MAGIC',
    code: 4,
    retriable: false,
    fatal: true,
    meaning: 'The first frame is not a HELLO with the magic MQP1.',
    action: 'Check that the address is an MQP port and that TLS is the same on both sides.',
  },
  {
    name: 'UNKNOWN_OPCODE',
    code: 5,
    retriable: false,
    fatal: false,
    meaning: 'This node has no such opcode.',
    action: 'Look at `features` of the HELLO answer before using it.',
  },
  {
    name: 'UNKNOWN_FLAGS',
    code: 6,
    retriable: false,
    fatal: true,
    meaning: 'A flag bit is set that this opcode does not have.',
    action: 'Send 0 in every bit that is not in the specification.',
  },
  {
    name: 'FRAME_TOO_LARGE',
    code: 7,
    retriable: false,
    fatal: true,
    meaning: "The frame's length is above the limit of this state.",
    action: 'Keep to `limits.frameBytesMax`; before HELLO was answered to 8 KiB.',
  },
  {
    name: 'AUTHENTICATION_FAILED',
    code: 8,
    retriable: false,
    fatal: true,
    meaning: 'The node did not accept the proof in HELLO.',
    action: 'Check the token and its file.',
  },
  {
    name: 'HANDSHAKE_TIMEOUT',
    code: 9,
    retriable: false,
    fatal: true,
    meaning: 'No complete HELLO came in time.',
    action: 'Send HELLO at once after connecting.',
  },
  {
    name: 'FENCED',
    code: 10,
    retriable: false,
    fatal: true,
    meaning: 'A session with the same producer id and a newer epoch, or a newer connection of the same epoch, took over.',
    action: 'Stop this producer; if it should live, start a new session with a higher epoch.',
  },
  {
    name: 'TOO_MANY_CONNECTIONS',
    code: 11,
    retriable: true,
    fatal: true,
    meaning: 'The node holds as many connections as it may.',
    action: 'Connect again after the hint, or to another node.',
  },
  {
    name: 'DRAINING',
    code: 12,
    retriable: true,
    fatal: false,
    meaning: 'The node is going away and takes nothing new.',
    action: 'Wait for what is in flight, then connect to another node or again.',
  },
  {
    name: 'IDLE_TIMEOUT',
    code: 13,
    retriable: true,
    fatal: true,
    meaning: 'Nothing was heard from this connection for `limits.idleTimeoutMs`.',
    action: 'Send PING when idle; connect again.',
  },
  {
    name: 'LANE_OUT',
    code: 14,
    retriable: true,
    fatal: true,
    meaning: "The disk under this producer's part of the node failed or is full, or its thread has ended; that part is out of service.",
    action: 'Connect to another node; the operator looks at the log and the disk, and starts this node again.',
  },
  {
    name: 'NOT_AUTHORIZED',
    code: 20,
    retriable: false,
    fatal: false,
    meaning: 'The token gives no right to this topic or operation.',
    action: 'Ask for the right, or use a topic the token covers.',
  },
  {
    name: 'UNKNOWN_TOPIC',
    code: 21,
    retriable: false,
    fatal: false,
    meaning: 'There is no such topic.',
    action: 'Create it, or correct the name.',
  },
  {
    name: 'TOPIC_UNCONFIRMED',
    code: 22,
    retriable: true,
    fatal: false,
    meaning: 'The backend cannot be asked now whether the topic exists.',
    action: 'Try again after the hint.',
  },
  {
    name: 'INVALID_TOPIC',
    code: 23,
    retriable: false,
    fatal: false,
    meaning: "The topic's name is not allowed.",
    action: 'Use 1–249 of A–Z a–z 0–9 . _ -, not `.` or `..`, not beginning with `__`.',
  },
  {
    name: 'TOPIC_EXISTS',
    code: 24,
    retriable: false,
    fatal: false,
    meaning: 'A topic with this name exists.',
    action: 'Use it, or take another name.',
  },
  {
    name: 'TOPIC_NOT_OPEN',
    code: 25,
    retriable: false,
    fatal: false,
    meaning: "The frame's topic id was not opened on this connection.",
    action: 'Send OPEN_TOPIC on this connection first; ids are not carried over.',
  },
  {
    name: 'TOO_MANY_TOPICS',
    code: 26,
    retriable: false,
    fatal: false,
    meaning: 'The connection has as many topics open as it may.',
    action: 'Use another connection.',
  },
  {
    name: 'UNKNOWN_PARTITION',
    code: 27,
    retriable: false,
    fatal: false,
    meaning: 'The topic has no such partition.',
    action: 'Name one below `partitions`, or none.',
  },
  {
    name: 'MESSAGE_TOO_LARGE',
    code: 30,
    retriable: false,
    fatal: false,
    meaning: 'Key, headers or message are above their limit, or what was asked for does not fit a frame.',
    action: "Send less, or raise the topic's limit; when reading go on at the next offset, of a list ask for less.",
  },
  {
    name: 'OUT_OF_SEQUENCE',
    code: 31,
    retriable: true,
    fatal: false,
    meaning: 'The sequence is not the one that follows.',
    action: 'Go back to the sequence in `detail` and send everything from there again.',
  },
  {
    name: 'SEQUENCE_TOO_OLD',
    code: 32,
    retriable: false,
    fatal: false,
    meaning: 'The sequence is behind the dedupe window; whether it was stored is not known any more.',
    action: 'Do not resend; look for the id in the topic if it matters.',
  },
  {
    name: 'RETRY_LATER',
    code: 33,
    retriable: true,
    fatal: false,
    meaning: 'The node has no room, or is not ready, for just this: the disk quota is used up, topics.json or the delay index cannot be written, too much waits already, something is still being read, or the node is leaving the group.',
    action: 'Wait as long as the hint says, then resend with the same id.',
  },
  {
    name: 'NOT_SUPPORTED',
    code: 34,
    retriable: false,
    fatal: false,
    meaning: 'This backend or topic cannot do that; the embedded log has no replicas, so `stored` is its level.',
    action: 'Do as the message says; for `replicated` use the kafka backend, or level `stored`.',
  },
  {
    name: 'RESERVED_HEADER',
    code: 35,
    retriable: false,
    fatal: false,
    meaning: 'A header is named `mq` or begins with `mq-`.',
    action: 'Rename the header.',
  },
  {
    name: 'UNDELIVERABLE',
    code: 36,
    retriable: false,
    fatal: false,
    meaning: 'The backend refused the message for good after it was stored; it is in the undeliverable log.',
    action: 'Look at `mqproxy undeliverable show`; it will not be delivered by itself.',
  },
  {
    name: 'OFFSET_OUT_OF_RANGE',
    code: 40,
    retriable: false,
    fatal: false,
    meaning: 'The offset is below the first one held or above the end.',
    action: 'Begin at `beginning`, `end`, or an offset between them.',
  },
  {
    name: 'BACKEND_UNAVAILABLE',
    code: 41,
    retriable: true,
    fatal: false,
    meaning: 'The backend does not answer.',
    action: 'Try again after the hint.',
  },
  {
    name: 'LEASE_LOST',
    code: 42,
    retriable: false,
    fatal: false,
    meaning: 'The lease ended, or another owner took the partition; the message is or will be delivered again.',
    action: 'Drop what you know of this delivery; keep handlers idempotent, extend leases in time.',
  },
  {
    name: 'BAD_TOKEN',
    code: 43,
    retriable: false,
    fatal: false,
    meaning: 'The token was not made by this group of nodes, or its index names no message of its run.',
    action: 'Send tokens as they were delivered; nodes that share groups need the same cluster secret.',
  },
  {
    name: 'NOT_OWNER',
    code: 44,
    retriable: false,
    fatal: false,
    meaning: 'Another node owns the partition.',
    action: 'Send it to the node that the answer names.',
  },
  {
    name: 'UNKNOWN_GROUP',
    code: 45,
    retriable: false,
    fatal: false,
    meaning: 'There is no such group.',
    action: 'Correct the name; a group begins with its first subscription.',
  },
  {
    name: 'GROUP_CONFLICT',
    code: 46,
    retriable: false,
    fatal: false,
    meaning: 'What was asked does not go with what the group is doing now.',
    action: 'The message says what it is doing; end its subscriptions, or ask for the same mode.',
  },
  {
    name: 'TOO_MANY_GROUPS',
    code: 47,
    retriable: false,
    fatal: false,
    meaning: 'The node serves as many groups or subscriptions as it may.',
    action: 'Use another node, or end some.',
  },
  {
    name: 'UNKNOWN_SUBSCRIPTION',
    code: 48,
    retriable: false,
    fatal: false,
    meaning: 'This connection has no such subscription.',
    action: 'Subscribe on this connection first; ids are not carried over.',
  },
  {
    name: 'ROLE_REFUSED',
    code: 49,
    retriable: false,
    fatal: false,
    meaning: 'The node cannot safely do this: an internal topic or a secret is not as it must be.',
    action: 'The message says what was found, what is needed and where.',
  },
  {
    name: 'INVALID_ARGUMENT',
    code: 50,
    retriable: false,
    fatal: false,
    meaning: 'A field has a value that is not allowed.',
    action: 'The message names the field and what is allowed.',
  },
  {
    name: 'TOO_LATE',
    code: 51,
    retriable: false,
    fatal: false,
    meaning: 'The delayed message has fired, or is firing. Reserved: no node of this version answers it, but the outcome `tooLate`.',
    action: 'Nothing: it is delivered as it was.',
  },
  {
    name: 'NOT_FOUND',
    code: 52,
    retriable: false,
    fatal: false,
    meaning: 'There is nothing of that id or key.',
    action: 'Check the id; what fired, was cancelled or purged is not kept.',
  },
  {
    name: 'BEYOND_HORIZON',
    code: 53,
    retriable: false,
    fatal: false,
    meaning: 'The due time is more than 400 days ahead, or not a time.',
    action: 'Take an earlier time; schedule again from there if it must be later.',
  },
  {
    name: 'INTERNAL',
    code: 60,
    retriable: false,
    fatal: false,
    meaning: 'A defect of the node.',
    action: "Report it with the message and the node's log; resend with the same id is safe.",
  },
];

/** Limits and their defaults; HELLO's answer carries those a node can set. */
export const PROTOCOL_LIMIT = {
  /** Frame length until HELLO was answered. Unit: bytes. */
  frameBytesBeforeHelloMax: 8_192,
  /** Frame length after it, both ways. Unit: bytes. */
  frameBytesMax: 1_114_112,
  /** Key + headers + value of one message; a topic may take less [P-5.1]. Unit: bytes. */
  messageBytesMax: 1_048_576,
  /** Key of one message; u16 on the wire. Unit: bytes. */
  keyBytesMax: 32_768,
  /** Encoded headers of one message; u16 on the wire. Unit: bytes. */
  headersBytesMax: 32_768,
  /** Topics open on one connection. Unit: topics. */
  topicsPerConnectionMax: 1_024,
  /** Messages of one connection not yet answered; beyond it the node stops reading. Unit: messages. */
  inFlightMessagesMax: 65_536,
  /** Their bytes; beyond it the node stops reading. Unit: bytes. */
  inFlightBytesMax: 33_554_432,
  /** Records of one TAIL answer, except that a single larger record may come alone. Unit: bytes. */
  tailBytesMax: 1_048_576,
  /** Silence after which the node closes; 0 is never. Unit: ms. */
  idleTimeoutMs: 300_000,
  /** From accept to a complete HELLO. Unit: ms. */
  handshakeTimeoutMs: 5_000,
  /** WaitMs of TAIL; more is cut to this. Unit: ms. */
  tailWaitMsMax: 30_000,
  /** Dedupe window behind the highest sequence. Unit: sequences. */
  windowSequences: 65_536,
  /** 2^48 − 1; sequences begin at 1. Unit: sequence. */
  sequenceMax: 281_474_976_710_655,
  /** Count of PRODUCE_BATCH; u16 on the wire. Unit: messages. */
  batchMessagesMax: 65_535,
  /** Name of HELLO; u8 on the wire. Unit: bytes. */
  clientNameBytesMax: 255,
  /** Auth of HELLO. Unit: bytes. */
  authBytesMax: 4_096,
  /** A topic's name. Unit: bytes. */
  topicNameBytesMax: 249,
  /** Message of an error body. Unit: bytes. */
  errorMessageBytesMax: 1_024,
  /** Nesting of a msgpack body. Unit: levels. */
  mapDepthMax: 8,
  /** The Kafka record header `mq`. Unit: bytes. */
  mqHeaderBytesMax: 48,
  /** A message id as text. Unit: characters. */
  messageIdCharsMax: 64,
  /** A group's name. Unit: bytes. */
  groupNameBytesMax: 100,
  /** Topics named by one SUBSCRIBE. Unit: topics. */
  topicsPerSubscriptionMax: 256,
  /** Credit of one subscription. Unit: messages. */
  creditMessagesMax: 65_536,
  /** Credit of one subscription. Unit: bytes. */
  creditBytesMax: 67_108_864,
  /** Shortest lease that may be asked for. Unit: ms. */
  leaseMsMin: 100,
  /** Longest lease that may be asked for. Unit: ms. */
  leaseMsMax: 43_200_000,
  /** A lease token. Unit: bytes. */
  tokenBytes: 48,
  /** Span of a run of DELIVER; its indexes are u16. Unit: offsets. */
  runOffsetsMax: 65_536,
  /** Messages named by one ACK, NACK or EXTEND. Unit: messages. */
  settleMessagesMax: 65_535,
  /** Reason of NACK. Unit: bytes. */
  reasonBytesMax: 1_024,
  /** Limit of a list that comes in pages. Unit: items. */
  pageItemsMax: 1_000,
} as const;
