import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { ownerHash, readToken, TOKEN_BYTES, Tokens } from '../../../../src/consume/lease/token.ts';
import { fc } from '../../../support/fast-check.ts';

const fields = fc.record(
  {
    cluster: fc.nat(1),
    ownerHigh: fc.nat(2 ** 32 - 1),
    ownerLow: fc.nat(2 ** 32 - 1),
    partition: fc.nat(2 ** 32 - 1),
    firstOffset: fc.maxSafeNat(),
    ownerEpoch: fc.nat(2 ** 48 - 1),
    leaseRun: fc.nat(2 ** 48 - 1),
  },
  { noNullPrototype: true },
);
const none = {
  cluster: 0,
  ownerHigh: 0,
  ownerLow: 0,
  partition: 0,
  firstOffset: 0,
  ownerEpoch: 0,
  leaseRun: 0,
};

test('a token says what it was made of, and its MAC is that of node:crypto', () => {
  const secret = fc.uint8Array({ minLength: 16, maxLength: 100 });
  fc.assert(
    fc.property(secret, fields, fc.nat(20), (key, given, at) => {
      const tokens = new Tokens(key);
      const bytes = Buffer.alloc(at + TOKEN_BYTES);
      tokens.write(bytes, at, given);
      const read = { ...none };
      readToken(bytes, at, read);
      assert.deepEqual(read, given);
      assert(tokens.isGood(bytes, at));
      const signed = bytes.subarray(at, at + 36);
      const mac = createHmac('sha256', key).update(signed).digest().subarray(0, 12);
      assert.deepEqual(bytes.subarray(at + 36), mac);
    }),
    { numRuns: 300 },
  );
});

test('a token with any bit turned is not good, nor is one of another secret', () => {
  const tokens = new Tokens(Buffer.from('a secret of the cluster'));
  const bytes = Buffer.alloc(TOKEN_BYTES);
  tokens.write(bytes, 0, { ...none, partition: 3, firstOffset: 77, ownerEpoch: 5, leaseRun: 9 });
  for (let bit = 0; bit < TOKEN_BYTES * 8; bit++) {
    bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
    assert.equal(tokens.isGood(bytes, 0), false, `bit ${bit}`);
    bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
  }
  assert(tokens.isGood(bytes, 0));
  const other = new Tokens(Buffer.from('the secret of another'));
  assert.equal(other.isGood(bytes, 0), false);
  assert.notDeepEqual(other.fingerprint, tokens.fingerprint);
});

test('an owner is told apart by node, group and topic', () => {
  const hash = ownerHash('n1', 'g', 't');
  assert.equal(hash.length, 8);
  for (const other of [
    ownerHash('n2', 'g', 't'),
    ownerHash('n1', 'gt', ''),
    ownerHash('n1', 'g', 'u'),
  ]) {
    assert.notDeepEqual(other, hash);
  }
});
