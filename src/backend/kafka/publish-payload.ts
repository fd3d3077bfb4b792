import type { PublishRecord } from '../publisher-port.ts';

const HEAD_BYTES = 8;
const flag = { key: 0x01, headers: 0x02, partition: 0x04, nullValue: 0x08, wide: 0x80 } as const;

// record := bodyLength:u32le topic:u16le flags:u8 reserved:u8 body
// body   := [partition:u32] [keyLength:u32 key] [headersLength:u32 headers] value   (flag WIDE)

/** Bytes of a record in a native producer's payload. */
export function payloadBytes({ partition, key, value, headers }: PublishRecord): number {
  return (
    HEAD_BYTES +
    (partition === undefined ? 0 : 4) +
    (key === null ? 0 : 4 + key.length) +
    (headers.length === 0 ? 0 : 4 + headers.length) +
    (value?.length ?? 0)
  );
}

/** A native producer's payload; `topics` are its ids of the records' topics. *Owned*. */
export function encodePayload(
  records: readonly PublishRecord[],
  topics: ArrayLike<number>,
): Buffer {
  let bytes = 0;
  for (const record of records) bytes += payloadBytes(record);
  const out = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const [i, record] of records.entries()) {
    const { partition, key, value, headers } = record;
    out.writeUInt32LE(payloadBytes(record) - HEAD_BYTES, at);
    out.writeUInt16LE(topics[i] as number, at + 4);
    out[at + 6] =
      flag.wide |
      (partition === undefined ? 0 : flag.partition) |
      (key === null ? 0 : flag.key) |
      (headers.length === 0 ? 0 : flag.headers) |
      (value === null ? flag.nullValue : 0);
    out[at + 7] = 0;
    at += HEAD_BYTES;
    if (partition !== undefined) at = out.writeUInt32BE(partition, at);
    if (key !== null) at = put(out, out.writeUInt32BE(key.length, at), key);
    if (headers.length > 0) at = put(out, out.writeUInt32BE(headers.length, at), headers);
    if (value !== null) at = put(out, at, value);
  }
  return out;
}

function put(out: Buffer, at: number, bytes: Uint8Array): number {
  out.set(bytes, at);
  return at + bytes.length;
}
