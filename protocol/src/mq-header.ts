import { BodyReader } from './body-reader.ts';
import { checkFlags } from './frame.ts';
import { ErrorCode, MQ_HEADER_FLAGS, MqHeaderFlag } from './generated.ts';
import type { MessageId } from './message-id.ts';
import { malformed, ProtocolError } from './protocol-error.ts';

/** The one record header that a node adds in Kafka. */
export const MQ_HEADER_NAME = 'mq';
const VERSION = 1;
const BYTES = 34;

/** What the `mq` header says. Times are unix milliseconds. */
export interface MqHeader extends MessageId {
  /** Node that accepted the message. */
  readonly originNode: bigint;
  readonly acceptedMs: number;
  readonly dueMs?: number;
}

// [P-8.1] mq := version:u8(=1) flags:u8 producerId:u64 epoch:u16 sequence:u48 originNode:u64
//               acceptedMs:u64 [dueMs:u64 when DUE]
//         34 or 42 bytes; at most 48 in any version

/** *Owned* by the caller. */
export function encodeMqHeader(header: MqHeader): Buffer {
  const bytes = Buffer.allocUnsafe(header.dueMs === undefined ? BYTES : BYTES + 8);
  bytes[0] = VERSION;
  bytes[1] = header.dueMs === undefined ? 0 : MqHeaderFlag.DUE;
  let at = bytes.writeBigUInt64BE(header.producerId, 2);
  at = bytes.writeUInt16BE(header.epoch, at);
  at = bytes.writeUIntBE(header.sequence, at, 6);
  at = bytes.writeBigUInt64BE(header.originNode, at);
  at = bytes.writeBigUInt64BE(BigInt(header.acceptedMs), at);
  if (header.dueMs !== undefined) bytes.writeBigUInt64BE(BigInt(header.dueMs), at);
  return bytes;
}

/**
 * @throws ProtocolError when the bytes are not ours; a reader then takes the header for a foreign
 * one that happens to have this name.
 */
export function decodeMqHeader(bytes: Buffer): MqHeader {
  const reader = new BodyReader(bytes, 'mq header');
  const version = reader.u8('version');
  if (version !== VERSION) {
    throw new ProtocolError(ErrorCode.UNSUPPORTED_VERSION, `mq header: version ${version}`);
  }
  const flags = reader.u8('flags');
  checkFlags(flags, MQ_HEADER_FLAGS, 'mq header');
  const header = {
    producerId: reader.id64('producerId'),
    epoch: reader.u16('epoch'),
    sequence: reader.u48('sequence'),
    originNode: reader.id64('originNode'),
    acceptedMs: reader.u64('acceptedMs'),
    ...((flags & MqHeaderFlag.DUE) === 0 ? {} : { dueMs: reader.u64('dueMs') }),
  };
  reader.end();
  if (header.sequence === 0) throw malformed('mq header: sequence 0');
  return header;
}
