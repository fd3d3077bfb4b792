import { ErrorCode } from './generated.ts';
import { decodeMap, encodeMap } from './map-body.ts';
import { integerField, stringField } from './map-fields.ts';
import type { MessageId } from './message-id.ts';
import { malformed, ProtocolError } from './protocol-error.ts';

/** The record header that makes a record a dead letter; it stands beside `mq`. */
export const DEAD_HEADER_NAME = 'mq-dead';

/** Why a message was given up: refused for good, refused too often, or its leases ran out. */
export type DeadCause = 'dead' | 'nack' | 'expiry';

/** What the `mq-dead` header says. Times are unix milliseconds. */
export interface DeadHeader {
  /** The group that could not handle the message. */
  readonly group: string;
  /** What ended its last delivery. */
  readonly cause: DeadCause;
  /** What the consumer said, cut to 1,024 bytes; empty after an expiry. */
  readonly reason: string;
  /** Deliveries, the last one included. */
  readonly attempts: number;
  /** Where the message was: 0 primary or embedded, 1 backup. */
  readonly cluster: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** The timestamp it had there. */
  readonly timestampMs: number;
  /** The id it had; undefined for a record that no node wrote. */
  readonly id: MessageId | undefined;
  readonly firstFailureMs: number;
  readonly lastFailureMs: number;
  /** Equal for reasons that differ only in numbers, ids and quoted words; 16 hex digits. */
  readonly fingerprint: string;
}

const VERSION = 1;
const ID_BYTES = 16;
const causes: readonly string[] = ['dead', 'nack', 'expiry'];

// [P-8.3] mq-dead := map { version (= 1), group, cause, reason, attempts, cluster, topic,
//                          partition, offset, timestampMs, firstFailureMs, lastFailureMs,
//                          fingerprint, id?: binary(16) }
//         id := producerId:u64 epoch:u16 sequence:u48

/** *Owned* by the caller. */
export function encodeDeadHeader(header: DeadHeader): Buffer {
  const { id, ...rest } = header;
  if (id === undefined) return encodeMap({ version: VERSION, ...rest });
  const bytes = Buffer.allocUnsafe(ID_BYTES);
  bytes.writeBigUInt64BE(id.producerId, 0);
  bytes.writeUInt16BE(id.epoch, 8);
  bytes.writeUIntBE(id.sequence, 10, 6);
  return encodeMap({ version: VERSION, ...rest, id: bytes });
}

/**
 * Unknown keys are ignored, since a newer node may say more.
 * @throws ProtocolError when the bytes are not ours
 */
export function decodeDeadHeader(bytes: Buffer): DeadHeader {
  const map = decodeMap(bytes, 'mq-dead header');
  const version = integerField(map, 'version', 1);
  if (version !== VERSION) {
    throw new ProtocolError(ErrorCode.UNSUPPORTED_VERSION, `mq-dead header: version ${version}`);
  }
  const cause = stringField(map, 'cause');
  if (!causes.includes(cause)) throw malformed(`mq-dead header: cause ${cause}`);
  return {
    group: stringField(map, 'group'),
    cause: cause as DeadCause,
    reason: stringField(map, 'reason'),
    attempts: integerField(map, 'attempts'),
    cluster: integerField(map, 'cluster'),
    topic: stringField(map, 'topic'),
    partition: integerField(map, 'partition'),
    offset: integerField(map, 'offset'),
    timestampMs: integerField(map, 'timestampMs'),
    id: idOf(map['id']),
    firstFailureMs: integerField(map, 'firstFailureMs'),
    lastFailureMs: integerField(map, 'lastFailureMs'),
    fingerprint: stringField(map, 'fingerprint'),
  };
}

function idOf(value: unknown): MessageId | undefined {
  if (value === undefined || value === null) return undefined;
  if (!(value instanceof Uint8Array) || value.length !== ID_BYTES) {
    throw malformed('mq-dead header: id is 16 bytes');
  }
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.length);
  return {
    producerId: bytes.readBigUInt64BE(0),
    epoch: bytes.readUInt16BE(8),
    sequence: bytes.readUIntBE(10, 6),
  };
}
