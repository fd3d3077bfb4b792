import { mapFault, VarintReader, writeVarint } from './varint.ts';

/** Longest metadata that is written, in characters of base64. */
export const METADATA_CHARS_MAX = 3_000;

/** The same before base64, in bytes. */
export const METADATA_BYTES_MAX = 2_248;

/** Longest map that stands in the metadata itself, in bytes. */
export const INLINE_BYTES_MAX = 1_500;

const MARK = 'mq1:';
const VERSION = 1;
const VERSION_GIVEN = 2;
/** Owners before whose leases are named; those of further ones are left out. */
const OWNERS_MAX = 16;
const OWNER_BYTES = 14;
const HEAD_BYTES = 24;
const KIND_INLINE = 0;
const KIND_HEAD = 1;
const EPOCH_MAX = 2 ** 48 - 2;
const RUN_MAX = 2 ** 32 - 1;
const LEFT_MS_MAX = 2 ** 31 - 1;
/** The most that one row of leases takes. */
const ROW_BYTES_MAX = 25;

/** Who granted a lease, as its token says it. */
export interface LeaseOwner {
  /** Owner hash: 8 bytes. */
  readonly owner: Buffer;
  readonly epoch: number;
}

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
  /** Absent: the owner of the commit, in its epoch. */
  readonly by?: LeaseOwner;
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
  /** By rising offset. */
  readonly leases: readonly OpenLease[];
}

// metadata := "mq1:" base64(version:u8=1 kind:u8 epoch:u48 fingerprint:8 owner:8
//               (kind 0: mapBytes:varint map | kind 1: partition:varint offset:varint)
//               (offset-before:varint run-before:varint attempt:varint left:varint)* )
//           | the same with version:u8=2, given:varint owners:varint (owner:8 epoch:u48)* before
//               the rows, and by:varint behind each: 0 the commit's owner, n the n-th of these
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
  const { given = 0 } = metadata;
  const owners = ownersOf(metadata.leases);
  const isFirst = given === 0 && owners.length === 0;
  if (!isFirst) {
    bytes[0] = VERSION_GIVEN;
    at = writeVarint(bytes, at, given);
    at = writeVarint(bytes, at, owners.length);
    for (const { owner, epoch } of owners) {
      owner.copy(bytes, at, 0, 8);
      at = bytes.writeUIntBE(epoch, at + 8, 6);
    }
  }
  let offset = 0;
  let run = 0;
  for (const lease of fitting(metadata.leases, METADATA_BYTES_MAX - at)) {
    const by = lease.by === undefined ? 0 : 1 + indexOf(owners, lease.by);
    if (by === 0 && lease.by !== undefined) continue;
    if (at > METADATA_BYTES_MAX - 32) break;
    at = writeVarint(bytes, at, lease.offset - offset);
    const step = lease.run - run;
    at = writeVarint(bytes, at, step < 0 ? -step * 2 - 1 : step * 2);
    at = writeVarint(bytes, at, lease.attempt);
    at = writeVarint(bytes, at, Math.max(0, Math.round(lease.leftMs)));
    if (!isFirst) at = writeVarint(bytes, at, by);
    offset = lease.offset;
    run = lease.run;
  }
  return MARK + bytes.toString('base64', 0, at);
}

/** Others that granted leases: the first of them, since one lease holds back a hand-over too. */
function ownersOf(leases: readonly OpenLease[]): LeaseOwner[] {
  const owners: LeaseOwner[] = [];
  for (const { by } of leases) {
    if (owners.length === OWNERS_MAX) break;
    if (by !== undefined && indexOf(owners, by) < 0) owners.push(by);
  }
  return owners;
}

function indexOf(owners: readonly LeaseOwner[], { owner, epoch }: LeaseOwner): number {
  return owners.findIndex((one) => one.epoch === epoch && one.owner.equals(owner));
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
  const isFirst = bytes[0] === VERSION;
  if (!isFirst && bytes[0] !== VERSION_GIVEN)
    throw mapFault(`version ${bytes[0]} of a commit's metadata`);
  if (bytes.length < HEAD_BYTES) throw mapFault("a commit's metadata ends too early");
  const reader = new VarintReader(bytes, HEAD_BYTES);
  const map = readMap(bytes, reader);
  const given = isFirst ? 0 : reader.next();
  const owners = isFirst ? [] : readOwners(bytes, reader);
  const leases: OpenLease[] = [];
  let offset = 0;
  let run = 0;
  while (reader.at < reader.end) {
    offset += reader.next();
    const step = reader.next();
    run += step % 2 === 1 ? -(step + 1) / 2 : step / 2;
    const lease = { offset, run, attempt: reader.next(), leftMs: reader.next() };
    if (!Number.isSafeInteger(offset) || run < 0 || run > RUN_MAX || lease.leftMs > LEFT_MS_MAX) {
      throw mapFault(`lease ${offset}, run ${run}, ${lease.leftMs} ms`);
    }
    const by = isFirst ? 0 : reader.next();
    if (by > owners.length) throw mapFault(`owner ${by} of a lease`);
    leases.push(by === 0 ? lease : { ...lease, by: owners[by - 1] as LeaseOwner });
  }
  const epoch = bytes.readUIntBE(2, 6);
  if (epoch > EPOCH_MAX) throw mapFault(`epoch ${epoch}`);
  return {
    epoch,
    fingerprint: bytes.subarray(8, 16),
    owner: bytes.subarray(16, 24),
    map,
    ...(given === 0 ? {} : { given }),
    leases,
  };
}

function readOwners(bytes: Buffer, reader: VarintReader): LeaseOwner[] {
  const count = reader.next();
  if (count > OWNERS_MAX) throw mapFault(`${count} owners`);
  if (count * OWNER_BYTES > reader.end - reader.at) throw mapFault('the owners end too early');
  return Array.from({ length: count }, () => {
    const { at } = reader;
    reader.at += OWNER_BYTES;
    return { owner: bytes.subarray(at, at + 8), epoch: bytes.readUIntBE(at + 8, 6) };
  });
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
