import { coded } from '../base/errors.ts';

/**
 * CRC32C with a seed: `crc(b, crc(a))` is the CRC of `a` followed by `b`; the seed of an empty
 * start is 0. The addon's `crc32c` has this shape.
 */
export type Crc32c = (bytes: Uint8Array, seed?: number) => number;

/** Set in {@link BatchSegment.flags}: the session declared itself unordered. */
export const SEGMENT_UNORDERED = 1;
/** Set in {@link BatchSegment.flags}: the client asked for `replicated`. */
export const SEGMENT_REPLICATED = 2;

/** Set in {@link BatchSegment.flags}: the node's own records, which have no producer. */
export const SEGMENT_OWN = 4;

/**
 * Set in {@link BatchSegment.flags}, with `count` 0: the producer's sequences up to `firstSequence`
 * that were not accepted were refused for good, and the session goes on behind them.
 */
export const SEGMENT_PASSED = 8;

/** The producer id that no client has: HELLO gives another one to whoever sends it. */
export const NOBODY = 0n;

/** Consecutive accepted messages of one producer. */
export interface BatchSegment {
  readonly producerId: bigint;
  /** u16. */
  readonly epoch: number;
  /** `SEGMENT_…` bits. */
  readonly flags: number;
  /** Messages, from 1; 0 with {@link SEGMENT_PASSED}. */
  readonly count: number;
  /** The producer's own sequence of the first message. */
  readonly firstSequence: number;
}

/** A node topic id and what it meant when the batch was written. */
export interface BatchTopic {
  readonly id: number;
  readonly name: string;
}

/** Where messages of the batch went in the embedded log. */
export interface BatchChunk {
  readonly topicId: number;
  readonly partition: number;
  readonly baseOffset: number;
  readonly messages: number;
  /** Length of the chunk's records. */
  readonly bytes: number;
  readonly recordsCrc: number;
}

/** A decoded batch header. */
export interface BatchHeader {
  readonly crc: number;
  readonly previousCrc: number;
  readonly messages: number;
  /** The lane's sequence of the first message. */
  readonly firstSequence: number;
  readonly acceptedMs: number;
  /** 0: nothing was kept to be sent (the embedded log, or already confirmed at a relane). */
  readonly payloadBytes: number;
  readonly payloadCrc: number;
  readonly segments: readonly BatchSegment[];
  readonly topics: readonly BatchTopic[];
  readonly chunks: readonly BatchChunk[];
}

/** What {@link BatchHeaderBuilder.finish} adds to the segments and topics. */
export interface HeaderSeal {
  readonly previousCrc: number;
  readonly firstSequence: number;
  readonly payloadBytes: number;
  readonly payloadCrc: number;
}

const MAGIC = 0x3142514d; // 'MQB1', little-endian
const FIXED_BYTES = 48;
const SEGMENT_BYTES = 24;
const CHUNK_BYTES = 28;
const CRC_FROM = 8;

// header := magic:u32 crc:u32 previousCrc:u32 messages:u32 firstSequence:u64 acceptedMs:u64
//           payloadBytes:u32 payloadCrc:u32 segmentCount:u32 topicCount:u32
//           segment{segmentCount} topic{topicCount} chunkCount:u32 chunk{chunkCount}
// segment := producerId:u64 epoch:u16 flags:u16 count:u32 firstSequence:u64
// topic   := id:u16 nameLength:u16 name
// chunk   := topicId:u32 partition:u32 baseOffset:u64 messages:u32 bytes:u32 recordsCrc:u32
// All little-endian. crc is over everything after it, seeded with previousCrc.

/**
 * Collects what a micro-batch's header says. One per lane, used again for every batch:
 * `reset`, then `addSegment` in the order of the accepted messages, `addTopic` once per topic.
 * The store adds sequence, payload and chain when the batch is appended.
 */
