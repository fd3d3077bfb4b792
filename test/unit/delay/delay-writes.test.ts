import assert from 'node:assert/strict';
import { test } from 'node:test';
import type {
  Publisher,
  PublishRecord,
  PublishResult,
} from '../../../src/backend/publisher-port.ts';
import { limits } from '../../../src/base/limits.ts';
import { DelayWrites } from '../../../src/delay/delay-writes.ts';

const record: PublishRecord = { topic: 't', key: null, value: null, headers: Buffer.alloc(0) };

test('a cluster that says nothing keeps so many changes waiting, and no more', async () => {
  let answer: (results: readonly PublishResult[]) => void = () => {};
  const publisher = {
    publish: (records: readonly PublishRecord[]) =>
      new Promise<readonly PublishResult[]>((resolve) => {
        answer = () => resolve(records.map((_, offset) => ({ partition: 0, offset })));
      }),
  } as unknown as Publisher;
  const writes = new DelayWrites(publisher);
  const first = writes.write(record);
  const waiting = Array.from({ length: limits.delayWritesMax }, () => writes.write(record));
  await assert.rejects(writes.write(record), { code: 'RETRY_LATER' });
  const all = Promise.all([first, ...waiting]);
  let isDone = false;
  void all.then(() => {
    isDone = true;
  });
  while (!isDone) {
    answer([]);
    await new Promise(setImmediate);
  }
  assert.equal((await all).length, 1 + limits.delayWritesMax);
});
