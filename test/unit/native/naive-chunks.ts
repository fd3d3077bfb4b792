import { naiveParts } from './naive-batch.ts';

/** An accepted message with all that decides over its place. */
export interface ChunkMessage {
  readonly ordinal: number;
  /** Number of its segment in the scan. */
  readonly segment: number;
  readonly connection: number;
  readonly topic: number;
  readonly flags: number;
  readonly body: Buffer;
  /** Its 16 bytes of id, sequence included. */
  readonly id: Buffer;
}

/** What the chunks are built from, beside the messages. */
export interface ChunkWorld {
  /** Next offsets of each topic's partitions. */
  readonly offsets: ReadonlyMap<number, readonly number[]>;
  readonly sticky: number;
  readonly timestampMs: number;
}

/** A chunk as the twin sees it. */
export interface NaiveChunk {
  readonly topic: number;
  readonly partition: number;
  readonly baseOffset: number;
  readonly records: Buffer[];
}

/** murmur2 written after its description, on BigInt, for comparison only. */
function murmur2(key: Uint8Array): number {
  const mask = 0xffff_ffffn;
  const m = 0x5bd1e995n;
  let h = 0x9747b28cn ^ BigInt(key.length);
  const whole = key.length - (key.length % 4);
  for (let i = 0; i < whole; i += 4) {
    let k = BigInt(Buffer.from(key).readUInt32LE(i));
    k = (k * m) & mask;
    k ^= k >> 24n;
    k = (k * m) & mask;
    h = ((h * m) & mask) ^ k;
  }
  if (key.length > whole) {
    for (let i = whole; i < key.length; i += 1) h ^= BigInt(key[i] ?? 0) << BigInt(8 * (i - whole));
    h = (h * m) & mask;
  }
  h ^= h >> 13n;
  h = (h * m) & mask;
  h ^= h >> 15n;
  return Number(h);
}

const be = (value: number, bytes: number): Buffer => {
  const b = Buffer.alloc(bytes);
  if (bytes === 8) b.writeBigUInt64BE(BigInt(value));
  else b.writeUIntBE(value, 0, bytes);
  return b;
};

/** One TAIL wire record. */
function recordOf(message: ChunkMessage, offset: number, timestampMs: number): Buffer {
  const { flags, body, id } = message;
  const { key, headers, value } = naiveParts(flags, body);
  const parts: Uint8Array[] = [be(offset, 8), be(timestampMs, 8), be((flags & 0x0b) | 0x40, 1), id];
  if (key !== undefined) parts.push(be(key.length, 4), key);
  if (headers !== undefined) {
    const bytes = Buffer.concat(
      headers.flatMap((header) => [
        be(header.name.length, 2),
        header.name,
        be(header.value?.length ?? 0xffff_ffff, 4),
        header.value ?? Buffer.alloc(0),
      ]),
    );
    parts.push(be(bytes.length, 4), bytes);
  }
  parts.push(value ?? Buffer.alloc(0));
  const rest = Buffer.concat(parts);
  return Buffer.concat([be(rest.length, 4), rest]);
}

/** The partition a message goes to. */
function partitionOfMessage(message: ChunkMessage, world: ChunkWorld, partitions: number): number {
  const { partition, key } = naiveParts(message.flags, message.body);
  if (partition !== undefined) return partition;
  if (key !== undefined) return (murmur2(key) & 0x7fff_ffff) % partitions;
  return ((world.sticky + message.connection) % 2 ** 32) % partitions;
}

/** The chunks in the order of first use, and the rows of `places`. */
export function naiveChunks(
  messages: readonly ChunkMessage[],
  world: ChunkWorld,
): { chunks: NaiveChunk[]; places: number[][] } {
  const chunks = new Map<string, NaiveChunk>();
  const places: number[][] = [];
  let last: { message: ChunkMessage; chunk: NaiveChunk } | undefined;
  for (const message of messages) {
    const offsets = world.offsets.get(message.topic) ?? [];
    const partition = partitionOfMessage(message, world, offsets.length);
    const name = `${message.topic}/${partition}`;
    const chunk = chunks.get(name) ?? {
      topic: message.topic,
      partition,
      baseOffset: offsets[partition] as number,
      records: [],
    };
    chunks.set(name, chunk);
    const offset = chunk.baseOffset + chunk.records.length;
    chunk.records.push(recordOf(message, offset, world.timestampMs));
    const row = places.at(-1);
    const joins =
      last?.chunk === chunk &&
      last.message.segment === message.segment &&
      last.message.ordinal + 1 === message.ordinal;
    if (row !== undefined && joins) row[1] = (row[1] as number) + 1;
    else places.push([message.ordinal, 1, partition, offset]);
    last = { message, chunk };
  }
  return { chunks: [...chunks.values()], places };
}
