/** One message of a test's outbox payload. */
export interface TestMessage {
  topic: number;
  partition?: number;
  key?: string;
  headers?: [name: string, value: string | null][];
  value: Uint8Array | string | null;
}

/**
 * Encodes messages as the outbox keeps them, by hand, so that the addon's encoder is not tested
 * against itself.
 */
export function outboxPayload(messages: readonly TestMessage[]): Buffer {
  return Buffer.concat(messages.map(record));
}

/** Ids of segments: producer id, epoch 1, first sequence. */
export function segmentIds(...segments: { producer: bigint; first: number }[]): Buffer {
  const bytes = Buffer.alloc(segments.length * 16);
  segments.forEach(({ producer, first }, i) => {
    bytes.writeBigUInt64BE(producer, i * 16);
    bytes.writeUInt16BE(1, i * 16 + 8);
    bytes.writeUIntBE(first, i * 16 + 10, 6);
  });
  return bytes;
}

function record(message: TestMessage): Buffer {
  const parts: Buffer[] = [];
  let flags = 0;
  if (message.partition !== undefined) {
    flags |= 4;
    parts.push(u32be(message.partition));
  }
  if (message.key !== undefined) {
    flags |= 1;
    const key = Buffer.from(message.key);
    parts.push(u16be(key.length), key);
  }
  if (message.headers !== undefined) {
    flags |= 2;
    const headers = Buffer.concat(message.headers.map(header));
    parts.push(u16be(headers.length), headers);
  }
  if (message.value === null) flags |= 8;
  else parts.push(Buffer.from(message.value));
  const body = Buffer.concat(parts);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(body.length, 0);
  head.writeUInt16LE(message.topic, 4);
  head[6] = flags;
  return Buffer.concat([head, body]);
}

function header([name, value]: [string, string | null]): Buffer {
  const bytes = Buffer.from(name);
  const head = Buffer.concat([Buffer.from([bytes.length]), bytes]);
  if (value === null) return Buffer.concat([head, u16be(0xffff)]);
  return Buffer.concat([head, u16be(Buffer.byteLength(value)), Buffer.from(value)]);
}

function u16be(n: number): Buffer {
  const bytes = Buffer.alloc(2);
  bytes.writeUInt16BE(n);
  return bytes;
}

function u32be(n: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(n);
  return bytes;
}
