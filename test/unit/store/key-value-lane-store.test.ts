import assert from 'node:assert/strict';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { codeOf } from '../../../src/base/errors.ts';
import type { BatchHeader } from '../../../src/store/batch-header.ts';
import type { DriverName } from '../../../src/store/key-value-store.ts';
import { headerKey, kindRange, payloadKey } from '../../../src/store/keys.ts';
import type { LaneStore, WindowPut } from '../../../src/store/lane-store.ts';
import { openKeyValueStore } from '../../../src/store/open-key-value-store.ts';
import { openLaneStore } from '../../../src/store/open-lane-store.ts';
import { fc } from '../../support/fast-check.ts';
import {
  batchOf,
  copyAsOfACrash,
  crc32c,
  drivers,
  ManualClock,
  named,
  openOver,
  tempFolder,
  unconfirmedOf,
} from './support.ts';

interface OpenExtras {
  readonly clock?: ManualClock;
  readonly checkpointBatches?: number;
}

function open(folder: string, driver: DriverName, extras: OpenExtras = {}): Promise<LaneStore> {
  return openLaneStore({ folder, lane: 0, clock: systemClock, crc32c, driver, ...extras });
}

async function append(
  store: LaneStore,
  first: number,
  count: number,
  producerId = 7n,
): Promise<void> {
  await store.append(batchOf([{ producerId, firstSequence: first, count }]));
}

async function keysIn(folder: string, driver: DriverName, kind: string): Promise<Buffer[]> {
  const kv = await openKeyValueStore({
    folder: join(folder, 'store'),
    createIfMissing: false,
    driver,
  });
  const keys: Buffer[] = [];
  for await (const { key } of kv.iterate(kindRange(kind), { keysOnly: true })) keys.push(key);
  await kv.close();
  return keys;
}

async function listOf<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}

function windowPut(producerId: bigint, text: string): WindowPut {
  const key = Buffer.alloc(8);
  key.writeBigUInt64BE(producerId);
  return { key, value: Buffer.from(text) };
}

