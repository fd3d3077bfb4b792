import { BodyReader } from './body-reader.ts';
import { ErrorCode, ProduceFlag } from './generated.ts';
import { decodeMqHeader, type MqHeader } from './mq-header.ts';
import { ProtocolError } from './protocol-error.ts';

/** The header of a record in the delay log that says what to publish when it is due. */
export const MQ_TO_NAME = 'mq-to';

/** `mq-to`, IF_ABSENT: what is scheduled under the same id already stays. */
export const TARGET_IF_ABSENT = 0x80;

const VERSION = 1;
const MQ_BYTES = 42;

/** What is published when a delayed message is due. Bytes are borrowed from the header. */
export interface DelayTarget {
  readonly topic: string;
  /** Absent: chosen from the key. */
  readonly partition: number | undefined;
  readonly key: Buffer | undefined;
  /** The value is null; that of the record is empty, since null would be a tombstone. */
  readonly nullValue: boolean;
  readonly ifAbsent: boolean;
  /** The `mq` header it will have, encoded and decoded. */
  readonly mq: Buffer;
  readonly id: MqHeader & { readonly dueMs: number };
}

// [P-8.2] mq-to := version:u8(=1) flags:u8 mq:42 topicLength:u8 topic [partition:u32]
//                  [keyLength:u16 key]

/** *Owned* by the caller. */
export function encodeDelayTarget(target: Omit<DelayTarget, 'id'>): Buffer {
  const topic = Buffer.from(target.topic);
  const { partition, key, mq } = target;
  const head = Buffer.from([VERSION, flagsOf(target)]);
  const parts = [head, mq, Buffer.from([topic.length]), topic];
  if (partition !== undefined) {
    const field = Buffer.allocUnsafe(4);
    field.writeUInt32BE(partition, 0);
    parts.push(field);
  }
  if (key !== undefined) {
    const length = Buffer.allocUnsafe(2);
    length.writeUInt16BE(key.length, 0);
    parts.push(length, key);
  }
  return Buffer.concat(parts);
}

/** @throws ProtocolError when the bytes do not follow the grammar */
export function decodeDelayTarget(bytes: Buffer): DelayTarget {
  const reader = new BodyReader(bytes, MQ_TO_NAME);
  const version = reader.u8('version');
  if (version !== VERSION) {
    throw new ProtocolError(ErrorCode.UNSUPPORTED_VERSION, `${MQ_TO_NAME}: version ${version}`);
  }
  const flags = reader.u8('flags');
  const mq = reader.bytes(MQ_BYTES, 'mq');
  const id = decodeMqHeader(mq);
  if (!isDue(id)) {
    throw new ProtocolError(ErrorCode.MALFORMED, `${MQ_TO_NAME}: no due time`);
  }
  const topic = reader.text(reader.u8('topicLength'), 'topic');
  const partition = (flags & ProduceFlag.PARTITION) === 0 ? undefined : reader.u32('partition');
  const hasKey = (flags & ProduceFlag.KEY) !== 0;
  const key = hasKey ? reader.bytes(reader.u16('keyLength'), 'key') : undefined;
  reader.end();
  const ifAbsent = (flags & TARGET_IF_ABSENT) !== 0;
  const nullValue = (flags & ProduceFlag.NULL_VALUE) !== 0;
  return { topic, partition, key, nullValue, ifAbsent, mq, id };
}

function isDue(id: MqHeader): id is MqHeader & { readonly dueMs: number } {
  return id.dueMs !== undefined;
}

function flagsOf(target: Omit<DelayTarget, 'id'>): number {
  return (
    (target.key === undefined ? 0 : ProduceFlag.KEY) |
    (target.partition === undefined ? 0 : ProduceFlag.PARTITION) |
    (target.nullValue ? ProduceFlag.NULL_VALUE : 0) |
    (target.ifAbsent ? TARGET_IF_ABSENT : 0)
  );
}
