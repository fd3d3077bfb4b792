import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { BatchHeaderBuilder } from '../../../src/store/batch-header.ts';
import type { DriverName } from '../../../src/store/key-value-store.ts';
import { placeKey } from '../../../src/store/keys.ts';
import type { AppendRequest, LaneStore } from '../../../src/store/lane-store.ts';
import { openKeyValueStore } from '../../../src/store/open-key-value-store.ts';
import { openLaneStore } from '../../../src/store/open-lane-store.ts';
import { crc32c, drivers, tempFolder } from './support.ts';

interface TestChunk {
  readonly topic: number;
  readonly partition: number;
  readonly base: number;
  readonly messages: number;
}

function open(folder: string, driver: DriverName): Promise<LaneStore> {
  return openLaneStore({ folder, lane: 0, clock: systemClock, crc32c, driver });
}

function recordsOf({ topic, partition, base }: TestChunk, bytes = 30): Buffer {
  return Buffer.alloc(bytes, `${topic}/${partition}@${base};`);
}

/** A batch as the lane makes it on the embedded backend. */
function embedded(chunks: readonly TestChunk[], timestampMs = 1000): AppendRequest {
  const header = new BatchHeaderBuilder();
  header.reset(timestampMs);
  const table = new Float64Array(chunks.length * 7);
  const parts: Buffer[] = [];
  let at = 0;
  let messages = 0;
  for (const [i, chunk] of chunks.entries()) {
    const records = recordsOf(chunk);
    const row = [chunk.topic, chunk.partition, chunk.base, chunk.messages, at, records.length];
    table.set([...row, crc32c(records)], i * 7);
    parts.push(records);
    at += records.length;
    messages += chunk.messages;
  }
  header.addSegment({ producerId: 1n, epoch: 0, flags: 0, count: messages, firstSequence: 1 });
  return {
    header,
    chunks: { table, count: chunks.length, bytes: Buffer.concat(parts), timestampMs },
  };
}

async function fill(store: LaneStore, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    await store.append(
      embedded(
        [
          { topic: 1, partition: 0, base: i * 5, messages: 5 },
          { topic: 1, partition: 1, base: i * 2, messages: 2 },
        ],
        1000 + i,
      ),
    );
  }
}