for (const driver of drivers) {
  test(`${driver}: confirmed messages stay confirmed, confirmed batches go with the next write`, async (t) => {
    const folder = await tempFolder(t);
    const store = await open(folder, driver);
    for (let i = 0; i < 4; i++) await append(store, i * 5 + 1, 5);
    assert.equal(store.confirm(6, 5), 5);
    assert.equal(store.confirm(6, 6), 1, 'five of the six were confirmed before');
    assert.equal(store.floor, 1);
    await append(store, 21, 5);
    assert.equal(store.stats().batches, 4);
    assert.deepEqual(await unconfirmedOf(store), [...named(7n, 1, 5), ...named(7n, 12, 25)]);
    await store.close();
    assert.deepEqual(await keysIn(folder, driver, 'b'), [1, 11, 16, 21].map(payloadKey));
    const again = await open(folder, driver);
    assert.deepEqual(await unconfirmedOf(again), [...named(7n, 1, 5), ...named(7n, 12, 25)]);
    assert.equal(again.confirm(1, 5), 5);
    assert.equal(again.floor, 12);
    await again.close();
  });

  test(`${driver}: an idle lane writes its confirmed state after 100 ms`, async (t) => {
    const folder = await tempFolder(t);
    const clock = new ManualClock();
    const store = await open(folder, driver, { clock });
    await append(store, 1, 5);
    await append(store, 6, 5);
    store.confirm(1, 7);
    clock.advance(100);
    // The flush reads nothing and waits for one write: a synced one behind it comes later.
    await store.aside.put('undeliverable', [
      { sequence: 10, code: 'MESSAGE_TOO_LARGE', reason: 'said the broker' },
    ]);
    const copy = join(await tempFolder(t), '0');
    await cp(join(folder, 'mark'), join(copy, 'mark'));
    await cp(folder, copy, { recursive: true, force: false });
    const again = await open(copy, driver);
    assert.equal(again.floor, 8);
    assert.deepEqual(await unconfirmedOf(again), named(7n, 8, 9));
    await again.close();
    await store.close();
  });

  test(`${driver}: a backlog is read in order, within its bytes, from the middle of a batch too`, async (t) => {
    const folder = await tempFolder(t);
    const store = await open(folder, driver);
    for (let i = 0; i < 10; i++) await append(store, i * 5 + 1, 5);
    const one = await store.readBatches(1, 1);
    assert.equal(one.batches.length, 1, 'at least one batch, however small the bound');
    assert.equal(one.nextSequence, 6);
    const payloadBytes = one.batches[0]?.payload.length ?? 0;
    const three = await store.readBatches(8, payloadBytes * 3 + 1);
    assert.deepEqual(
      three.batches.map((batch) => batch.firstSequence),
      [6, 11, 16],
    );
    assert.equal(three.nextSequence, 21);
    store.confirm(21, 25);
    const rest = await store.readBatches(21, 1 << 20);
    assert.deepEqual(
      rest.batches.map((batch) => batch.firstSequence),
      [46],
    );
    assert.equal(rest.nextSequence, 51);
    assert.deepEqual((await store.readBatches(51, 1 << 20)).batches, []);
    await store.close();
  });

  test(`${driver}: a checkpoint folds the headers, keeps those still needed, and hands back windows`, async (t) => {
    const folder = await tempFolder(t);
    const store = await open(folder, driver, { checkpointBatches: 4 });
    for (let i = 0; i < 4; i++) {
      assert.equal(store.checkpointDue, false);
      await append(store, i * 5 + 1, 5);
    }
    assert.equal(store.checkpointDue, true);
    store.confirm(1, 8);
    const windowPuts = [windowPut(7n, 'seven'), windowPut(8n, 'eight')];
    await store.append({
      ...batchOf([{ producerId: 7n, firstSequence: 21, count: 5 }]),
      windowPuts,
    });
    assert.equal(store.checkpointDue, false);
    await append(store, 26, 5);
    store.confirm(9, 2);
    await store.close();
    assert.deepEqual(await keysIn(folder, driver, 'h'), [11, 16, 21, 26].map(headerKey));
    const again = await open(folder, driver, { checkpointBatches: 4 });
    const windows = await listOf(again.windows());
    assert.deepEqual(
      windows.map(({ key, value }) => `${key.readBigUInt64BE()} ${value}`),
      ['7 seven', '8 eight'],
    );
    const headers = await listOf(again.headersSinceCheckpoint());
    assert.deepEqual(
      headers.map((header) => header.firstSequence),
      [21, 26],
    );
    assert.deepEqual(await unconfirmedOf(again), named(7n, 11, 30));
    again.confirm(11, 20);
    const drop = [{ key: windowPut(8n, '').key, value: undefined }];
    await again.append({
      ...batchOf([{ producerId: 7n, firstSequence: 31, count: 1 }]),
      windowPuts: drop,
    });
    await again.close();
    assert.deepEqual(await keysIn(folder, driver, 'h'), [headerKey(31)]);
    assert.equal((await keysIn(folder, driver, 'w')).length, 1);
  });

  test(`${driver}: an unconfirmed batch from before the anchor that is missing is refused`, async (t) => {
    const folder = await tempFolder(t);
    const store = await open(folder, driver);
    for (let i = 0; i < 3; i++) await append(store, i * 5 + 1, 5);
    await store.append({
      ...batchOf([{ producerId: 7n, firstSequence: 16, count: 5 }]),
      windowPuts: [],
    });
    store.confirm(1, 5);
    await store.close();
    const kv = await openKeyValueStore({
      folder: join(folder, 'store'),
      createIfMissing: false,
      driver,
    });
    const ops = [headerKey(6), payloadKey(6)].map((key) => ({ key, value: undefined }));
    await kv.write(ops, { sync: true });
    await kv.close();
    await assert.rejects(open(folder, driver), {
      code: 'STORE_CORRUPT',
      message:
        'lane 0: expected the batch of sequence 6, which is not confirmed, found none before 11',
    });
  });

  test(`${driver}: a refused message is in the undeliverable log, whole, and counts as confirmed`, async (t) => {
    const folder = await tempFolder(t);
    const store = await open(folder, driver);
    await store.append(
      batchOf([
        { producerId: 7n, firstSequence: 100, count: 3 },
        { producerId: 9n, firstSequence: 5, count: 2 },
      ]),
    );
    await store.aside.put('undeliverable', [
      { sequence: 2, code: 'MESSAGE_TOO_LARGE', reason: 'too large' },
      { sequence: 5, code: 'UNKNOWN_TOPIC', reason: 'gone' },
    ]);
    await store.aside.put('undeliverable', [
      { sequence: 2, code: 'MESSAGE_TOO_LARGE', reason: 'again' },
    ]);
    assert.equal(store.aside.messages('undeliverable'), 2);
    await store.close();
    const again = await open(folder, driver);
    assert.deepEqual(await unconfirmedOf(again), ['7:100', '7:102', '9:5']);
    const [first, second] = await listOf(again.aside.entries('undeliverable'));
    assert.equal(
      `${first?.producerId} ${first?.producerSequence} ${first?.reason}`,
      '7 101 too large',
    );
    assert.equal(
      `${second?.producerId} ${second?.producerSequence} ${second?.topic}`,
      '9 6 orders',
    );
    assert.match(second?.body.toString() ?? '', /^9:6;/);
    assert(second !== undefined);
    await again.aside.remove('undeliverable', [second]);
    assert.equal(again.aside.messages('undeliverable'), 1);
    await again.close();
    const last = await open(folder, driver);
    assert.deepEqual(await unconfirmedOf(last), ['7:100', '7:102', '9:5'], 'it does not come back');
    await last.close();
  });

  test(`${driver}: quota numbers follow what is appended and confirmed`, async (t) => {
    const folder = await tempFolder(t);
    const store = await open(folder, driver);
    assert.deepEqual(store.stats(), {
      liveBytes: 0,
      batches: 0,
      unconfirmedMessages: 0,
      oldestAcceptedMs: undefined,
      nextSequence: 1,
      floor: 1,
    });
    await store.append(batchOf([{ producerId: 7n, firstSequence: 1, count: 10 }], 1000));
    const { liveBytes, oldestAcceptedMs } = store.stats();
    assert(liveBytes > 10_000 && liveBytes < 10_500, String(liveBytes));
    assert.equal(oldestAcceptedMs, 1_700_000_000_000);
    store.confirm(1, 10);
    assert.equal(store.stats().liveBytes, 0);
    assert.equal(store.stats().oldestAcceptedMs, undefined);
    const { freeBytes, totalBytes } = await store.volume();
    assert(freeBytes > 0 && totalBytes >= freeBytes);
    assert((await store.diskBytes()) > 0);
    await store.close();
  });

  test(`${driver}: any steps, folds and crashes keep exactly what is not confirmed`, async (t) => {
    const seed = Number(process.env.MQPROXY_SEED ?? Math.trunc(performance.timeOrigin % 2 ** 31));
    t.diagnostic(`seed=${seed}`);
    const step = fc.oneof(
      fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 9 }) }),
      fc.record({
        kind: fc.constant('confirm' as const),
        at: fc.double({ min: 0, max: 1, noNaN: true }),
        count: fc.integer({ min: 1, max: 12 }),
      }),
      fc.record({ kind: fc.constant('crash' as const), sync: fc.boolean() }),
    );
    const property = fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      let folder = join(await tempFolder(t), '0');
      let store = await open(folder, driver, { checkpointBatches: 3 });
      const confirmed = new Set<number>();
      let folded = 0;
      for (const s of steps) {
        const end = store.nextSequence;
        if (s.kind === 'append') {
          const batch = batchOf([{ producerId: 1n, firstSequence: end, count: s.count }]);
          if (store.checkpointDue) {
            folded = end - 1;
            await store.append({ ...batch, windowPuts: [windowPut(1n, String(folded))] });
          } else {
            await store.append(batch);
          }
        } else if (s.kind === 'confirm') {
          const first = 1 + Math.floor(s.at * (end - 1));
          const count = Math.min(s.count, end - first);
          if (count <= 0) continue;
          store.confirm(first, count);
          for (let i = first; i < first + count; i++) confirmed.add(i);
        } else {
          if (s.sync) await store.close();
          const copy = join(await tempFolder(t), '0');
          await copyAsOfACrash(folder, copy);
          if (!s.sync) await store.close();
          folder = copy;
          store = await open(folder, driver, { checkpointBatches: 3 });
          assert.equal(store.nextSequence, end, 'every answered batch is there');
          for (let i = 1; i < end; i++) {
            if (store.isConfirmed(i)) assert(confirmed.has(i), `${i} was never confirmed`);
            else confirmed.delete(i);
          }
        }
        const expected: string[] = [];
        for (let i = 1; i < store.nextSequence; i++) if (!confirmed.has(i)) expected.push(`1:${i}`);
        assert.deepEqual(await unconfirmedOf(store), expected);
        assert.equal(store.stats().unconfirmedMessages, expected.length);
      }
      await store.close();
      const last = await open(folder, driver);
      const seen = new Set<number>();
      for await (const { value } of last.windows()) {
        for (let i = 1; i <= Number(value.toString()); i++) seen.add(i);
      }
      for (const header of await listOf<BatchHeader>(last.headersSinceCheckpoint())) {
        for (let i = 0; i < header.messages; i++) seen.add(header.firstSequence + i);
      }
      assert.equal(seen.size, last.nextSequence - 1, 'windows and headers together know all');
      assert.equal(last.stats().batches, (await last.readBatches(1, 1 << 24)).batches.length);
      await last.close();
    });
    await fc.assert(property, { seed, numRuns: 6 });
  });
}

