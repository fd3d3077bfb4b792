import { TailRecordFlag } from '../../protocol/src/generated.ts';
import type { FetchedRecords } from '../../src/backend/consumer-port.ts';

/** A record for {@link fetched}. */
export interface MadeRecord {
  readonly offset: number;
  /** Hash of its key, 0 for none. */
  readonly key?: number;
  /** The key itself. */
  readonly keyBytes?: Uint8Array | null;
  readonly timestampMs?: number;
  readonly value?: string | Uint8Array;
  /** 16 bytes. */
  readonly id?: Buffer;
}

/** A fetch as a backend gives it, made by hand. */
export function fetched(
  records: readonly MadeRecord[],
  more: Partial<FetchedRecords> = {},
): FetchedRecords {
  const parts = records.map(recordBytes);
  const starts = new Uint32Array(records.length + 1);
  parts.forEach((part, i) => {
    starts[i + 1] = (starts[i] as number) + part.length;
  });
  const next = (records.at(-1)?.offset ?? -1) + 1;
  return {
    topic: 't',
    partition: 0,
    count: records.length,
    records: Buffer.concat(parts),
    starts,
    offsets: Float64Array.from(records, ({ offset }) => offset),
    keyHashes: Uint32Array.from(records, ({ key }) => key ?? 0),
    nextOffset: next,
    endOffset: next,
    ...more,
  };
}

// record := length:u32 offset:u64 timestamp:u64 flags:u8 [id:16] [keyLength:u32 key] value
//           [P-7.3]
function recordBytes({ offset, timestampMs = 0, value = '', id, keyBytes }: MadeRecord): Buffer {
  const head = Buffer.alloc(21);
  const key = Buffer.alloc(keyBytes ? 4 + keyBytes.length : 0);
  if (keyBytes) key.set(keyBytes, key.writeUInt32BE(keyBytes.length, 0));
  const body = Buffer.concat([
    id ?? Buffer.alloc(0),
    key,
    typeof value === 'string' ? Buffer.from(value) : value,
  ]);
  head.writeUInt32BE(17 + body.length, 0);
  head.writeBigUInt64BE(BigInt(offset), 4);
  head.writeBigUInt64BE(BigInt(timestampMs), 12);
  head[20] = (id === undefined ? 0 : 64) | (keyBytes ? TailRecordFlag.KEY : 0);
  return Buffer.concat([head, body]);
}
