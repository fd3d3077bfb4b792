import { mapFault, VarintReader, writeVarint } from './varint.ts';

/** Longest metadata that is written, in characters of base64. */
export const METADATA_CHARS_MAX = 3_000;

/** The same before base64, in bytes. */
export const METADATA_BYTES_MAX = 2_248;

const MARK = 'mq1:';
const VERSION = 1;
const HEAD_BYTES = 24;
const KIND_INLINE = 0;
const KIND_HEAD = 1;
/** The most that one row of leases takes. */
const ROW_BYTES_MAX = 24;

/** Where a record lies in the topic of ack maps. */
export interface MapPlace {
  readonly partition: number;
  readonly offset: number;
}

/**
 * A lease that is open at a hand-over; with run 0, which no lease has, a message that failed and is
 * not finished.
 */
export interface OpenLease {
  readonly offset: number;
  /** Serial of its run, as in the token. */
  readonly run: number;
  /** Deliveries so far. */
  readonly attempt: number;
  /** What is left of it, or of its wait, at the time of the commit, in ms. */
  readonly leftMs: number;
}

/** What stands beside a committed floor. */
export interface CommitMetadata {
  readonly epoch: number;
  /** First 8 bytes of the SHA-256 of the cluster secret. */
  readonly fingerprint: Buffer;
  /** Owner hash in the tokens of the open leases: 8 bytes. */
  readonly owner: Buffer;
  /** The ack map itself, by `encodeInline`, or the place of its head record. */
  readonly map: Buffer | MapPlace;
  /** By rising offset. */
  readonly leases: readonly OpenLease[];
}

// metadata := "mq1:" base64(version:u8=1 kind:u8 epoch:u48 fingerprint:8 owner:8
//               (kind 0: mapBytes:varint map | kind 1: partition:varint offset:varint)
//               (offset-before:varint run-before:varint attempt:varint left:varint)* )
// offsets and runs of leases are differences to the one before; runs are zigzag; run 0: it failed

/** What does not fit is left out: what failed before leases, the last ones first. */
export function encodeMetadata(metadata: CommitMetadata): string {
  const bytes = Buffer.allocUnsafe(METADATA_BYTES_MAX + 64);
  bytes[0] = VERSION;
  bytes.writeUIntBE(metadata.epoch, 2, 6);
  metadata.fingerprint.copy(bytes, 8, 0, 8);
  metadata.owner.copy(bytes, 16, 0, 8);
  let at = HEAD_BYTES;
  const { map } = metadata;
  if (Buffer.isBuffer(map)) {
    bytes[1] = KIND_INLINE;
    at = writeVarint(bytes, at, map.length);
    at += map.copy(bytes, at);
  } else {
    bytes[1] = KIND_HEAD;
    at = writeVarint(bytes, at, map.partition);
    at = writeVarint(bytes, at, map.offset);
  }
  let offset = 0;
  let run = 0;
  for (const lease of fitting(metadata.leases, METADATA_BYTES_MAX - at)) {
    if (at > METADATA_BYTES_MAX - 32) break;
    at = writeVarint(bytes, at, lease.offset - offset);
    const step = lease.run - run;
    at = writeVarint(bytes, at, step < 0 ? -step * 2 - 1 : step * 2);
    at = writeVarint(bytes, at, lease.attempt);
    at = writeVarint(bytes, at, Math.max(0, Math.round(lease.leftMs)));
    offset = lease.offset;
    run = lease.run;
  }
  return MARK + bytes.toString('base64', 0, at);
}

function fitting(rows: readonly OpenLease[], bytes: number): readonly OpenLease[] {
  if (rows.length * ROW_BYTES_MAX <= bytes) return rows;
  const leases = rows.filter(({ run }) => run !== 0).length;
  if (leases === 0) return rows;
  let left = Math.floor(bytes / ROW_BYTES_MAX) - leases;
  return rows.filter(({ run }) => run !== 0 || left-- > 0);
}

/**
 * Reads what stands beside a commit; undefined when it is not ours (an operator's reset, a plain
 * consumer): the map is empty then. @throws MALFORMED_MAP when it is ours and damaged
 */
export function decodeMetadata(text: string): CommitMetadata | undefined {
  if (!text.startsWith(MARK)) return undefined;
  const bytes = Buffer.from(text.slice(MARK.length), 'base64');
  if (bytes[0] !== VERSION) throw mapFault(`version ${bytes[0]} of a commit's metadata`);
  if (bytes.length < HEAD_BYTES) throw mapFault("a commit's metadata ends too early");
  const reader = new VarintReader(bytes, HEAD_BYTES);
  const map = readMap(bytes, reader);
  const leases: OpenLease[] = [];
  let offset = 0;
  let run = 0;
  while (reader.at < reader.end) {
    offset += reader.next();
    const step = reader.next();
    run += step % 2 === 1 ? -(step + 1) / 2 : step / 2;
    leases.push({ offset, run, attempt: reader.next(), leftMs: reader.next() });
  }
  return {
    epoch: bytes.readUIntBE(2, 6),
    fingerprint: bytes.subarray(8, 16),
    owner: bytes.subarray(16, 24),
    map,
    leases,
  };
}

function readMap(bytes: Buffer, reader: VarintReader): Buffer | MapPlace {
  if (bytes[1] === KIND_HEAD) return { partition: reader.next(), offset: reader.next() };
  if (bytes[1] !== KIND_INLINE) throw mapFault(`kind ${bytes[1]} of a commit's metadata`);
  const length = reader.next();
  if (length > reader.end - reader.at) throw mapFault("a commit's map ends too early");
  const map = bytes.subarray(reader.at, reader.at + length);
  reader.at += length;
  return map;
}
