import assert from 'node:assert';
import { BodyReader } from './body-reader.ts';
import { DUE_BYTES, type Due, readDue, writeDue } from './due.ts';
import type { Frame } from './frame.ts';
import { checkFlags } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import {
  BATCH_RECORD_FLAGS,
  ErrorCode,
  Opcode,
  PRODUCE_BATCH_FLAGS,
  PRODUCE_FLAGS,
  PROTOCOL_LIMIT,
  ProduceFlag,
} from './generated.ts';
import type { MessageHeader } from './message-headers.ts';
import { headersBytes, readHeaders, writeHeaders } from './message-headers.ts';
import { malformed, ProtocolError } from './protocol-error.ts';

/** A message to produce. Strings are sent as UTF-8. */
export interface ProduceMessage {
  /** Absent: chosen from the key, or by the node. */
  readonly partition?: number;
  readonly key?: Uint8Array | string;
  readonly headers?: readonly MessageHeader[];
  readonly value: Uint8Array | string | null;
  /** When it is to be delivered; absent: now. */
  readonly due?: Due;
}

/** What PRODUCE and PRODUCE_BATCH say of their message, or of the first of them. */
export interface ProduceHead {
  readonly topic: number;
  readonly correlationId: number;
  /** 1 to 2^48 − 1. */
  readonly sequence: number;
  /** Answer when replicated, not when stored. */
  readonly replicated: boolean;
}

/** A decoded message; bytes are borrowed from the frame. */
export interface DecodedMessage {
  readonly partition: number | undefined;
  readonly key: Buffer | undefined;
  readonly headers: readonly MessageHeader[];
  readonly value: Buffer | null;
  readonly due: Due | undefined;
}

const U16_MAX = 0xffff;

// [P-6.1] produce := sequence:u48 message   flags: KEY HEADERS PARTITION NULL_VALUE REPLICATED DUE
//         message := [dueKind:u8 due:u64] [partition:u32] [keyLength:u16 key]
//                    [headersLength:u16 headers] value
//         value := the rest of the frame or record

/**
 * Writes one PRODUCE frame; nothing of it stays in the writer when it throws.
 * @throws ProtocolError MESSAGE_TOO_LARGE when key or headers exceed what a u16 can say
 */
export function encodeProduce(
  writer: FrameWriter,
  head: ProduceHead,
  message: ProduceMessage,
): void {
  const flags = messageFlags(message) | (head.replicated ? ProduceFlag.REPLICATED : 0);
  writer.begin(Opcode.PRODUCE, flags, head.topic, head.correlationId);
  try {
    writer.u48(checkSequence(head.sequence));
    writeMessage(writer, message);
  } catch (error) {
    writer.cancel();
    throw error;
  }
  writer.end();
}

/** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED */
export function decodeProduce(frame: Frame): ProduceHead & DecodedMessage {
  checkFlags(frame.flags, PRODUCE_FLAGS, 'PRODUCE');
  const reader = new BodyReader(frame.body, 'PRODUCE');
  const head = readHead(frame, reader);
  return { ...head, ...readMessage(reader, frame.flags, 'PRODUCE') };
}

// [P-6.2] produce-batch := firstSequence:u48 count:u16 (≥ 1) record{count}    flags: REPLICATED
//         record := length:u32 flags:u8 (KEY HEADERS PARTITION NULL_VALUE DUE) message
//         length counts what follows it

/**
 * Writes messages `from` to `to` (excluded) as one PRODUCE_BATCH: 1 to 65,535 of them. The i-th
 * takes sequence and correlation id of `head` + i. Nothing of it stays when it throws.
 */
export function encodeProduceBatch(
  writer: FrameWriter,
  head: ProduceHead,
  messages: readonly ProduceMessage[],
  from = 0,
  to = messages.length,
): void {
  assert(
    to > from && to - from <= PROTOCOL_LIMIT.batchMessagesMax,
    'a batch has 1 to 65,535 messages',
  );
  const flags = head.replicated ? ProduceFlag.REPLICATED : 0;
  writer.begin(Opcode.PRODUCE_BATCH, flags, head.topic, head.correlationId);
  try {
    writer.u48(checkSequence(head.sequence));
    checkSequence(head.sequence + to - from - 1);
    writer.u16(to - from);
    for (let i = from; i < to; i++) {
      const message = messages[i] as ProduceMessage;
      const lengthAt = writer.length;
      writer.u32(0);
      writer.u8(messageFlags(message));
      writeMessage(writer, message);
      writer.patchU32(lengthAt, writer.length - lengthAt - 4);
    }
  } catch (error) {
    writer.cancel();
    throw error;
  }
  writer.end();
}

/** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED */
export function decodeProduceBatch(
  frame: Frame,
): ProduceHead & { readonly messages: readonly DecodedMessage[] } {
  const what = 'PRODUCE_BATCH';
  checkFlags(frame.flags, PRODUCE_BATCH_FLAGS, what);
  const reader = new BodyReader(frame.body, what);
  const head = readHead(frame, reader);
  const count = reader.u16('count');
  if (count === 0) throw malformed(`${what}: count is 0`);
  if (head.sequence + count - 1 > PROTOCOL_LIMIT.sequenceMax)
    throw malformed(`${what}: the sequences end`);
  const messages: DecodedMessage[] = [];
  for (let i = 0; i < count; i++) {
    const record = new BodyReader(
      reader.bytes(reader.u32('length'), 'record'),
      `${what} record ${i}`,
    );
    const flags = record.u8('flags');
    checkFlags(flags, BATCH_RECORD_FLAGS, `${what} record ${i}`);
    messages.push(readMessage(record, flags, what));
  }
  reader.end();
  return { ...head, messages };
}

/** Bytes of the message in a frame: due time, partition, key, headers, value and their lengths. */
export function messageFieldBytes(message: ProduceMessage): number {
  return (
    (message.due === undefined ? 0 : DUE_BYTES) +
    (message.partition === undefined ? 0 : 4) +
    (message.key === undefined ? 0 : 2 + byteLength(message.key)) +
    (message.headers === undefined || message.headers.length === 0
      ? 0
      : 2 + headersBytes(message.headers)) +
    (message.value === null ? 0 : byteLength(message.value))
  );
}

/** Bytes that `limits.messageBytesMax` counts: key + encoded headers + value. */
export function messageBytes(message: ProduceMessage): number {
  return (
    (message.key === undefined ? 0 : byteLength(message.key)) +
    (message.headers === undefined ? 0 : headersBytes(message.headers)) +
    (message.value === null ? 0 : byteLength(message.value))
  );
}

/** Bytes before the message in PRODUCE (header and sequence), and in a record of PRODUCE_BATCH. */
export const PRODUCE_HEAD_BYTES = 18;
export const BATCH_HEAD_BYTES = 20;
export const BATCH_RECORD_HEAD_BYTES = 5;

function byteLength(value: Uint8Array | string): number {
  return typeof value === 'string' ? Buffer.byteLength(value) : value.length;
}

function messageFlags(message: ProduceMessage): number {
  return (
    (message.key === undefined ? 0 : ProduceFlag.KEY) |
    (message.headers === undefined || message.headers.length === 0 ? 0 : ProduceFlag.HEADERS) |
    (message.partition === undefined ? 0 : ProduceFlag.PARTITION) |
    (message.value === null ? ProduceFlag.NULL_VALUE : 0) |
    (message.due === undefined ? 0 : ProduceFlag.DUE)
  );
}

function checkSequence(sequence: number): number {
  assert(
    Number.isInteger(sequence) && sequence >= 1 && sequence <= PROTOCOL_LIMIT.sequenceMax,
    'a sequence is 1 to 2^48 - 1',
  );
  return sequence;
}

function writeMessage(writer: FrameWriter, message: ProduceMessage): void {
  const { partition, key, headers, value, due } = message;
  if (due !== undefined) writeDue(writer, due);
  if (partition !== undefined) writer.u32(partition);
  if (key !== undefined) {
    const lengthAt = writer.length;
    writer.u16(0);
    writeValue(writer, key);
    writer.patchU16(lengthAt, checkU16(writer.length - lengthAt - 2, 'key'));
  }
  if (headers !== undefined && headers.length > 0) {
    const lengthAt = writer.length;
    writer.u16(0);
    writeHeaders(writer, headers);
    writer.patchU16(lengthAt, checkU16(writer.length - lengthAt - 2, 'headers'));
  }
  if (value !== null) writeValue(writer, value);
}

function writeValue(writer: FrameWriter, value: Uint8Array | string): void {
  if (typeof value === 'string') writer.utf8(value);
  else writer.bytes(value);
}

function checkU16(bytes: number, what: string): number {
  if (bytes > U16_MAX) {
    throw new ProtocolError(
      ErrorCode.MESSAGE_TOO_LARGE,
      `${what} of ${bytes} bytes: at most ${U16_MAX} can be sent`,
    );
  }
  return bytes;
}

function readHead(frame: Frame, reader: BodyReader): ProduceHead {
  const sequence = reader.u48('sequence');
  if (sequence === 0) throw malformed('sequences begin at 1');
  return {
    topic: frame.topic,
    correlationId: frame.correlationId,
    sequence,
    replicated: (frame.flags & ProduceFlag.REPLICATED) !== 0,
  };
}

function readMessage(reader: BodyReader, flags: number, what: string): DecodedMessage {
  const due = (flags & ProduceFlag.DUE) === 0 ? undefined : readDue(reader);
  const partition = (flags & ProduceFlag.PARTITION) === 0 ? undefined : reader.u32('partition');
  const key =
    (flags & ProduceFlag.KEY) === 0 ? undefined : reader.bytes(reader.u16('keyLength'), 'key');
  const headers =
    (flags & ProduceFlag.HEADERS) === 0
      ? []
      : readHeaders(reader.bytes(reader.u16('headersLength'), 'headers'));
  const value = reader.rest();
  if ((flags & ProduceFlag.NULL_VALUE) === 0) return { partition, key, headers, value, due };
  if (value.length > 0) throw malformed(`${what}: bytes follow though the value is null`);
  return { partition, key, headers, value: null, due };
}
