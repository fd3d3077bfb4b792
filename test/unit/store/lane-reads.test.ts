import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KeyValueStore } from '../../../src/store/key-value-store.ts';
import { laneReads } from '../../../src/store/lane-reads.ts';

const range = { from: Buffer.of(0), to: Buffer.of(9) };

function readsOf(error: Error): KeyValueStore {
  const kv: Pick<KeyValueStore, 'get' | 'iterate'> = {
    get: () => Promise.reject(error),
    // biome-ignore lint/correctness/useYield: it fails before its first entry
    async *iterate() {
      throw error;
    },
  };
  return laneReads(kv as KeyValueStore, 3);
}

async function drain(reads: KeyValueStore): Promise<void> {
  for await (const _ of reads.iterate(range));
}

test('a block that is not what was written is named with its lane, however it is read', async () => {
  const direct = new RangeError('Corruption: block checksum mismatch');
  const wrapped = new RangeError('not open', { cause: direct });
  const expected = { code: 'STORE_CORRUPT', message: /^lane 3: expected .*, found: / };
  for (const error of [direct, wrapped]) {
    const reads = readsOf(error);
    await assert.rejects(reads.get(Buffer.of(1)), expected);
    await assert.rejects(drain(reads), expected);
  }
});

test('other errors of a read stay what they are', async () => {
  const error = new RangeError('IO error: no such file');
  const reads = readsOf(error);
  await assert.rejects(reads.get(Buffer.of(1)), error);
  await assert.rejects(drain(reads), error);
});