/** A store on a disk that fails on demand. */
async function onFailingDisk(t: TestContext, onFailure: (error: unknown) => void) {
  const folder = await tempFolder(t);
  const clock = new ManualClock();
  const options = { folder, lane: 0, clock, crc32c, onFailure, driver: drivers[0] };
  const disk = { full: false };
  const store = await openOver(options, (kv) => {
    const write = kv.write.bind(kv);
    kv.write = (ops, how) =>
      disk.full ? Promise.reject(new RangeError('No space left')) : write(ops, how);
  });
  return { store, clock, disk, folder };
}

test('a disk that fails is told with STORE_FAILED, and nothing is accepted after it', async (t) => {
  const { store, disk, folder } = await onFailingDisk(t, () => assert.fail('told twice'));
  await append(store, 1, 5);
  disk.full = true;
  store.confirm(1, 1);
  const failed = { code: 'STORE_FAILED', message: 'lane 0: the store failed: No space left' };
  await assert.rejects(append(store, 6, 1), failed);
  disk.full = false;
  await assert.rejects(append(store, 6, 1), failed);
  assert.equal(store.nextSequence, 6);
  await store.close();
  const again = await open(folder, drivers[0] ?? 'nxtedition');
  assert.deepEqual(await unconfirmedOf(again), named(7n, 1, 5));
  await again.close();
});

test('an idle flush that fails tells the owner', async (t) => {
  let tell = (_error: unknown) => {};
  const told = new Promise((resolve) => {
    tell = resolve;
  });
  const { store, disk, clock } = await onFailingDisk(t, (error) => tell(error));
  await append(store, 1, 5);
  store.confirm(1, 1);
  disk.full = true;
  clock.advance(100);
  assert.equal(codeOf(await told), 'STORE_FAILED');
  await store.close();
});

test('a drained outbox gives its space back', async (t) => {
  const folder = await tempFolder(t);
  const clock = new ManualClock();
  const options = { folder, lane: 0, clock, crc32c, driver: drivers[0], compactBytes: 1_000 };
  let tell = (_to: Buffer): void => {};
  const compacted = new Promise<Buffer>((resolve) => {
    tell = resolve;
  });
  const store = await openOver(options, (kv) => {
    kv.compact = async ({ to }) => tell(to);
  });
  await append(store, 1, 50);
  store.confirm(1, 50);
  clock.advance(100);
  assert.deepEqual(await compacted, payloadKey(51));
  await store.close();
});
