import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { writeHeaders } from '../../../protocol/src/message-headers.ts';
import { MqpError } from './errors.ts';
import type { TopicHandle } from './message.ts';
import { Message } from './message.ts';
import { dueOf } from './scheduled.ts';
import type { AckLevel, HeaderInput, MessageInput } from './types.ts';

const U16_MAX = 0xffff;
const U32_MAX = 0xffff_ffff;
const headerWriter = new FrameWriter();

/** @throws MqpError INVALID_ARGUMENT, MESSAGE_TOO_LARGE; ProtocolError for a header */
export function messageOf(topic: TopicHandle, input: MessageInput, ack: AckLevel): Message {
  const { value } = input;
  const key = input.key ?? null;
  const keyBytes = bytesOf(key, 'key');
  if (keyBytes > U16_MAX) throw tooLarge(`a key has at most ${U16_MAX} bytes`);
  const partition = input.partition ?? -1;
  const isNamed = input.partition !== undefined;
  if (isNamed && (!Number.isInteger(partition) || partition < 0 || partition > U32_MAX)) {
    throw new MqpError('INVALID_ARGUMENT', 'partition is an integer from 0');
  }
  const headers =
    input.headers === undefined || input.headers.length === 0 ? null : headersOf(input.headers);
  const valueBytes = bytesOf(value, 'value');
  const due = dueOf(input);
  return new Message({ topic, value, valueBytes, key, keyBytes, headers, partition, ack, due });
}

function bytesOf(value: Uint8Array | string | null, what: string): number {
  if (value === null) return 0;
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (value instanceof Uint8Array) return value.length;
  throw new MqpError('INVALID_ARGUMENT', `${what} is a string, a Uint8Array or null`);
}

function headersOf(headers: readonly HeaderInput[]): Uint8Array {
  headerWriter.reset();
  const encoded = headers.map(([name, value]) => ({
    name,
    value: typeof value === 'string' ? Buffer.from(value) : value,
  }));
  writeHeaders(headerWriter, encoded);
  const bytes = Buffer.from(headerWriter.view());
  if (bytes.length > U16_MAX) throw tooLarge(`headers have at most ${U16_MAX} bytes`);
  return bytes;
}

function tooLarge(message: string): MqpError {
  return new MqpError('MESSAGE_TOO_LARGE', message);
}
