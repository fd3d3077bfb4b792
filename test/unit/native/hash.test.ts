import assert from 'node:assert/strict';
import { test } from 'node:test';

import { crc32c, murmur2, partitionOf } from '../../../src/native/addon.ts';

const bytes = (text: string): Uint8Array => Buffer.from(text, 'utf8');

test('crc32c gives the check value of the standard', () => {
  assert.equal(crc32c(bytes('123456789')), 0xe3069283);
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(0)), 0);
});

test('crc32c seeded with the CRC of a prefix is the CRC of the whole', () => {
  const whole = Buffer.from('a batch header and the one after it');
  for (let split = 0; split <= whole.length; split += 1) {
    const first = crc32c(whole.subarray(0, split));
    assert.equal(crc32c(whole.subarray(split), first), crc32c(whole));
  }
});

test('crc32c reads a view over a SharedArrayBuffer at its offset', () => {
  const shared = new Uint8Array(new SharedArrayBuffer(64), 7, 9);
  shared.set(bytes('123456789'));
  assert.equal(crc32c(shared), 0xe3069283);
});

test('crc32c refuses what is not bytes', () => {
  assert.throws(() => crc32c('123' as unknown as Uint8Array), TypeError);
  assert.throws(() => crc32c(new Uint16Array(2) as unknown as Uint8Array), TypeError);
});

// From Kafka's own UtilsTest.testMurmur2.
const kafkaCases: readonly [string, number][] = [
  ['21', -973932308],
  ['foobar', -790332482],
  ['a-little-bit-long-string', -985981536],
  ['a-little-bit-longer-string', -1486304829],
  ['lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8', -58897971],
  ['abc', 479470107],
];

test("murmur2 agrees with the cases of Kafka's Java client", () => {
  for (const [key, hash] of kafkaCases) assert.equal(murmur2(bytes(key)) | 0, hash, key);
});

test('partitionOf takes the positive hash modulo the partitions', () => {
  for (const [key, hash] of kafkaCases) {
    assert.equal(partitionOf(bytes(key), 7), (hash & 0x7fffffff) % 7);
  }
  assert.throws(() => partitionOf(bytes('a'), 0), RangeError);
});
