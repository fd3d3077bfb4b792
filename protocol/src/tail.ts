import { BodyReader } from './body-reader.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, ErrorCode, Opcode, TailFrom, TailRecordFlag } from './generated.ts';
import type { MessageHeader } from './message-headers.ts';
import { writeTailHeaders } from './message-headers.ts';
import type { MessageId } from './message-id.ts';
import { ProtocolError } from './protocol-error.ts';

/** A long poll for the messages of one partition. */
export interface TailRequest {
  readonly topic: number;
  readonly partition: number;
  readonly from: number;
  /** An offset, or unix milliseconds for TIME; 0 otherwise. */
  readonly position: number;
  /** Wanted at most; a single larger record may come alone. */
  readonly bytesMax: number;
  /** How long to wait when there is nothing. */
  readonly waitMs: number;
}

/** What an answer says before its records. */
export interface TailHead {
  readonly partition: number;
  /** First offset still held. */
  readonly startOffset: number;
  /** Offset that the next message will take. */
  readonly endOffset: number;
  /** Where to go on: `from` OFFSET with this position. */
  readonly nextOffset: number;
  readonly count: number;
}

/** A record to write. */
export interface TailRecord {
  readonly offset: number;
  readonly timestampMs: number;
  readonly id?: MessageId;
  readonly key?: Uint8Array;
  readonly headers?: readonly MessageHeader[];
  readonly value: Uint8Array | null;
}

// [P-7.1] tail := partition:u32 from:u8 position:u64 bytesMax:u32 waitMs:u32
//         topic in the header

export function encodeTail(writer: FrameWriter, correlationId: number, request: TailRequest): void {
  writer.begin(Opcode.TAIL, 0, request.topic, correlationId);
  writer.u32(request.partition);
  writer.u8(request.from);
  writer.u64(request.position);
  writer.u32(request.bytesMax);
  writer.u32(request.waitMs);
  writer.end();
}

/** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED, INVALID_ARGUMENT */
export function decodeTail(frame: Frame): TailRequest {
  checkFlags(frame.flags, 0, 'TAIL');
  const reader = new BodyReader(frame.body, 'TAIL');
  const request = {
    topic: frame.topic,
    partition: reader.u32('partition'),
    from: reader.u8('from'),
    position: reader.u64('position'),
    bytesMax: reader.u32('bytesMax'),
    waitMs: reader.u32('waitMs'),
  };
  reader.end();
  if (request.from > TailFrom.TIME) {
    throw new ProtocolError(
      ErrorCode.INVALID_ARGUMENT,
      'from is 0 offset, 1 beginning, 2 end or 3 time',
    );
  }
  return request;
}

// [P-7.2] answer := partition:u32 startOffset:u64 endOffset:u64 nextOffset:u64 count:u32
//                   record{count}
// [P-7.3] record := length:u32 offset:u64 timestampMs:u64 flags:u8 (KEY HEADERS NULL_VALUE ID)
//                   [producerId:u64 epoch:u16 sequence:u48] [keyLength:u32 key]
//                   [headersLength:u32 headers] value; length counts what follows it

/** What an answer's length counts beside its records, in bytes. */
export const TAIL_ANSWER_BYTES = 8 + 4 + 8 + 8 + 8 + 4;

/** Begins an answer; then its records, encoded here or already, then `writer.end()`. */
export function beginTailAnswer(writer: FrameWriter, correlationId: number, head: TailHead): void {
  writer.begin(Opcode.TAIL | ANSWER, 0, 0, correlationId);
  writer.u32(head.partition);
  writer.u64(head.startOffset);
  writer.u64(head.endOffset);
  writer.u64(head.nextOffset);
  writer.u32(head.count);
}

export function writeTailRecord(writer: FrameWriter, record: TailRecord): void {
  const { id, key, value } = record;
  const headers =
    record.headers !== undefined && record.headers.length > 0 ? record.headers : undefined;
  const lengthAt = writer.length;
  writer.u32(0);
  writer.u64(record.offset);
  writer.u64(record.timestampMs);
  writer.u8(
    (key === undefined ? 0 : TailRecordFlag.KEY) |
      (headers === undefined ? 0 : TailRecordFlag.HEADERS) |
      (value === null ? TailRecordFlag.NULL_VALUE : 0) |
      (id === undefined ? 0 : TailRecordFlag.ID),
  );
  if (id !== undefined) {
    writer.id64(id.producerId);
    writer.u16(id.epoch);
    writer.u48(id.sequence);
  }
  if (key !== undefined) {
    writer.u32(key.length);
    writer.bytes(key);
  }
  if (headers !== undefined) {
    const headersAt = writer.length;
    writer.u32(0);
    writeTailHeaders(writer, headers);
    writer.patchU32(headersAt, writer.length - headersAt - 4);
  }
  if (value !== null) writer.bytes(value);
  writer.patchU32(lengthAt, writer.length - lengthAt - 4);
}
