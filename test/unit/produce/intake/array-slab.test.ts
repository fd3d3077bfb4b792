import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ArraySlab } from '../../../../src/produce/intake/array-slab.ts';

test('arrays of a slab never overlap, lie at multiples of eight, and are zero', () => {
  const slab = new ArraySlab();
  const taken: Uint8Array[] = [];
  for (let i = 0; i < 2_000; i++) {
    const bytes = (i * 37) % 5_000;
    const { buffer, offset } = slab.take(bytes);
    assert.equal(offset % 8, 0);
    const view = new Uint8Array(buffer, offset, bytes);
    assert(view.every((byte) => byte === 0));
    view.fill((i % 255) + 1);
    taken.push(view);
  }
  for (const [i, view] of taken.entries()) assert(view.every((byte) => byte === (i % 255) + 1));
});

test('what is longer than a block has memory of its own', () => {
  const { buffer, offset } = new ArraySlab().take(200_000);
  assert.equal(offset, 0);
  assert.equal(buffer.byteLength, 200_000);
});
