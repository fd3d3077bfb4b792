import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeLeaseRecord,
  decodeLeases,
  encodeLeaseRecord,
  encodeLeases,
  LEASE_RECORD_BYTES_MAX,
} from '../../../src/offsets/open-leases.ts';
import { VarintReader } from '../../../src/offsets/varint.ts';

const writer = { owner: Buffer.alloc(8, 1), epoch: 7 };
const before = { owner: Buffer.alloc(8, 2), epoch: 6 };

test('a record says of each lease who granted it, and of what failed that nobody holds it', () => {
  const leases = [
    { offset: 5, run: 9, attempt: 1, leftMs: 30_000 },
    { offset: 6, run: 2, attempt: 3, leftMs: 12, by: before },
    { offset: 900, run: 0, attempt: 2, leftMs: 0 },
  ];
  const found = decodeLeaseRecord(encodeLeaseRecord(writer, leases));
  assert.deepEqual(found.by, writer);
  const [own, ...others] = leases;
  assert.deepEqual(found.leases, [{ ...own, by: writer }, ...others]);
});

test('of more owners than there is room for, the leases of the last ones are left out', () => {
  const leases = Array.from({ length: 40 }, (_, i) => ({
    offset: i,
    run: i + 1,
    attempt: 1,
    leftMs: 1_000,
    by: { owner: Buffer.alloc(8, i % 20), epoch: 7 },
  }));
  const bytes = encodeLeases(leases);
  assert.deepEqual(
    decodeLeases(bytes, new VarintReader(bytes)),
    leases.filter((_, i) => i % 20 < 16),
  );
});

/** What a window may hold, so scattered that nothing of a row is short. */
function scattered(length: number) {
  return Array.from({ length }, (_, i) => ({
    offset: i * 2 ** 20,
    run: i % 3 === 0 ? 0 : ((i * 7_919) % 2 ** 31) + 1,
    attempt: 300,
    leftMs: 43_200_000,
  }));
}

test('a record holds all that a window does, as leases are, and never more than Kafka takes', () => {
  const usual = Array.from({ length: 65_536 }, (_, i) => ({
    offset: i * 100,
    run: (i % 500) + 1,
    attempt: 1,
    leftMs: 60_000,
  }));
  assert.equal(decodeLeaseRecord(encodeLeaseRecord(writer, usual)).leases.length, 65_536);
  // What only failed goes first, then the last leases.
  for (const { length, all } of [
    { length: 65_536, all: true },
    { length: 200_000, all: false },
  ]) {
    const leases = scattered(length);
    const bytes = encodeLeaseRecord(writer, leases);
    assert(bytes.length <= LEASE_RECORD_BYTES_MAX);
    const kept = decodeLeaseRecord(bytes).leases.map(({ offset }) => offset);
    const held = leases.filter(({ run }) => run !== 0).map(({ offset }) => offset);
    assert(kept.length > 30_000 && kept.length < length);
    assert.deepEqual(kept, held.slice(0, kept.length));
    assert.equal(kept.length === held.length, all);
  }
});

test('a damaged record of leases is refused', () => {
  const good = encodeLeaseRecord(writer, [{ offset: 1, run: 1, attempt: 1, leftMs: 1 }]);
  const version = Buffer.from(good);
  version[0] = 2;
  for (const bad of [version, good.subarray(0, 10), good.subarray(0, -1), Buffer.alloc(0)]) {
    assert.throws(() => decodeLeaseRecord(bad), { code: 'MALFORMED_MAP' });
  }
});
