import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  decodeMetadata,
  encodeMetadata,
  METADATA_CHARS_MAX,
} from '../../../src/offsets/commit-metadata.ts';

const bytes8 = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((b) => Buffer.from(b));
const plain = { noNullPrototype: true } as const;
const lease = fc.record(
  {
    offset: fc.nat(2 ** 31 - 1),
    run: fc.nat(2 ** 31 - 1),
    attempt: fc.integer({ min: 1, max: 2_000 }),
    leftMs: fc.nat(600_000),
  },
  plain,
);
const owners = [3, 4, 5].map((n) => ({ owner: Buffer.alloc(8, n), epoch: 2 ** 40 + n }));
const leaseOfAny = fc
  .tuple(lease, fc.constantFrom(undefined, ...owners))
  .map(([row, by]) => (by === undefined ? row : { ...row, by }));
const metadata = fc.record(
  {
    given: fc.integer({ min: 1, max: 2 ** 40 }),
    epoch: fc.integer({ min: 1, max: 2 ** 47 }),
    fingerprint: bytes8,
    owner: bytes8,
    map: fc.oneof(
      fc.uint8Array({ maxLength: 1_800 }).map((b) => Buffer.from(b)),
      fc.record({ partition: fc.nat(100), offset: fc.nat(2 ** 31) }, plain),
    ),
    leases: fc
      .array(leaseOfAny, { maxLength: 12 })
      .map((leases) => leases.sort((a, b) => a.offset - b.offset)),
  },
  plain,
);

test('what stands beside a commit comes back', () => {
  fc.assert(
    fc.property(metadata, (given) => {
      const text = encodeMetadata(given);
      assert(text.length <= METADATA_CHARS_MAX && /^[\x20-\x7e]+$/.test(text));
      assert.deepEqual(decodeMetadata(text), given);
    }),
    { numRuns: 200 },
  );
});

test('leases that do not fit are left out, the last first', () => {
  const leases = Array.from({ length: 5_000 }, (_, i) => ({
    offset: i * 300,
    run: i + 1,
    attempt: 1,
    leftMs: 30_000,
  }));
  const head = { epoch: 9, fingerprint: Buffer.alloc(8), owner: Buffer.alloc(8) };
  const text = encodeMetadata({ ...head, map: { partition: 1, offset: 2 }, leases });
  assert(text.length <= METADATA_CHARS_MAX);
  const kept = decodeMetadata(text)?.leases ?? [];
  assert(kept.length > 200);
  assert.deepEqual(kept, leases.slice(0, kept.length));
});

test('leases have room before messages that only failed, and these take what is left', () => {
  const rows = Array.from({ length: 130 }, (_, i) => ({
    offset: i * 300,
    run: i % 3 === 0 ? 1_000_000 + i : 0,
    attempt: 2,
    leftMs: 600_000,
  }));
  const head = { epoch: 9, fingerprint: Buffer.alloc(8), owner: Buffer.alloc(8) };
  const text = encodeMetadata({ ...head, map: Buffer.alloc(900), leases: rows });
  const kept = decodeMetadata(text)?.leases ?? [];
  const isLease = ({ run }: { run: number }) => run !== 0;
  assert.deepEqual(kept.filter(isLease), rows.filter(isLease));
  const failed = kept.filter((row) => !isLease(row));
  assert(failed.length > 0 && failed.length < 86);
  assert.deepEqual(failed, rows.filter((row) => !isLease(row)).slice(0, failed.length));
});

test('the metadata of others is not ours, and our own is refused when damaged', () => {
  assert.equal(decodeMetadata(''), undefined);
  assert.equal(decodeMetadata('set by hand'), undefined);
  for (const bytes of [[2], [1, 0], [1, 7, ...Array<number>(30).fill(0)]]) {
    const text = `mq1:${Buffer.from(bytes).toString('base64')}`;
    assert.throws(() => decodeMetadata(text), { code: 'MALFORMED_MAP' });
  }
});

test('a commit of the first format is read, and written where no owner before is named', () => {
  const text = 'mq1:AQABi8/laHsBAgMEBQYHCKGio6SlpqeoAgMCRhIBsOoBBRECAJ0HCAOABA==';
  const given = {
    epoch: 1_700_000_000_123,
    fingerprint: Buffer.from('0102030405060708', 'hex'),
    owner: Buffer.from('a1a2a3a4a5a6a7a8', 'hex'),
    map: Buffer.from([3, 2]),
    leases: [
      { offset: 70, run: 9, attempt: 1, leftMs: 30_000 },
      { offset: 75, run: 0, attempt: 2, leftMs: 0 },
      { offset: 1_000, run: 4, attempt: 3, leftMs: 512 },
    ],
  };
  assert.deepEqual(decodeMetadata(text), given);
  assert.equal(encodeMetadata(given), text);
});

test('of more owners than there is room for, the leases of the last ones are left out', () => {
  const leases = Array.from({ length: 40 }, (_, i) => ({
    offset: i,
    run: i + 1,
    attempt: 1,
    leftMs: 1_000,
    by: { owner: Buffer.alloc(8, i % 20), epoch: 7 },
  }));
  const head = { epoch: 9, fingerprint: Buffer.alloc(8), owner: Buffer.alloc(8) };
  const kept = decodeMetadata(encodeMetadata({ ...head, map: Buffer.alloc(0), leases }))?.leases;
  assert.deepEqual(
    kept,
    leases.filter((_, i) => i % 20 < 16),
  );
});

test('owners that a damaged commit does not have are refused', () => {
  const by = { owner: Buffer.alloc(8, 1), epoch: 7 };
  const lease = { offset: 1, run: 1, attempt: 1, leftMs: 0, by };
  const head = { epoch: 9, fingerprint: Buffer.alloc(8), owner: Buffer.alloc(8) };
  const text = encodeMetadata({ ...head, map: Buffer.alloc(0), leases: [lease] });
  const bytes = Buffer.from(text.slice(4), 'base64');
  for (const [at, value] of [
    [bytes.length - 1, 2],
    [26, 100],
  ] as const) {
    const bad = Buffer.from(bytes);
    bad[at] = value;
    const damaged = `mq1:${bad.toString('base64')}`;
    assert.throws(() => decodeMetadata(damaged), { code: 'MALFORMED_MAP' });
  }
});