for (const driver of drivers) {
  test(`${driver}: chunks are read from the one that holds an offset, within their bytes`, async (t) => {
    const folder = await tempFolder(t);
    const store = await open(folder, driver);
    await fill(store, 10);
    assert.equal(store.stats().unconfirmedMessages, 0, 'the log is the delivery');
    const at = { topicId: 1, partition: 0 };
    const chunks = await store.chunks.read({ ...at, offset: 12 }, 70);
    assert.deepEqual(
      chunks.map((chunk) => chunk.baseOffset),
      [10, 15],
    );
    assert.deepEqual(
      chunks[0]?.records,
      recordsOf({ topic: 1, partition: 0, base: 10, messages: 5 }),
    );
    assert.equal((await store.chunks.read({ ...at, offset: 49 }, 1))[0]?.baseOffset, 45);
    assert.deepEqual(await store.chunks.read({ ...at, offset: 50 }, 1), []);
    assert.deepEqual(await store.chunks.read({ ...at, partition: 9, offset: 0 }, 1), []);
    const times: number[] = [];
    for await (const info of store.chunks.infos({ ...at, offset: 36 }))
      times.push(info.timestampMs);
    assert.deepEqual(times, [1007, 1008, 1009]);
    await store.close();
  });

  test(`${driver}: partitions, their ends and sizes are known again after a reopen`, async (t) => {
    const folder = await tempFolder(t);
    let store = await open(folder, driver);
    await fill(store, 10);
    const before = await store.chunks.partitions();
    assert.deepEqual(before, [
      { topicId: 1, partition: 0, startOffset: 0, nextOffset: 50, bytes: 300, chunks: 10 },
      { topicId: 1, partition: 1, startOffset: 0, nextOffset: 20, bytes: 300, chunks: 10 },
    ]);
    await store.close();
    store = await open(folder, driver);
    assert.deepEqual(await store.chunks.partitions(), before);
    assert.equal(store.nextSequence, 71);
    await store.close();
  });

  test(`${driver}: retention deletes whole chunks, also all of them, and the log goes on`, async (t) => {
    const folder = await tempFolder(t);
    let store = await open(folder, driver);
    await fill(store, 10);
    await store.chunks.deleteBefore({ topicId: 1, partition: 0, offset: 23 });
    await store.chunks.deleteBefore({ topicId: 1, partition: 1, offset: 20 });
    const expected = [
      { topicId: 1, partition: 0, startOffset: 20, nextOffset: 50, bytes: 180, chunks: 6 },
      { topicId: 1, partition: 1, startOffset: 20, nextOffset: 20, bytes: 0, chunks: 0 },
    ];
    assert.deepEqual(await store.chunks.partitions(), expected);
    await store.close();
    store = await open(folder, driver);
    assert.deepEqual(await store.chunks.partitions(), expected);
    const early = await store.chunks.read({ topicId: 1, partition: 0, offset: 0 }, 1);
    assert.equal(early[0]?.baseOffset, 20);
    await store.append(embedded([{ topic: 1, partition: 1, base: 20, messages: 3 }]));
    await store.chunks.drop(1, 0);
    await store.close();
    store = await open(folder, driver);
    const [only, ...others] = await store.chunks.partitions();
    assert.deepEqual(others, []);
    assert.equal(only?.nextOffset, 23);
    await store.append(embedded([{ topic: 1, partition: 0, base: 50, messages: 1 }]));
    await store.close();
    await (await open(folder, driver)).close();
  });

  test(`${driver}: a chunk or an index entry that is gone or bent is refused`, async (t) => {
    const place = { topicId: 1, partition: 0, baseOffset: 15 };
    for (const kind of ['c', 'd'] as const) {
      for (const change of ['delete', 3, 12, 40] as const) {
        const folder = await tempFolder(t);
        const filled = await open(folder, driver);
        await fill(filled, 10);
        await filled.close();
        const kv = await openKeyValueStore({
          folder: join(folder, 'store'),
          createIfMissing: false,
          driver,
        });
        const key = placeKey(kind, place);
        const value = (await kv.get(key)) ?? Buffer.alloc(0);
        const at = change === 'delete' ? 0 : Math.min(change, value.length - 1);
        value.writeUInt8(value.readUInt8(at) ^ 4, at);
        await kv.write([{ key, value: change === 'delete' ? undefined : value }], { sync: true });
        await kv.close();
        await assert.rejects(
          async () => {
            const store = await open(folder, driver);
            try {
              await store.chunks.read({ topicId: 1, partition: 0, offset: 12 }, 1 << 20);
            } finally {
              await store.close();
            }
          },
          { code: 'STORE_CORRUPT' },
        );
      }
    }
  });

  test(`${driver}: the last chunks of a log that are gone are refused`, async (t) => {
    const folder = await tempFolder(t);
    const filled = await open(folder, driver);
    await fill(filled, 3);
    await filled.close();
    const kv = await openKeyValueStore({
      folder: join(folder, 'store'),
      createIfMissing: false,
      driver,
    });
    const place = { topicId: 1, partition: 1, baseOffset: 4 };
    const keys = [placeKey('c', place), placeKey('d', place)];
    await kv.write(
      keys.map((key) => ({ key, value: undefined })),
      { sync: true },
    );
    await kv.close();
    await assert.rejects(open(folder, driver), {
      code: 'STORE_CORRUPT',
      message: /^lane 0: topic 1 partition 1: expected the chunk at offset 4, /,
    });
  });
}

for (const driver of drivers) {
  test(`one chunk stands in the place of several, also after a reopen, with ${driver}`, async (t) => {
    const folder = join(await tempFolder(t), '0');
    let store = await open(folder, driver);
    await fill(store, 10);
    const from = { topicId: 1, partition: 0, offset: 10 };
    const records = Buffer.from('what is left');
    const old = (await store.chunks.read(from, 60)).slice(0, 2);
    assert.deepEqual(
      old.map(({ baseOffset }) => baseOffset),
      [10, 15],
    );
    // A read that begins in the middle of the rewrite must find either, never a hole.
    const reads = Array.from({ length: 20 }, () => store.chunks.read({ ...from, offset: 17 }, 1));
    await store.chunks.rewrite({ from: old, records, timestampMs: 1003 });
    for (const [chunk] of await Promise.all(reads)) {
      assert.ok(chunk?.baseOffset === 15 || chunk?.baseOffset === 10);
    }
    for (const round of ['before', 'after']) {
      const [first, second] = await store.chunks.read({ ...from, offset: 17 }, 60);
      assert.equal(first?.baseOffset, 10, round);
      assert.equal(first?.messages, 10);
      assert.deepEqual(first?.records, records);
      assert.equal(second?.baseOffset, 20);
      const known = (await store.chunks.partitions()).find(({ partition }) => partition === 0);
      assert.equal(known?.chunks, 9);
      assert.equal(known?.bytes, 8 * 30 + records.length);
      if (round === 'before') {
        await store.close();
        store = await open(folder, driver);
      }
    }
    await store.close();
  });
}
