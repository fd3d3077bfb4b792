import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeMetadata,
  encodeMetadata,
  INLINE_BYTES_MAX,
  METADATA_CHARS_MAX,
} from '../../../src/offsets/commit-metadata.ts';
import { writeVarint } from '../../../src/offsets/varint.ts';
import { fc } from '../../support/fast-check.ts';

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
      fc.uint8Array({ maxLength: INLINE_BYTES_MAX }).map((b) => Buffer.from(b)),
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

/** A commit of the second format that says these numbers, as no node writes them. */
function written({ epoch = 9, mapBytes = 0, owners = 0, rows = [] as number[] }): string {
  const bytes = Buffer.alloc(2_200);
  bytes[0] = 2;
  bytes.writeUIntBE(epoch, 2, 6);
  let at = writeVarint(bytes, 24, mapBytes) + mapBytes;
  at = writeVarint(bytes, writeVarint(bytes, at, 0), owners) + owners * 14;
  for (const number of rows) at = writeVarint(bytes, at, number);
  return `mq1:${bytes.toString('base64', 0, at)}`;
}

/** Offset, run as the zigzag of its difference, attempt, time left, owner. */
const row = (offset: number, run: number, leftMs: number) => [offset, run * 2, 1, leftMs, 0];

const bounds = [
  { words: 'a run', good: { rows: row(1, 2 ** 32 - 1, 0) }, bad: { rows: row(1, 2 ** 32, 0) } },
  {
    words: 'what is left of a lease',
    good: { rows: row(1, 1, 2 ** 31 - 1) },
    bad: { rows: row(1, 1, 2 ** 31) },
  },
  {
    words: 'an offset',
    good: { rows: row(Number.MAX_SAFE_INTEGER, 1, 0) },
    bad: { rows: [...row(Number.MAX_SAFE_INTEGER, 1, 0), ...row(1, 0, 0)] },
  },
  { words: 'an epoch', good: { epoch: 2 ** 48 - 2 }, bad: { epoch: 2 ** 48 - 1 } },
  {
    words: 'a map in the commit itself',
    good: { mapBytes: INLINE_BYTES_MAX },
    bad: { mapBytes: INLINE_BYTES_MAX + 1 },
  },
  { words: 'the number of owners', good: { owners: 16 }, bad: { owners: 17 } },
];

for (const { words, good, bad } of bounds) {
  test(`${words} beyond what any node writes is a damage`, () => {
    assert.notEqual(decodeMetadata(written(good)), undefined);
    assert.throws(() => decodeMetadata(written(bad)), { code: 'MALFORMED_MAP' });
  });
}

test('a run below zero is a damage', () => {
  assert.throws(() => decodeMetadata(written({ rows: [1, 1, 1, 0, 0] })), {
    code: 'MALFORMED_MAP',
  });
});