export class BatchHeaderBuilder {
  #segments = Buffer.alloc(64 * SEGMENT_BYTES);
  #view = new DataView(this.#segments.buffer, this.#segments.byteOffset);
  #segmentCount = 0;
  #messages = 0;
  #acceptedMs = 0;
  #topics: BatchTopic[] = [];
  #chunks: BatchChunk[] = [];
  #out = Buffer.alloc(4096);

  /** Messages of all segments. */
  get messages(): number {
    return this.#messages;
  }

  get acceptedMs(): number {
    return this.#acceptedMs;
  }

  /** Forgets what was collected. `acceptedMs` is the wall clock at which the batch was accepted. */
  reset(acceptedMs: number): void {
    this.#segmentCount = 0;
    this.#messages = 0;
    this.#acceptedMs = acceptedMs;
    this.#topics = [];
    this.#chunks = [];
  }

  addSegment(segment: BatchSegment): void {
    const at = this.#segmentCount * SEGMENT_BYTES;
    if (at + SEGMENT_BYTES > this.#segments.length) {
      const grown = Buffer.alloc(this.#segments.length * 2);
      this.#segments.copy(grown);
      this.#segments = grown;
      this.#view = new DataView(grown.buffer, grown.byteOffset);
    }
    const out = this.#segments;
    // Not `writeBigUInt64LE`: that makes two numbers on the heap for each call.
    this.#view.setBigUint64(at, segment.producerId, true);
    out.writeUInt16LE(segment.epoch, at + 8);
    out.writeUInt16LE(segment.flags, at + 10);
    out.writeUInt32LE(segment.count, at + 12);
    writeU64(out, segment.firstSequence, at + 16);
    this.#segmentCount++;
    this.#messages += segment.count;
  }

  /** A message that nobody sent and nothing keeps: for a header that needs a sequence. */
  addNobody(firstSequence: number): void {
    const flags = SEGMENT_UNORDERED;
    this.addSegment({ producerId: NOBODY, epoch: 0, flags, count: 1, firstSequence });
  }

  addTopic(topic: BatchTopic): void {
    this.#topics.push(topic);
  }

  /** For the store: names a chunk that is written together with the batch. */
  addChunk(chunk: BatchChunk): void {
    this.#chunks.push(chunk);
  }

  /** The encoded header; *borrowed until the next `finish`*. */
  finish(seal: HeaderSeal, crc32c: Crc32c): Buffer {
    const out = this.#room();
    out.writeUInt32LE(MAGIC, 0);
    out.writeUInt32LE(seal.previousCrc, 8);
    out.writeUInt32LE(this.#messages, 12);
    writeU64(out, seal.firstSequence, 16);
    writeU64(out, this.#acceptedMs, 24);
    out.writeUInt32LE(seal.payloadBytes, 32);
    out.writeUInt32LE(seal.payloadCrc, 36);
    out.writeUInt32LE(this.#segmentCount, 40);
    out.writeUInt32LE(this.#topics.length, 44);
    let at = FIXED_BYTES;
    at += this.#segments.copy(out, at, 0, this.#segmentCount * SEGMENT_BYTES);
    for (const topic of this.#topics) {
      out.writeUInt16LE(topic.id, at);
      const nameLength = out.write(topic.name, at + 4);
      out.writeUInt16LE(nameLength, at + 2);
      at += 4 + nameLength;
    }
    out.writeUInt32LE(this.#chunks.length, at);
    at += 4;
    for (const chunk of this.#chunks) at = writeChunk(out, chunk, at);
    const crc = crc32c(out.subarray(CRC_FROM, at), seal.previousCrc);
    out.writeUInt32LE(crc, 4);
    return out.subarray(0, at);
  }

  #room(): Buffer {
    let bytes = FIXED_BYTES + this.#segmentCount * SEGMENT_BYTES + 4;
    for (const topic of this.#topics) bytes += 4 + topic.name.length * 3;
    bytes += this.#chunks.length * CHUNK_BYTES;
    if (bytes > this.#out.length) this.#out = Buffer.alloc(bytes * 2);
    return this.#out;
  }
}

/** The CRC that an encoded header carries, without a check. */
export function headerCrc(bytes: Buffer): number {
  return bytes.readUInt32LE(4);
}

/**
 * Decodes a header and checks its own CRC; whether it is the right link of the chain is the
 * caller's to compare. Throws `STORE_CORRUPT`.
 */
export function decodeBatchHeader(bytes: Buffer, crc32c: Crc32c): BatchHeader {
  if (bytes.length < FIXED_BYTES + 4 || bytes.readUInt32LE(0) !== MAGIC) {
    const words = `expected a batch header, found ${bytes.length} bytes that do not begin as one`;
    throw coded('STORE_CORRUPT', words);
  }
  const crc = bytes.readUInt32LE(4);
  const previousCrc = bytes.readUInt32LE(8);
  const found = crc32c(bytes.subarray(CRC_FROM), previousCrc);
  if (found !== crc) {
    const words = `expected a batch header with the CRC ${hex(crc)}, found ${hex(found)}`;
    throw coded('STORE_CORRUPT', words);
  }
  const segmentCount = bytes.readUInt32LE(40);
  const topicCount = bytes.readUInt32LE(44);
  const segments: BatchSegment[] = [];
  let at = FIXED_BYTES;
  for (let i = 0; i < segmentCount; i++, at += SEGMENT_BYTES) {
    segments.push({
      producerId: bytes.readBigUInt64LE(at),
      epoch: bytes.readUInt16LE(at + 8),
      flags: bytes.readUInt16LE(at + 10),
      count: bytes.readUInt32LE(at + 12),
      firstSequence: readU64(bytes, at + 16),
    });
  }
  const topics: BatchTopic[] = [];
  for (let i = 0; i < topicCount; i++) {
    const end = at + 4 + bytes.readUInt16LE(at + 2);
    topics.push({ id: bytes.readUInt16LE(at), name: bytes.toString('utf8', at + 4, end) });
    at = end;
  }
  const chunks: BatchChunk[] = [];
  const chunkCount = bytes.readUInt32LE(at);
  at += 4;
  for (let i = 0; i < chunkCount; i++, at += CHUNK_BYTES) chunks.push(readChunk(bytes, at));
  return {
    crc,
    previousCrc,
    messages: bytes.readUInt32LE(12),
    firstSequence: readU64(bytes, 16),
    acceptedMs: readU64(bytes, 24),
    payloadBytes: bytes.readUInt32LE(32),
    payloadCrc: bytes.readUInt32LE(36),
    segments,
    topics,
    chunks,
  };
}

/** A u32 as messages show it. */
export function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, '0')}`;
}

function writeChunk(out: Buffer, chunk: BatchChunk, at: number): number {
  out.writeUInt32LE(chunk.topicId, at);
  out.writeUInt32LE(chunk.partition, at + 4);
  writeU64(out, chunk.baseOffset, at + 8);
  out.writeUInt32LE(chunk.messages, at + 16);
  out.writeUInt32LE(chunk.bytes, at + 20);
  out.writeUInt32LE(chunk.recordsCrc, at + 24);
  return at + CHUNK_BYTES;
}

function readChunk(bytes: Buffer, at: number): BatchChunk {
  return {
    topicId: bytes.readUInt32LE(at),
    partition: bytes.readUInt32LE(at + 4),
    baseOffset: readU64(bytes, at + 8),
    messages: bytes.readUInt32LE(at + 16),
    bytes: bytes.readUInt32LE(at + 20),
    recordsCrc: bytes.readUInt32LE(at + 24),
  };
}

// Sequences, offsets and times stay below 2^53, so two u32 halves spare a bigint.
function writeU64(out: Buffer, value: number, at: number): void {
  out.writeUInt32LE(value % 0x1_0000_0000, at);
  out.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}

function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at + 4) * 0x1_0000_0000 + bytes.readUInt32LE(at);
}
