import { coded } from '../base/errors.ts';
import { type Crc32c, hex } from './batch-header.ts';
import type { KeyRange, KeyValueOp } from './key-value-store.ts';

// key := 'h' sequence:u64            batch header
//      | 'b' sequence:u64            outbox payload
//      | 'f' | 'f' chunk:u64         floor; sparse confirmed map
//      | 'k'                         anchor: where the chain of headers begins
//      | 'w' window key              producer windows
//      | 'u' sequence:u64            undeliverable
//      | 'q' length:u8 topic sequence:u64    parked, by topic in order
//      | 'c' place                   chunk of the embedded log
//      | 'd' place                   its index entry
//      | 'p' topicId:u32 partition:u32
//      | 'o' group topic partition   commit of a consumer group (group-offsets.ts)
// place := topicId:u32 partition:u32 baseOffset:u64        (all big-endian: ordered bytewise)

export const FLOOR_KEY = Buffer.from('f');
export const ANCHOR_KEY = Buffer.from('k');
export const CHUNK_KIND = 'c';

const SEQUENCE_KEY_BYTES = 9;

export function headerKey(sequence: number): Buffer {
  return sequenceKey('h', sequence);
}

export function payloadKey(sequence: number): Buffer {
  return sequenceKey('b', sequence);
}

export function confirmedChunkKey(chunk: number): Buffer {
  return sequenceKey('f', chunk);
}

export function undeliverableKey(sequence: number): Buffer {
  return sequenceKey('u', sequence);
}

/** Topic names are ASCII and at most 249 bytes. */
export function parkedKey(topic: string, sequence: number): Buffer {
  const key = Buffer.allocUnsafe(10 + topic.length);
  key.write('q', 0, 'latin1');
  key.writeUInt8(topic.length, 1);
  key.write(topic, 2, 'latin1');
  writeU64(key, sequence, 2 + topic.length);
  return key;
}

/** The parked messages of a topic from a sequence on. */
export function parkedRange(topic: string, from: number): KeyRange {
  return { from: parkedKey(topic, from), to: parkedKey(topic, Number.MAX_SAFE_INTEGER) };
}

export function windowKey(key: Buffer): Buffer {
  return Buffer.concat([Buffer.from('w'), key]);
}

/** Key of a chunk (`c`) or of its index entry (`d`). */
export function placeKey(kind: 'c' | 'd', place: Place): Buffer {
  const key = Buffer.allocUnsafe(17);
  key.write(kind, 0, 'latin1');
  key.writeUInt32BE(place.topicId, 1);
  key.writeUInt32BE(place.partition, 5);
  writeU64(key, place.baseOffset, 9);
  return key;
}

/** Where a chunk lies. */
export interface Place {
  readonly topicId: number;
  readonly partition: number;
  readonly baseOffset: number;
}

export function placeOfKey(key: Buffer): Place {
  return {
    topicId: key.readUInt32BE(1),
    partition: key.readUInt32BE(5),
    baseOffset: readU64(key, 9),
  };
}

export function partitionKey(topicId: number, partition: number): Buffer {
  return placeKey('d', { topicId, partition, baseOffset: 0 }).fill('p', 0, 1).subarray(0, 9);
}

/** The sequence (or chunk number) in a key of 9 bytes. */
export function sequenceOfKey(key: Buffer): number {
  return readU64(key, 1);
}

/** All keys of a kind that carry something after the letter. */
export function kindRange(kind: string): KeyRange {
  const letter = kind.charCodeAt(0);
  return { from: Buffer.from([letter, 0]), to: Buffer.from([letter + 1]) };
}

/** A value with a CRC over key and body before it, so that it cannot pass for another's. */
export function sealed(key: Buffer, body: Buffer, crc32c: Crc32c): KeyValueOp {
  const value = Buffer.allocUnsafe(4 + body.length);
  value.writeUInt32LE(crc32c(body, crc32c(key)), 0);
  body.copy(value, 4);
  return { key, value };
}

/** The body of a sealed value. Throws `STORE_CORRUPT`. */
export function unsealed(key: Buffer, value: Buffer, crc32c: Crc32c): Buffer {
  const body = value.subarray(4);
  const expected = value.length < 4 ? 0 : value.readUInt32LE(0);
  const found = crc32c(body, crc32c(key));
  if (value.length < 4 || found !== expected) {
    const name = `${key.toString('latin1', 0, 1)} ${key.toString('hex', 1)}`;
    throw coded(
      'STORE_CORRUPT',
      `expected the record "${name}" with the CRC ${hex(expected)}, found ${hex(found)}`,
    );
  }
  return body;
}

/** Numbers of 8 bytes big-endian, as one buffer. Each below 2^53. */
export function packU64(...values: number[]): Buffer {
  const out = Buffer.allocUnsafe(values.length * 8);
  for (const [i, value] of values.entries()) writeU64(out, value, i * 8);
  return out;
}

export function writeU64(out: Buffer, value: number, at: number): void {
  out.writeUInt32BE(Math.floor(value / 0x1_0000_0000), at);
  out.writeUInt32BE(value % 0x1_0000_0000, at + 4);
}

export function readU64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * 0x1_0000_0000 + bytes.readUInt32BE(at + 4);
}

function sequenceKey(kind: string, sequence: number): Buffer {
  const key = Buffer.allocUnsafe(SEQUENCE_KEY_BYTES);
  key.write(kind, 0, 'latin1');
  writeU64(key, sequence, 1);
  return key;
}
