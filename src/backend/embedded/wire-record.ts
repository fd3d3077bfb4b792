import assert from 'node:assert';
import type { PublishRecord } from '../publisher-port.ts';

const HEAD_BYTES = 21;
const ID_BYTES = 16;
const NULL_VALUE = 0xffff_ffff;
const flag = { key: 0x01, headers: 0x02, nullValue: 0x08, id: 0x40 } as const;
/** `mq` as our nodes write it: version 1, at least 34 bytes, the id from the third byte on. */
const mq = { version: 1, bytesMin: 34, idAt: 2 } as const;

// record  := length:u32 offset:u64 timestampMs:u64 flags:u8 [id:16] [keyLength:u32 key]
//            [headersLength:u32 headers] value
// headers := (nameLength:u16 name valueLength:u32 value)*

/** A record to be published, measured: its `mq` header stands as its id. */
export interface MeasuredRecord {
  readonly record: PublishRecord;
  readonly id: Uint8Array | undefined;
  /** What is left of the headers beside the id's, in up to two parts. */
  readonly headers: readonly Uint8Array[];
  readonly headersBytes: number;
  /** Of the whole wire record. */
  readonly bytes: number;
}

/** @throws AssertionError for headers that do not end where they should. */
export function measureRecord(record: PublishRecord): MeasuredRecord {
  const { key, value, headers } = record;
  const found = findId(headers);
  const rest =
    found === undefined
      ? [headers]
      : [headers.subarray(0, found.start), headers.subarray(found.end)];
  const headersBytes = rest.reduce((sum, part) => sum + part.length, 0);
  const bytes =
    HEAD_BYTES +
    (found === undefined ? 0 : ID_BYTES) +
    (key === null ? 0 : 4 + key.length) +
    (headersBytes === 0 ? 0 : 4 + headersBytes) +
    (value?.length ?? 0);
  return { record, id: found?.id, headers: rest, headersBytes, bytes };
}

/** Writes the wire record at `at`, offset and time left 0; returns where it ends. */
export function writeRecord(out: Buffer, at: number, measured: MeasuredRecord): number {
  const { record, id, headers, headersBytes, bytes } = measured;
  const { key, value } = record;
  out.writeUInt32BE(bytes - 4, at);
  out.fill(0, at + 4, at + 20);
  out[at + 20] =
    (key === null ? 0 : flag.key) |
    (headersBytes === 0 ? 0 : flag.headers) |
    (value === null ? flag.nullValue : 0) |
    (id === undefined ? 0 : flag.id);
  let to = at + HEAD_BYTES;
  if (id !== undefined) to = put(out, to, id);
  if (key !== null) to = put(out, out.writeUInt32BE(key.length, to), key);
  if (headersBytes > 0) {
    to = out.writeUInt32BE(headersBytes, to);
    for (const part of headers) to = put(out, to, part);
  }
  return value === null ? to : put(out, to, value);
}

function put(out: Buffer, at: number, bytes: Uint8Array): number {
  out.set(bytes, at);
  return at + bytes.length;
}

interface FoundId {
  readonly start: number;
  readonly end: number;
  readonly id: Uint8Array;
}

function findId(headers: Uint8Array): FoundId | undefined {
  const bytes = Buffer.from(headers.buffer, headers.byteOffset, headers.byteLength);
  let at = 0;
  while (at < bytes.length) {
    const start = at;
    assert(bytes.length - at >= 6, 'headers end inside a header');
    const nameEnd = at + 2 + bytes.readUInt16BE(at);
    assert(nameEnd + 4 <= bytes.length, 'headers end inside a header');
    const length = bytes.readUInt32BE(nameEnd);
    const valueAt = nameEnd + 4;
    at = length === NULL_VALUE ? valueAt : valueAt + length;
    assert(at <= bytes.length, 'headers end inside a header');
    const isId =
      nameEnd - start === 4 &&
      bytes.toString('latin1', start + 2, nameEnd) === 'mq' &&
      length !== NULL_VALUE &&
      length >= mq.bytesMin &&
      bytes[valueAt] === mq.version;
    if (isId) {
      const idAt = valueAt + mq.idAt;
      return { start, end: at, id: bytes.subarray(idAt, idAt + ID_BYTES) };
    }
  }
  return undefined;
}
