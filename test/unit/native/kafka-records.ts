export interface TailRecord {
  offset: number;
  timestampMs: number;
  id?: { producer: bigint; epoch: number; sequence: number };
  key?: string;
  headers?: [name: string, value: string | null][];
  value: Buffer | null;
}

/** Decodes TAIL records, by hand. */
export function tailRecords(bytes: Buffer): TailRecord[] {
  const records: TailRecord[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32BE(at);
    records.push(record(bytes.subarray(at + 4, end)));
    at = end;
  }
  return records;
}

function record(bytes: Buffer): TailRecord {
  const flags = bytes.readUInt8(16);
  let at = 17;
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  const decoded: TailRecord = {
    offset: Number(bytes.readBigUInt64BE(0)),
    timestampMs: Number(bytes.readBigUInt64BE(8)),
    value: null,
  };
  if (flags & 0x40) {
    const id = take(16);
    decoded.id = {
      producer: id.readBigUInt64BE(0),
      epoch: id.readUInt16BE(8),
      sequence: id.readUIntBE(10, 6),
    };
  }
  if (flags & 1) decoded.key = take(take(4).readUInt32BE()).toString();
  if (flags & 2) decoded.headers = headers(take(take(4).readUInt32BE()));
  if (!(flags & 8)) decoded.value = bytes.subarray(at);
  return decoded;
}

function headers(bytes: Buffer): [string, string | null][] {
  const found: [string, string | null][] = [];
  for (let at = 0; at < bytes.length; ) {
    const name = bytes.subarray(at + 2, at + 2 + bytes.readUInt16BE(at)).toString();
    at += 2 + Buffer.byteLength(name);
    const length = bytes.readUInt32BE(at);
    at += 4;
    if (length === 0xffffffff) {
      found.push([name, null]);
    } else {
      found.push([name, bytes.subarray(at, at + length).toString()]);
      at += length;
    }
  }
  return found;
}
