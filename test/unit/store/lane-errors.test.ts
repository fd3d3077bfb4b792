import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyValueStore } from '../../../src/store/key-value-store.ts';
import { laneErrors } from '../../../src/store/lane-errors.ts';

const range = { from: Buffer.of(0), to: Buffer.of(9) };

function storeThatFails(error: Error): KeyValueStore {
  const kv: Pick<KeyValueStore, 'get' | 'iterate' | 'write'> = {
    get: () => Promise.reject(error),
    write: () => Promise.reject(error),
    // biome-ignore lint/correctness/useYield: it fails before its first entry
    async *iterate() {
      throw error;
    },
  };
  return laneErrors(kv as KeyValueStore, 3);
}

async function drain(store: KeyValueStore): Promise<void> {
  for await (const _ of store.iterate(range));
}

test('a block that is not what was written is named with its lane, however it is found', async () => {
  const direct = new RangeError('Corruption: block checksum mismatch');
  const wrapped = new RangeError('not open', { cause: direct });
  const expected = { code: 'STORE_CORRUPT', message: /^lane 3: expected .*, found: / };
  for (const error of [direct, wrapped]) {
    const store = storeThatFails(error);
    await assert.rejects(store.get(Buffer.of(1)), expected);
    await assert.rejects(drain(store), expected);
    await assert.rejects(store.write([], { sync: true }), expected);
  }
});

test('other errors stay what they are', async () => {
  const error = new RangeError('IO error: no such file');
  const store = storeThatFails(error);
  await assert.rejects(store.get(Buffer.of(1)), error);
  await assert.rejects(drain(store), error);
  await assert.rejects(store.write([], { sync: true }), error);
});
