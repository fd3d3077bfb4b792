import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Publisher, PublishRecord } from '../../../src/backend/publisher-port.ts';
import { DueWindow } from '../../../src/delay/due-window.ts';
import { FireQueue } from '../../../src/delay/fire-queue.ts';
import { JumpClock } from './delay-world.ts';

test('a queue that is empty holds no bytes, though an entry came twice and was emptied', async () => {
  const clock = new JumpClock();
  const window = new DueWindow({ entriesMax: 10, bytesMax: 1_000 }, clock.now(), () => {});
  const publisher = {
    publish: async (records: readonly PublishRecord[]) =>
      records.map((_, offset) => ({ partition: 0, offset })),
  } as unknown as Publisher;
  const queue = new FireQueue({
    publisher,
    clock,
    batchMax: 1,
    leftState: 'queued',
    record: (entry) =>
      entry.state === 'queued'
        ? { topic: 't', key: null, value: null, headers: Buffer.alloc(0) }
        : undefined,
    onDone: (entries) => {
      for (const entry of entries) {
        entry.state = 'ended';
        window.empty(entry);
      }
    },
    onRefused: () => {},
    onRoom: () => {},
  });
  const bytes = Buffer.alloc(100);
  const entry = window.addQueued({
    id: Buffer.alloc(24),
    dueMs: 0,
    offset: 0,
    bytes,
    topic: 't',
    isIndexed: true,
  });
  queue.push(entry);
  queue.push(entry);
  assert.equal(queue.bytes, 200);
  for (let i = 0; i < 10; i++) {
    queue.pump();
    await setImmediate();
  }
  assert.equal(queue.size, 0);
  assert.equal(queue.bytes, 0);
});
