import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { cp, rm } from 'node:fs/promises';
import { test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import type { DriverName } from '../../../src/store/key-value-store.ts';
import type { LaneStore } from '../../../src/store/lane-store.ts';
import { openLaneStore } from '../../../src/store/open-lane-store.ts';
import { batchOf, crc32c, drivers, openOver, tempFolder, unconfirmedOf } from './support.ts';

function open(folder: string, driver: DriverName): Promise<LaneStore> {
  return openLaneStore({ folder, lane: 0, clock: systemClock, crc32c, driver });
}

async function append(store: LaneStore, firstSequence: number, count: number): Promise<void> {
  await store.append(batchOf([{ producerId: 7n, firstSequence, count }]));
}

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

for (const driver of drivers) {
  test(`${driver}: what is confirmed while it is put aside is left where it is`, async (t) => {
    const gate = new EventEmitter();
    const opened = once(gate, 'open');
    const reached = once(gate, 'reached');
    const folder = await tempFolder(t);
    const store = await openOver({ folder, lane: 0, clock: systemClock, crc32c, driver }, (kv) => {
      const get = kv.get.bind(kv);
      kv.get = async (key) => {
        gate.emit('reached');
        await opened;
        return get(key);
      };
    });
    await append(store, 1, 4);
    await append(store, 5, 4);
    const why = { code: 'PARKED', reason: 'it does not take messages' };
    const put = store.aside.put(
      'parked',
      [2, 6].map((sequence) => ({ ...why, sequence })),
    );
    await reached;
    store.confirm(5, 4);
    // Takes the deletion of the second batch along.
    await append(store, 9, 1);
    gate.emit('open');
    assert.deepEqual(
      (await put).map(({ sequence }) => sequence),
      [2],
    );
    assert.equal(store.aside.messages('parked'), 1);
    await store.close();
  });

  test(`${driver}: what is put aside, moved or removed twice at once counts once`, async (t) => {
    const store = await open(await tempFolder(t), driver);
    await append(store, 1, 8);
    const why = { code: 'PARKED', reason: 'it does not take messages' };
    const refusals = [3, 4, 3].map((sequence) => ({ ...why, sequence }));
    const twice = (step: () => Promise<unknown>) => Promise.all([step(), step()]);
    const counts = () => [store.aside.messages('parked'), store.aside.messages('undeliverable')];
    await twice(() => store.aside.put('parked', refusals));
    assert.deepEqual(counts(), [2, 0]);
    const [third, fourth] = await listOf(store.aside.entries('parked'));
    assert(third && fourth);
    await twice(() => store.aside.move('parked', 'undeliverable', [third, third]));
    assert.deepEqual(counts(), [1, 1]);
    await twice(() => store.aside.remove('parked', [third, fourth]));
    assert.deepEqual(counts(), [0, 1]);
    assert.deepEqual(await listOf(store.aside.entries('undeliverable')), [third]);
    await store.close();
  });

  test(`${driver}: what is parked leaves the outbox, by topic in order, over a crash`, async (t) => {
    const folder = await tempFolder(t);
    const store = await open(folder, driver);
    for (let i = 0; i < 3; i++) await append(store, i * 4 + 1, 4);
    const why = { code: 'PARKED', reason: 'it does not take messages' };
    await store.aside.put(
      'parked',
      [9, 2, 5].map((sequence) => ({ ...why, sequence })),
    );
    await store.aside.put('parked', [{ ...why, sequence: 2 }]);
    const bytes = store.aside.bytes('parked');
    await cp(folder, `${folder}-crash`, { recursive: true });
    t.after(() => rm(`${folder}-crash`, { recursive: true, force: true }));
    await store.close();
    const again = await open(`${folder}-crash`, driver);
    const parked = await listOf(again.aside.entries('parked', { topic: 'orders', sequence: 0 }));
    assert.deepEqual(
      parked.map(({ sequence, producerSequence }) => [sequence, producerSequence]),
      [2, 5, 9].map((n) => [n, n]),
    );
    assert.deepEqual((await unconfirmedOf(again)).length, 9);
    assert.equal(again.aside.bytes('parked'), bytes);
    const [first, second, third] = parked;
    assert(first && second && third);
    await again.aside.move('parked', 'undeliverable', [second]);
    await again.aside.remove('parked', [first]);
    assert.deepEqual(
      [again.aside.messages('parked'), again.aside.messages('undeliverable')],
      [1, 1],
    );
    const from = { topic: 'orders', sequence: 3 };
    assert.deepEqual(await listOf(again.aside.entries('parked', from)), [third]);
    await again.close();
    const last = await open(`${folder}-crash`, driver);
    assert.equal((await unconfirmedOf(last)).length, 9, 'what was removed does not come back');
    assert.equal(last.aside.topics('parked').get('orders')?.messages, 1);
    await last.close();
  });

  test(`${driver}: the newest that are undeliverable are read from the end`, async (t) => {
    const store = await open(await tempFolder(t), driver);
    await append(store, 1, 8);
    const why = { code: 'MESSAGE_TOO_LARGE', reason: 'too large' };
    const put = [2, 7, 4].map((sequence) => ({ ...why, sequence }));
    await store.aside.put('undeliverable', put);
    const newest = await listOf(store.aside.newest(2));
    assert.deepEqual(
      newest.map(({ sequence }) => sequence),
      [7, 4],
    );
    await store.close();
  });
}
