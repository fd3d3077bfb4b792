/** A user header as a test writes it; value null is the null header. */
export interface TestHeader {
  readonly name: Uint8Array;
  readonly value: Uint8Array | null;
}

/** A message as a test writes it. */
export interface TestMessage {
  readonly key?: Uint8Array;
  readonly headers?: readonly TestHeader[];
  readonly partition?: number;
  /** null is the null value. */
  readonly value: Uint8Array | null;
  /** Flag bits beside those that follow from the fields. */
  readonly extraFlags?: number;
}

/** Frame fields of PRODUCE and PRODUCE_BATCH. */
export interface TestFrame {
  readonly topic: number;
  readonly correlationId: number;
  readonly sequence: number;
  readonly replicated?: boolean;
}

const u16 = (n: number): Buffer => {
  const b = Buffer.alloc(2);
  b.writeUInt16BE(n);
  return b;
};
const u32 = (n: number): Buffer => {
  const b = Buffer.alloc(4);
  b.writeUInt32BE(n >>> 0);
  return b;
};
const u48 = (n: number): Buffer => {
  const b = Buffer.alloc(6);
  b.writeUIntBE(n, 0, 6);
  return b;
};

/** headers := (nameLength:u8 name valueLength:u16 value)* */
export function headerBytes(headers: readonly TestHeader[]): Buffer {
  return Buffer.concat(
    headers.flatMap(({ name, value }) => [
      Buffer.of(name.length),
      name,
      u16(value === null ? 0xffff : value.length),
      value ?? Buffer.alloc(0),
    ]),
  );
}

/** Flags and body of a message, the body without sequence. */
export function messageBytes(message: TestMessage): { flags: number; body: Buffer } {
  let flags = message.extraFlags ?? 0;
  const parts: Uint8Array[] = [];
  if (message.partition !== undefined) {
    flags |= 4;
    parts.push(u32(message.partition));
  }
  if (message.key !== undefined) {
    flags |= 1;
    parts.push(u16(message.key.length), message.key);
  }
  if (message.headers !== undefined) {
    flags |= 2;
    const headers = headerBytes(message.headers);
    parts.push(u16(headers.length), headers);
  }
  if (message.value === null) flags |= 8;
  else parts.push(message.value);
  return { flags, body: Buffer.concat(parts) };
}

/** Any frame: the head and a body. */
export function frameBytes(
  opcode: number,
  flags: number,
  head: { topic: number; correlationId: number },
  body: Uint8Array,
): Buffer {
  return Buffer.concat([
    u32(8 + body.length),
    Buffer.of(opcode, flags),
    u16(head.topic),
    u32(head.correlationId),
    body,
  ]);
}

export function produceFrame(frame: TestFrame, message: TestMessage): Buffer {
  const { flags, body } = messageBytes(message);
  const level = frame.replicated ? 0x10 : 0;
  return frameBytes(0x20, flags | level, frame, Buffer.concat([u48(frame.sequence), body]));
}

export function batchFrame(frame: TestFrame, messages: readonly TestMessage[]): Buffer {
  const records = messages.flatMap((message) => {
    const { flags, body } = messageBytes(message);
    return [u32(1 + body.length), Buffer.of(flags), body];
  });
  const body = Buffer.concat([u48(frame.sequence), u16(messages.length), ...records]);
  return frameBytes(0x21, frame.replicated ? 0x10 : 0, frame, body);
}

/** An entry of the ring as a test writes it. */
export interface TestEntry {
  readonly connection: number;
  readonly payload: Uint8Array;
}

/** Where a test's entries lie: scan from `from` to `to`. */
export interface TestRing {
  readonly ring: Uint8Array;
  readonly from: number;
  readonly to: number;
}

/** Lays entries into a fresh ring from position `from` on, with skip marks as the ring has them. */
export function layRing(bytes: number, from: number, entries: readonly TestEntry[]): TestRing {
  const ring = Buffer.from(new SharedArrayBuffer(bytes));
  ring.fill(0xa5);
  let position = from;
  let used = 0;
  for (const { connection, payload } of entries) {
    const need = 16 + Math.ceil(payload.length / 8) * 8;
    if (position + need > bytes) {
      if (bytes - position >= 16) ring.writeUInt32LE(0xffff_ffff, position + 12);
      used += bytes - position;
      position = 0;
    }
    ring.writeUInt32LE(payload.length, position);
    ring.writeUInt32LE(connection, position + 4);
    ring.writeUInt32LE(0, position + 8);
    ring.writeUInt32LE(1, position + 12);
    ring.set(payload, position + 16);
    position = (position + need) % bytes;
    used += need;
    if (used >= bytes) throw new RangeError('the test ring is too small');
  }
  return { ring, from, to: position };
}
