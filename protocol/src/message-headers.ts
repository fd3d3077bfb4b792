import { BodyReader } from './body-reader.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ErrorCode } from './generated.ts';
import { malformed, ProtocolError } from './protocol-error.ts';

/** One header of a message; a null value is not an empty one. Names may repeat; order is kept. */
export interface MessageHeader {
  readonly name: string;
  readonly value: Uint8Array | null;
}

const NULL_16 = 0xffff;
const NULL_32 = 0xffff_ffff;

// [P-6.3] headers := header*   header := nameLength:u8 (1–255) name valueLength:u16 value
//         valueLength 0xFFFF = null, so a value has at most 65,534 bytes

/** Bytes that {@link writeHeaders} will write. */
export function headersBytes(headers: readonly MessageHeader[]): number {
  let bytes = 0;
  for (const header of headers) {
    bytes += 3 + Buffer.byteLength(header.name) + (header.value?.length ?? 0);
  }
  return bytes;
}

/** @throws ProtocolError INVALID_ARGUMENT for a name's length, MESSAGE_TOO_LARGE for a value's */
export function writeHeaders(writer: FrameWriter, headers: readonly MessageHeader[]): void {
  for (const header of headers) {
    const nameBytes = Buffer.byteLength(header.name);
    if (nameBytes < 1 || nameBytes > 255) {
      throw new ProtocolError(ErrorCode.INVALID_ARGUMENT, "a header's name has 1 to 255 bytes");
    }
    if (header.value !== null && header.value.length >= NULL_16) {
      throw new ProtocolError(
        ErrorCode.MESSAGE_TOO_LARGE,
        "a header's value has at most 65,534 bytes",
      );
    }
    writer.u8(nameBytes);
    writer.utf8(header.name);
    writer.u16(header.value === null ? NULL_16 : header.value.length);
    if (header.value !== null) writer.bytes(header.value);
  }
}

/** Values are borrowed from `bytes`. @throws ProtocolError MALFORMED */
export function readHeaders(bytes: Buffer): MessageHeader[] {
  const reader = new BodyReader(bytes, 'headers');
  const headers: MessageHeader[] = [];
  while (reader.left > 0) {
    const nameBytes = reader.u8('nameLength');
    if (nameBytes === 0) throw malformed('headers: a name is empty');
    const name = reader.text(nameBytes, 'name');
    const valueBytes = reader.u16('valueLength');
    headers.push({
      name,
      value: valueBytes === NULL_16 ? null : reader.bytes(valueBytes, 'value'),
    });
  }
  return headers;
}

// [P-7.4] tail-headers := (nameLength:u16 name valueLength:u32 value)*
//         valueLength 0xFFFFFFFF = null

export function writeTailHeaders(writer: FrameWriter, headers: readonly MessageHeader[]): void {
  for (const header of headers) {
    writer.u16(Buffer.byteLength(header.name));
    writer.utf8(header.name);
    writer.u32(header.value === null ? NULL_32 : header.value.length);
    if (header.value !== null) writer.bytes(header.value);
  }
}

/** The bytes of {@link writeTailHeaders} alone, *owned* by the caller. */
export function encodeTailHeaders(headers: readonly MessageHeader[]): Buffer {
  let length = 0;
  for (const { name, value } of headers)
    length += 6 + Buffer.byteLength(name) + (value?.length ?? 0);
  const bytes = Buffer.allocUnsafe(length);
  let at = 0;
  for (const { name, value } of headers) {
    const nameAt = at + 2;
    at = bytes.writeUInt16BE(Buffer.byteLength(name), at);
    at = nameAt + bytes.write(name, nameAt);
    at = bytes.writeUInt32BE(value === null ? NULL_32 : value.length, at);
    if (value === null) continue;
    bytes.set(value, at);
    at += value.length;
  }
  return bytes;
}

/**
 * Values are borrowed from `bytes`. A name that is not UTF-8 (another program wrote it) is read
 * with replacement characters. @throws ProtocolError MALFORMED
 */
export function readTailHeaders(bytes: Buffer): MessageHeader[] {
  const reader = new BodyReader(bytes, 'headers');
  const headers: MessageHeader[] = [];
  while (reader.left > 0) {
    const name = reader.bytes(reader.u16('nameLength'), 'name').toString('utf8');
    const valueBytes = reader.u32('valueLength');
    headers.push({
      name,
      value: valueBytes === NULL_32 ? null : reader.bytes(valueBytes, 'value'),
    });
  }
  return headers;
}
