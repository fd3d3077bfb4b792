import { decodeFirstLeases, decodeLeases, encodeLeases, type OpenLease } from './open-leases.ts';
import { mapFault, VarintReader, writeVarint } from './varint.ts';

/** Longest metadata of an owner's commit, in characters of base64. */
export const METADATA_CHARS_MAX = 3_000;

/** The same before base64, in bytes. */
export const METADATA_BYTES_MAX = 2_248;

/**
 * The same of a new owner's first commit, which says what it found and beside it who granted that.
 * Kafka takes 4,096 characters by default (`offset.metadata.max.bytes`).
 */
export const CLAIM_BYTES_MAX = 3_000;

/** Longest map that stands in the metadata itself, in bytes. */
export const INLINE_BYTES_MAX = 1_500;

const MARK = 'mq1:';
const VERSION = 1;
const VERSION_GIVEN = 2;
const VERSION_RECORD = 3;
const HEAD_BYTES = 24;
const KIND_INLINE = 0;
const KIND_HEAD = 1;
const NONE = Buffer.alloc(0);
const EPOCH_MAX = 2 ** 48 - 2;

/** Where a record lies in the topic of ack maps. */
export interface MapPlace {
  readonly partition: number;
  readonly offset: number;
}

/** Where a record of leases lies there, and the epoch of the owner who wrote it. */
export interface LeasesPlace extends MapPlace {
  readonly epoch: number;
}

/** What stands beside a committed floor. */
export interface CommitMetadata {
  readonly epoch: number;
  /** First 8 bytes of the SHA-256 of the cluster secret. */
  readonly fingerprint: Buffer;
  /** Owner hash in the tokens of the open leases that say nothing else: 8 bytes. */
  readonly owner: Buffer;
  /** The ack map itself, by `encodeInline`, or the place of its head record. */
  readonly map: Buffer | MapPlace;
  /** Offsets from the floor to behind the last message that was given out; absent: 0. */
  readonly given?: number;
  /** By rising offset; none when they stand in a record. */
  readonly leases: readonly OpenLease[];
  /** The record that they stand in. */
  readonly leasesAt?: LeasesPlace;
}

// metadata := "mq1:" base64(version:u8=1 head (offset-before run-before attempt left)*)
//           | "mq1:" base64(version:u8=2 head given:varint leases)
//           | "mq1:" base64(version:u8=3 head given:varint record)
// record   := partition:varint offset:varint epoch:u48
// head     := kind:u8 epoch:u48 fingerprint:8 owner:8
//               (kind 0: mapBytes:varint map | kind 1: partition:varint offset:varint)
// The first is written without rows. In the third the leases are a record in `__mqproxy.acks`.

/** Undefined when the leases take more room than there is: then they belong in a record. */
export function encodeMetadata(
  metadata: CommitMetadata,
  bytesMax: number = METADATA_BYTES_MAX,
): string | undefined {
  const { map, given = 0, leases, leasesAt } = metadata;
  const bytes = Buffer.allocUnsafe(HEAD_BYTES + INLINE_BYTES_MAX + 64);
  bytes.writeUIntBE(metadata.epoch, 2, 6);
  metadata.fingerprint.copy(bytes, 8, 0, 8);
  metadata.owner.copy(bytes, 16, 0, 8);
  let at = HEAD_BYTES;
  if (Buffer.isBuffer(map)) {
    bytes[1] = KIND_INLINE;
    at = writeVarint(bytes, at, map.length);
    at += map.copy(bytes, at);
  } else {
    bytes[1] = KIND_HEAD;
    at = writePlace(bytes, at, map);
  }
  let rows: Buffer = NONE;
  if (leasesAt !== undefined) {
    bytes[0] = VERSION_RECORD;
    at = writePlace(bytes, writeVarint(bytes, at, given), leasesAt);
    at = bytes.writeUIntBE(leasesAt.epoch, at, 6);
  } else if (given > 0 || leases.length > 0) {
    bytes[0] = VERSION_GIVEN;
    at = writeVarint(bytes, at, given);
    rows = encodeLeases(leases);
  } else bytes[0] = VERSION;
  if (at + rows.length > bytesMax) return undefined;
  return MARK + Buffer.concat([bytes.subarray(0, at), rows]).toString('base64');
}

function writePlace(bytes: Buffer, at: number, { partition, offset }: MapPlace): number {
  return writeVarint(bytes, writeVarint(bytes, at, partition), offset);
}

/**
 * Reads what stands beside a commit; undefined when it is not ours (an operator's reset, a plain
 * consumer): the map is empty then. @throws MALFORMED_MAP when it is ours and damaged
 */
export function decodeMetadata(text: string): CommitMetadata | undefined {
  if (!text.startsWith(MARK)) return undefined;
  const bytes = Buffer.from(text.slice(MARK.length), 'base64');
  const version = bytes[0] ?? 0;
  if (version < VERSION || version > VERSION_RECORD) {
    throw mapFault(`version ${version} of a commit's metadata`);
  }
  if (bytes.length < HEAD_BYTES) throw mapFault("a commit's metadata ends too early");
  const reader = new VarintReader(bytes, HEAD_BYTES);
  const map = readMap(bytes, reader);
  const given = version === VERSION ? 0 : reader.next();
  const rest = version === VERSION_RECORD ? readPlace(bytes, reader) : readLeases(bytes, reader);
  return {
    epoch: epochAt(bytes, 2),
    fingerprint: bytes.subarray(8, 16),
    owner: bytes.subarray(16, 24),
    map,
    ...(given === 0 ? {} : { given }),
    ...rest,
  };
}

function readLeases(bytes: Buffer, reader: VarintReader): Pick<CommitMetadata, 'leases'> {
  const isFirst = bytes[0] === VERSION;
  return { leases: isFirst ? decodeFirstLeases(reader) : decodeLeases(bytes, reader) };
}

function readPlace(bytes: Buffer, reader: VarintReader) {
  const place = { partition: reader.next(), offset: reader.next() };
  if (reader.end - reader.at !== 6) throw mapFault('the place of the leases ends too early');
  return { leases: [], leasesAt: { ...place, epoch: epochAt(bytes, reader.at) } };
}

function epochAt(bytes: Buffer, at: number): number {
  const epoch = bytes.readUIntBE(at, 6);
  if (epoch > EPOCH_MAX) throw mapFault(`epoch ${epoch}`);
  return epoch;
}

function readMap(bytes: Buffer, reader: VarintReader): Buffer | MapPlace {
  if (bytes[1] === KIND_HEAD) return { partition: reader.next(), offset: reader.next() };
  if (bytes[1] !== KIND_INLINE) throw mapFault(`kind ${bytes[1]} of a commit's metadata`);
  const length = reader.next();
  if (length > reader.end - reader.at) throw mapFault("a commit's map ends too early");
  if (length > INLINE_BYTES_MAX) throw mapFault(`${length} bytes in a commit`);
  const map = bytes.subarray(reader.at, reader.at + length);
  reader.at += length;
  return map;
}
