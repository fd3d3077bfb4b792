import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ownerIn, ownerWords } from '../../../protocol/src/owner-words.ts';

test('the words of NOT_OWNER name the owner where it is known', () => {
  const words = ownerWords('00c0ffee00c0ffee');
  assert.equal(words, 'node 00c0ffee00c0ffee has this partition of the delay log');
  assert.equal(ownerIn(words), '00c0ffee00c0ffee');
  assert.equal(ownerIn(ownerWords(undefined)), undefined);
});

test('the owner is found among the words of two clusters', () => {
  const words = `cancelled on the primary cluster; the backup cluster cannot be asked (NOT_OWNER: ${ownerWords('n-2')})`;
  assert.equal(ownerIn(words), 'n-2');
});
