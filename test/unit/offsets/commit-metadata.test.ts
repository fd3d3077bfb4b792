import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CLAIM_BYTES_MAX,
  type CommitMetadata,
  decodeMetadata,
  encodeMetadata,
  INLINE_BYTES_MAX,
  METADATA_CHARS_MAX,
} from '../../../src/offsets/commit-metadata.ts';
import { grantedBy } from '../../../src/offsets/open-leases.ts';
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

const head = { epoch: 9, fingerprint: Buffer.alloc(8), owner: Buffer.alloc(8) };

function textOf(metadata: CommitMetadata): string {
  const text = encodeMetadata(metadata);
  assert(text !== undefined);
  return text;
}

test('what stands beside a commit comes back', () => {
  fc.assert(
    fc.property(metadata, (given) => {
      const text = textOf(given);
      assert(text.length <= METADATA_CHARS_MAX && /^[\x20-\x7e]+$/.test(text));
      assert.deepEqual(decodeMetadata(text), given);
    }),
    { numRuns: 200 },
  );
});

test('leases that a commit has no room for are not written in part, and a record of them is named', () => {
  const leases = Array.from({ length: 400 }, (_, i) => ({
    offset: i * 300,
    run: i + 1,
    attempt: 1,
    leftMs: 30_000,
  }));
  const map = Buffer.alloc(INLINE_BYTES_MAX);
  assert.equal(encodeMetadata({ ...head, map, leases }), undefined);
  const leasesAt = { partition: 15, offset: 2 ** 40, epoch: 2 ** 48 - 2 };
  const given = { ...head, map, given: 2 ** 34, leases: [], leasesAt };
  assert.deepEqual(decodeMetadata(textOf(given)), given);
});

test('who claims what a commit says has room to name who granted its leases', () => {
  const map = Buffer.alloc(INLINE_BYTES_MAX);
  const row = (i: number) => ({ offset: i, run: i + 1, attempt: 1, leftMs: 0 });
  let found: CommitMetadata = { ...head, map, leases: [] };
  for (let i = 0; ; i++) {
    const more = { ...head, map, leases: [...found.leases, row(i)] };
    if (encodeMetadata(more) === undefined) break;
    found = more;
  }
  const by = { owner: Buffer.alloc(8, 1), epoch: 7 };
  const claim = { ...found, leases: grantedBy(by, found.leases) };
  assert.equal(encodeMetadata(claim), undefined);
  const text = encodeMetadata(claim, CLAIM_BYTES_MAX) ?? '';
  assert.deepEqual(decodeMetadata(text), claim);
  assert(4 + Math.ceil(CLAIM_BYTES_MAX / 3) * 4 <= 4_096, 'what Kafka takes');
});

test('the metadata of others is not ours, and our own is refused when damaged', () => {
  assert.equal(decodeMetadata(''), undefined);
  assert.equal(decodeMetadata('set by hand'), undefined);
  for (const bytes of [[2], [1, 0], [1, 7, ...Array<number>(30).fill(0)]]) {
    const text = `mq1:${Buffer.from(bytes).toString('base64')}`;
    assert.throws(() => decodeMetadata(text), { code: 'MALFORMED_MAP' });
  }
});

test('a commit of the first format is read, and written where there is nothing else to say', () => {
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
  const plain = 'mq1:AQABi8/laHsBAgMEBQYHCKGio6SlpqeoAgMC';
  assert.equal(encodeMetadata({ ...given, leases: [] }), plain);
  assert.deepEqual(decodeMetadata(plain), { ...given, leases: [] });
});

test('owners that a damaged commit does not have are refused', () => {
  const by = { owner: Buffer.alloc(8, 1), epoch: 7 };
  const lease = { offset: 1, run: 1, attempt: 1, leftMs: 0, by };
  const text = textOf({ ...head, map: Buffer.alloc(0), leases: [lease] });
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

test('the place of leases with more, or less, behind it is a damage', () => {
  const leasesAt = { partition: 1, offset: 2, epoch: 3 };
  const text = textOf({ ...head, map: Buffer.alloc(0), leases: [], leasesAt });
  const bytes = Buffer.from(text.slice(4), 'base64');
  for (const bad of [bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.alloc(1)])]) {
    const damaged = `mq1:${bad.toString('base64')}`;
    assert.throws(() => decodeMetadata(damaged), { code: 'MALFORMED_MAP' });
  }
});
