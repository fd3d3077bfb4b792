import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fingerprintOf } from '../../../../src/consume/retry/fingerprint.ts';

test('reasons that differ only in numbers, ids and quoted words are the same failure', () => {
  const same = [
    'no customer 7 in "Ulm" (request 0x1f, 6fa459ea-ee8a-3ca4-894e-db77e160355e)',
    'no customer 1234 in "New York" (request 0xab3, 16fd2706-8baf-433b-82eb-8c7fada847da)',
    '  no  customer 9 in "" (request 0x0, 886313e1-3b8a-5372-9b90-0c9aee199e5d)\n at line 7',
  ];
  assert.equal(new Set(same.map((reason) => fingerprintOf(reason, 'nack'))).size, 1);
  assert.match(fingerprintOf(same[0] ?? '', 'nack'), /^[0-9a-f]{16}$/);
});

test('different words are different failures', () => {
  const reasons = ['timeout of billing', 'timeout of shipping', 'no such customer', ''];
  assert.equal(new Set(reasons.map((reason) => fingerprintOf(reason, 'nack'))).size, 4);
});

test('without a reason the cause tells failures apart', () => {
  assert.notEqual(fingerprintOf('', 'nack'), fingerprintOf(' ', 'expiry'));
  assert.equal(fingerprintOf('x', 'nack'), fingerprintOf('x', 'expiry'));
});
