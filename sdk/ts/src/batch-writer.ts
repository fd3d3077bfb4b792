import { DUE_BYTES, type Due } from '../../../protocol/src/due.ts';
import {
  BatchRecordFlag,
  DueFlag,
  FRAME_HEADER_BYTES,
  Opcode,
  ProduceFlag,
} from '../../../protocol/src/generated.ts';
import type { Message } from './message.ts';
import type { OutBuffer } from './out-buffer.ts';

const SEQUENCE_BYTES = 6;
const COUNT_BYTES = 2;
const RECORD_LENGTH_BYTES = 4;
const BATCH_HEAD_BYTES = FRAME_HEADER_BYTES + SEQUENCE_BYTES + COUNT_BYTES;
const COUNT_MAX = 0xffff;
/** Batch frames are closed here, well below any node's limit, so that a node can begin early. */
const BATCH_BYTES_MAX = 64 * 1024;
const TWO_32 = 0x1_0000_0000;

/** Bytes of a message in a frame of its own, the frame's length field not counted. */
export function produceFrameBytes(message: Message): number {
  return FRAME_HEADER_BYTES - 4 + SEQUENCE_BYTES + recordBytes(message) - 1;
}

/**
 * Writes messages as PRODUCE_BATCH frames, one frame for neighbours of one topic and level with
 * rising sequences, and as PRODUCE where a message stands alone.
 *
 * PRODUCE_BATCH body := firstSequence:u48 | count:u16 | record*
 * record := length:u32 | flags:u8 | [partition:u32] [keyLength:u16 key] [headersLength:u16
 *   headers] value
 * PRODUCE body := sequence:u48 | [partition:u32] [keyLength:u16 key] [headersLength:u16 headers]
 *   value
 */
export class BatchWriter {
  private readonly out: OutBuffer;
  private start = -1;
  private topic = 0;
  private flags = 0;
  private count = 0;
  private nextSequence = 0;
  private nextCorrelationId = 0;

  constructor(out: OutBuffer) {
    this.out = out;
  }

  /** Appends a message that has its sequence and correlation id. */
  add(message: Message): void {
    const flags = message.ack === 'replicated' ? ProduceFlag.REPLICATED : 0;
    const bytes = recordBytes(message);
    if (this.start >= 0 && !this.fits(message, flags, bytes)) this.end();
    if (this.start < 0) this.begin(message, flags);
    this.out.reserve(RECORD_LENGTH_BYTES + bytes);
    this.out.end = writeRecord(this.out.bytes, this.out.end, message, bytes);
    this.count++;
    this.nextSequence++;
    this.nextCorrelationId = (message.correlationId + 1) >>> 0;
  }

  /** Closes the frame that is open, if there is one. */
  end(): void {
    const { out, start, count } = this;
    if (start < 0) return;
    this.start = -1;
    const { bytes } = out;
    if (count === 1) {
      const record = start + BATCH_HEAD_BYTES;
      bytes[start + 4] = Opcode.PRODUCE;
      bytes[start + 5] = this.flags | (bytes[record + RECORD_LENGTH_BYTES] as number);
      const from = record + RECORD_LENGTH_BYTES + 1;
      bytes.copyWithin(start + FRAME_HEADER_BYTES + SEQUENCE_BYTES, from, out.end);
      out.end -= COUNT_BYTES + RECORD_LENGTH_BYTES + 1;
    } else {
      bytes.writeUInt16BE(count, start + FRAME_HEADER_BYTES + SEQUENCE_BYTES);
    }
    bytes.writeUInt32BE(out.end - start - 4, start);
  }

  private fits(message: Message, flags: number, bytes: number): boolean {
    return (
      this.topic === message.topic.id &&
      this.flags === flags &&
      this.nextSequence === message.sequence &&
      this.nextCorrelationId === message.correlationId &&
      this.count < COUNT_MAX &&
      this.out.end - this.start + RECORD_LENGTH_BYTES + bytes <= BATCH_BYTES_MAX
    );
  }

  private begin(message: Message, flags: number): void {
    const { out } = this;
    out.reserve(BATCH_HEAD_BYTES);
    const { bytes, end } = out;
    this.start = end;
    this.topic = message.topic.id;
    this.flags = flags;
    this.count = 0;
    this.nextSequence = message.sequence;
    bytes[end + 4] = Opcode.PRODUCE_BATCH;
    bytes[end + 5] = flags;
    bytes.writeUInt16BE(message.topic.id, end + 6);
    bytes.writeUInt32BE(message.correlationId, end + 8);
    bytes.writeUInt16BE(Math.floor(message.sequence / TWO_32), end + FRAME_HEADER_BYTES);
    bytes.writeUInt32BE(message.sequence % TWO_32, end + FRAME_HEADER_BYTES + 2);
    out.end += BATCH_HEAD_BYTES;
  }
}

/** Bytes of a record without its length field. */
function recordBytes(message: Message): number {
  let bytes = 1 + message.valueBytes;
  if (message.due !== null) bytes += DUE_BYTES;
  if (message.partition >= 0) bytes += 4;
  if (message.key !== null) bytes += 2 + message.keyBytes;
  if (message.headers !== null) bytes += 2 + message.headers.length;
  return bytes;
}

function writeRecord(out: Buffer, at: number, message: Message, bytes: number): number {
  let end = out.writeUInt32BE(bytes, at);
  const flagsAt = end++;
  let flags = 0;
  if (message.due !== null) {
    flags |= BatchRecordFlag.DUE;
    end = writeDue(out, end, message.due);
  }
  if (message.partition >= 0) {
    flags |= BatchRecordFlag.PARTITION;
    end = out.writeUInt32BE(message.partition, end);
  }
  if (message.key !== null) {
    flags |= BatchRecordFlag.KEY;
    end = writeBytes(out, out.writeUInt16BE(message.keyBytes, end), message.key, message.keyBytes);
  }
  if (message.headers !== null) {
    flags |= BatchRecordFlag.HEADERS;
    end = out.writeUInt16BE(message.headers.length, end);
    end = writeBytes(out, end, message.headers, message.headers.length);
  }
  if (message.value === null) flags |= BatchRecordFlag.NULL_VALUE;
  else end = writeBytes(out, end, message.value, message.valueBytes);
  out[flagsAt] = flags;
  return end;
}

function writeDue(out: Buffer, at: number, { kind, due, unique, ifAbsent }: Due): number {
  const more = (unique ? DueFlag.UNIQUE : 0) | (ifAbsent ? DueFlag.IF_ABSENT : 0);
  out[at] = kind | more;
  const end = out.writeUInt32BE(Math.floor(due / TWO_32), at + 1);
  return out.writeUInt32BE(due % TWO_32, end);
}

/** Short arrays are copied faster by a loop than by a call. */
const LOOP_BYTES = 32;

function writeBytes(out: Buffer, at: number, bytes: Uint8Array | string, count: number): number {
  if (typeof bytes === 'string') out.write(bytes, at, count, 'utf8');
  else if (count > LOOP_BYTES) out.set(bytes, at);
  else for (let i = 0; i < count; i++) out[at + i] = bytes[i] as number;
  return at + count;
}
