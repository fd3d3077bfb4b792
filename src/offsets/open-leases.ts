import { mapFault, VarintReader, writeVarint } from './varint.ts';

/** Owners before whose leases are named; those of further ones are left out. */
const OWNERS_MAX = 16;
/** What one owner takes, in bytes. */
const OWNER_BYTES = 14;
/** The most that one row takes, in bytes. */
const ROW_BYTES_MAX = 25;
const RUN_MAX = 2 ** 32 - 1;
const LEFT_MS_MAX = 2 ** 31 - 1;
const RECORD_VERSION = 1;
/** Longest record, in bytes: Kafka's clients send none above 1,000,000 by default. */
export const LEASE_RECORD_BYTES_MAX = 900_000;

/** Who granted a lease, as its token says it. */
export interface LeaseOwner {
  /** Owner hash: 8 bytes. */
  readonly owner: Buffer;
  readonly epoch: number;
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
  /** Absent: the owner who commits or writes it, in its epoch. */
  readonly by?: LeaseOwner;
}

// leases := owners:varint (owner:8 epoch:u48)* row*
// row    := offset-before:varint run-before:varint attempt:varint left:varint by:varint
//           by 0: who writes this, n: the n-th owner. Offsets and runs are differences to the row
//           before; runs are zigzag; run 0: it failed
// record := version:u8=1 owner:8 epoch:u48 leases       owner and epoch of who writes it

/** Rows by rising offset; *owned* by the caller. */
export function encodeLeases(leases: readonly OpenLease[]): Buffer {
  const owners = ownersOf(leases);
  const bytes = Buffer.allocUnsafe(8 + OWNER_BYTES * OWNERS_MAX + ROW_BYTES_MAX * leases.length);
  let at = writeVarint(bytes, 0, owners.length);
  for (const one of owners) at = writeOwner(bytes, at, one);
  let offset = 0;
  let run = 0;
  for (const lease of leases) {
    const by = lease.by === undefined ? 0 : 1 + indexOf(owners, lease.by);
    if (by === 0 && lease.by !== undefined) continue;
    at = writeVarint(bytes, at, lease.offset - offset);
    const step = lease.run - run;
    at = writeVarint(bytes, at, step < 0 ? -step * 2 - 1 : step * 2);
    at = writeVarint(bytes, at, lease.attempt);
    at = writeVarint(bytes, at, Math.max(0, Math.round(lease.leftMs)));
    at = writeVarint(bytes, at, by);
    offset = lease.offset;
    run = lease.run;
  }
  return bytes.subarray(0, at);
}

/** Reads the rest of `bytes`. @throws MALFORMED_MAP */
export function decodeLeases(bytes: Buffer, reader: VarintReader): OpenLease[] {
  return readRows(reader, readOwners(bytes, reader));
}

/** Rows without owners, as commits of the first format have them. @throws MALFORMED_MAP */
export function decodeFirstLeases(reader: VarintReader): OpenLease[] {
  return readRows(reader, undefined);
}

/**
 * The leases that a commit has no room for, as a record of their own; *owned* by the caller. Beyond
 * {@link LEASE_RECORD_BYTES_MAX} what only failed is left out, then the last leases.
 */
export function encodeLeaseRecord(by: LeaseOwner, leases: readonly OpenLease[]): Buffer {
  let body = encodeLeases(leases);
  const room = LEASE_RECORD_BYTES_MAX - 1 - OWNER_BYTES;
  if (body.length > room) {
    const named = leases.filter(({ run }) => run !== 0);
    // As many as fit by what a row takes in the mean are not certain to: the longest do.
    const fitting = Math.floor((room - OWNER_BYTES * OWNERS_MAX - 8) / ROW_BYTES_MAX);
    const all = encodeLeases(named);
    body = all.length <= room ? all : encodeLeases(named.slice(0, fitting));
  }
  const bytes = Buffer.allocUnsafe(1 + OWNER_BYTES + body.length);
  bytes[0] = RECORD_VERSION;
  body.copy(bytes, writeOwner(bytes, 1, by));
  return bytes;
}

/** Who wrote a record, and the leases in it: each says who granted it. @throws MALFORMED_MAP */
export function decodeLeaseRecord(bytes: Buffer): { by: LeaseOwner; leases: OpenLease[] } {
  if (bytes[0] !== RECORD_VERSION) throw mapFault(`version ${bytes[0]} of a record of leases`);
  if (bytes.length < 1 + OWNER_BYTES) throw mapFault('a record of leases ends too early');
  const by = readOwner(bytes, 1);
  const rows = decodeLeases(bytes, new VarintReader(bytes, 1 + OWNER_BYTES));
  return { by, leases: grantedBy(by, rows) };
}

/** Leases that go on under the tokens of who granted them, whoever names them next. */
export function grantedBy(by: LeaseOwner, rows: readonly OpenLease[]): OpenLease[] {
  return rows.map((row) => (row.run === 0 ? row : { by, ...row }));
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

function writeOwner(bytes: Buffer, at: number, { owner, epoch }: LeaseOwner): number {
  owner.copy(bytes, at, 0, 8);
  return bytes.writeUIntBE(epoch, at + 8, 6);
}

function readOwner(bytes: Buffer, at: number): LeaseOwner {
  return { owner: bytes.subarray(at, at + 8), epoch: bytes.readUIntBE(at + 8, 6) };
}

function readOwners(bytes: Buffer, reader: VarintReader): LeaseOwner[] {
  const count = reader.next();
  if (count > OWNERS_MAX) throw mapFault(`${count} owners`);
  if (count * OWNER_BYTES > reader.end - reader.at) throw mapFault('the owners end too early');
  return Array.from({ length: count }, () => {
    const { at } = reader;
    reader.at += OWNER_BYTES;
    return readOwner(bytes, at);
  });
}

function readRows(reader: VarintReader, owners: readonly LeaseOwner[] | undefined): OpenLease[] {
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
    const by = owners === undefined ? 0 : reader.next();
    if (by === 0) leases.push(lease);
    else if (owners?.[by - 1] === undefined) throw mapFault(`owner ${by} of a lease`);
    else leases.push({ ...lease, by: owners[by - 1] as LeaseOwner });
  }
  return leases;
}
