import assert from 'node:assert/strict';
import { cp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import { codeOf, messageOf } from '../../../src/base/errors.ts';
import type { DriverName, KeyValueStore } from '../../../src/store/key-value-store.ts';
import { headerKey, payloadKey } from '../../../src/store/keys.ts';
import type { LaneStore } from '../../../src/store/lane-store.ts';
import { openKeyValueStore } from '../../../src/store/open-key-value-store.ts';
import { openLaneStore } from '../../../src/store/open-lane-store.ts';
import { batchOf, crc32c, drivers, named, tempFolder, unconfirmedOf } from './support.ts';

function open(folder: string, driver: DriverName): Promise<LaneStore> {
  return openLaneStore({ folder, lane: 3, clock: systemClock, crc32c, driver });
}

/** A closed lane with batches 1..5, 6..10, …; each of five messages of producer 7. */
async function laneWith(t: TestContext, driver: DriverName, batches: number): Promise<string> {
  const folder = join(await tempFolder(t), '3');
  const store = await open(folder, driver);
  for (let i = 0; i < batches; i++) {
    await store.append(batchOf([{ producerId: 7n, firstSequence: i * 5 + 1, count: 5 }]));
  }
  await store.close();
  return folder;
}

async function withKeys(
  folder: string,
  driver: DriverName,
  change: (kv: KeyValueStore) => Promise<void>,
): Promise<void> {
  const kv = await openKeyValueStore({
    folder: join(folder, 'store'),
    createIfMissing: false,
    driver,
  });
  await change(kv);
  await kv.close();
}

async function refused(folder: string, driver: DriverName, words: RegExp): Promise<void> {
  await assert.rejects(open(folder, driver), (error) => {
    assert.equal(codeOf(error), 'STORE_CORRUPT');
    assert.match(messageOf(error), /^lane 3: expected /);
    assert.match(messageOf(error), words);
    return true;
  });
}

async function flip(path: string, at: number): Promise<void> {
  const bytes = await readFile(path);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 0x10, at);
  await writeFile(path, bytes);
}

async function filesOf(folder: string, ending: RegExp): Promise<string[]> {
  const names = await readdir(join(folder, 'store'));
  return names.filter((name) => ending.test(name)).map((name) => join(folder, 'store', name));
}

for (const driver of drivers) {
  test(`${driver}: what was appended is there after a reopen, in order`, async (t) => {
    const folder = await laneWith(t, driver, 4);
    const store = await open(folder, driver);
    assert.equal(store.nextSequence, 21);
    assert.deepEqual(await unconfirmedOf(store), named(7n, 1, 20));
    assert.equal(store.stats().batches, 4);
    await store.close();
  });

  test(`${driver}: a copy of the folder of an open store serves every answered batch`, async (t) => {
    const folder = join(await tempFolder(t), '3');
    const copy = join(await tempFolder(t), '3');
    const store = await open(folder, driver);
    for (let i = 0; i < 30; i++) {
      await store.append(batchOf([{ producerId: 7n, firstSequence: i + 1, count: 1 }]));
    }
    await cp(join(folder, 'mark'), join(copy, 'mark'));
    await cp(folder, copy, { recursive: true, force: false });
    const again = await open(copy, driver);
    assert.deepEqual(await unconfirmedOf(again), named(7n, 1, 30));
    await again.close();
    await store.close();
  });

  test(`${driver}: a last record that is gone below the mark is refused`, async (t) => {
    const folder = await laneWith(t, driver, 4);
    await withKeys(folder, driver, (kv) =>
      kv.write(
        [
          { key: headerKey(16), value: undefined },
          { key: payloadKey(16), value: undefined },
        ],
        { sync: true },
      ),
    );
    await refused(folder, driver, /up to sequence 20, .* ending at 15$/);
  });

  test(`${driver}: a log cut below the mark, at every record's end, is refused`, async (t) => {
    const folder = await tempFolder(t).then((temp) => join(temp, '3'));
    const store = await open(folder, driver);
    const ends: number[] = [];
    for (let i = 0; i < 4; i++) {
      await store.append(batchOf([{ producerId: 7n, firstSequence: i * 5 + 1, count: 5 }]));
      const [log = ''] = await filesOf(folder, /\.log$/);
      ends.push((await readFile(log)).length);
    }
    await store.close();
    const [log = ''] = await filesOf(folder, /\.log$/);
    const whole = await readFile(log);
    for (const [i, end] of ends.slice(0, -1).entries()) {
      const copy = join(await tempFolder(t), '3');
      await cp(folder, copy, { recursive: true });
      await writeFile(log.replace(folder, copy), whole.subarray(0, end));
      await refused(copy, driver, new RegExp(`up to sequence 20, .* ending at ${(i + 1) * 5}$`));
    }
  });

  test(`${driver}: a bit flipped anywhere in the log is refused or changes nothing`, async (t) => {
    const folder = await laneWith(t, driver, 3);
    const [log = ''] = await filesOf(folder, /\.log$/);
    const { length } = await readFile(log);
    for (let at = 3; at < length; at += Math.ceil(length / 25)) {
      const copy = join(await tempFolder(t), '3');
      await cp(folder, copy, { recursive: true });
      await flip(log.replace(folder, copy), at);
      const store = await open(copy, driver).catch((error: unknown) => {
        assert.equal(codeOf(error), 'STORE_CORRUPT', messageOf(error));
        return undefined;
      });
      if (store === undefined) continue;
      assert.deepEqual(await unconfirmedOf(store), named(7n, 1, 15));
      await store.close();
    }
  });

  test(`${driver}: a bit flipped in a header or a payload is refused`, async (t) => {
    for (const key of [headerKey(6), payloadKey(6)]) {
      for (const at of [0, 5, 13, 20, 40]) {
        const folder = await laneWith(t, driver, 3);
        await withKeys(folder, driver, async (kv) => {
          const value = (await kv.get(key)) ?? Buffer.alloc(0);
          value.writeUInt8(value.readUInt8(at) ^ 1, at);
          await kv.write([{ key, value }], { sync: true });
        });
        await assert.rejects(open(folder, driver), { code: 'STORE_CORRUPT' });
      }
    }
  });

  test(`${driver}: another batch in the place of one is refused`, async (t) => {
    const folder = await laneWith(t, driver, 3);
    await withKeys(folder, driver, async (kv) => {
      const value = await kv.get(headerKey(1));
      await kv.write([{ key: headerKey(6), value }], { sync: true });
    });
    await refused(folder, driver, /the header of sequence 6, found that of 1 in its place$/);
  });

  test(`${driver}: a header that is whole but linked to another chain is refused`, async (t) => {
    const folder = await laneWith(t, driver, 3);
    await withKeys(folder, driver, async (kv) => {
      const { header, payload, payloadCrc } = batchOf([
        { producerId: 7n, firstSequence: 6, count: 5 },
      ]);
      const payloadBytes = payload?.length ?? 0;
      const seal = { previousCrc: 17, firstSequence: 6, payloadBytes, payloadCrc: payloadCrc ?? 0 };
      const value = header.finish(seal, crc32c);
      await kv.write([{ key: headerKey(6), value }], { sync: true });
    });
    await refused(folder, driver, /chained to 0x[0-9a-f]{8}, found it chained to 0x00000011$/);
  });

  test(`${driver}: a missing payload is refused`, async (t) => {
    const folder = await laneWith(t, driver, 3);
    await withKeys(folder, driver, (kv) =>
      kv.write([{ key: payloadKey(6), value: undefined }], { sync: true }),
    );
    await refused(folder, driver, /the payload of sequence 6, found none$/);
  });

  test(`${driver}: a missing header in the middle is refused`, async (t) => {
    const folder = await laneWith(t, driver, 3);
    await withKeys(folder, driver, (kv) =>
      kv.write([{ key: headerKey(6), value: undefined }], { sync: true }),
    );
    await refused(folder, driver, /the header of sequence 6, found /);
  });

  test(`${driver}: a missing or unreadable mark is refused; one torn slot is not`, async (t) => {
    const folder = await laneWith(t, driver, 3);
    await flip(join(folder, 'mark'), 30);
    const store = await open(folder, driver);
    assert.equal(store.nextSequence, 16);
    await store.close();
    await flip(join(folder, 'mark'), 30);
    await flip(join(folder, 'mark'), 4096 + 30);
    await refused(folder, driver, /a high-water mark, found no readable slot$/);
    await rm(join(folder, 'mark'));
    await refused(folder, driver, /a high-water mark, found no file "mark"$/);
  });

  test(`${driver}: the mark of another lane is refused`, async (t) => {
    const folder = await laneWith(t, driver, 1);
    const other = openLaneStore({ folder, lane: 4, clock: systemClock, crc32c, driver });
    await assert.rejects(other, { code: 'STORE_CORRUPT' });
  });

  test(`${driver}: each missing file of the store is refused or changes nothing`, async (t) => {
    const folder = await laneWith(t, driver, 3);
    // Opening again moves the log's content into a table.
    await (await open(folder, driver)).close();
    const names = await readdir(join(folder, 'store'));
    assert(
      names.some((name) => name.endsWith('.sst')),
      names.join(),
    );
    for (const name of names) {
      const copy = join(await tempFolder(t), '3');
      await cp(folder, copy, { recursive: true });
      await rename(join(copy, 'store', name), join(copy, name));
      const store = await open(copy, driver).catch((error: unknown) => {
        assert.equal(codeOf(error), 'STORE_CORRUPT', messageOf(error));
        return undefined;
      });
      if (store === undefined) continue;
      assert(!/\.sst$|^MANIFEST|^CURRENT/.test(name), `${name} is missing and nobody noticed`);
      assert.deepEqual(await unconfirmedOf(store), named(7n, 1, 15));
      await store.close();
    }
    const bare = join(await tempFolder(t), '3');
    await cp(folder, bare, { recursive: true });
    await rm(join(bare, 'store'), { recursive: true });
    await refused(bare, driver, /a store that reaches sequence 15, found none/);
  });

  test(`${driver}: a damaged table is refused as that wherever it is damaged, or changes nothing`, async (t) => {
    const folder = await laneWith(t, driver, 3);
    await (await open(folder, driver)).close();
    const [table] = await filesOf(folder, /\.sst$/);
    assert(table !== undefined);
    const { size } = await stat(table);
    const step = Math.ceil(size / 15);
    let refusals = 0;
    for (let at = 0; at < size; at += step) {
      const copy = join(await tempFolder(t), '3');
      await cp(folder, copy, { recursive: true });
      await flip(join(copy, 'store', basename(table)), at);
      try {
        const store = await open(copy, driver);
        assert.deepEqual(await unconfirmedOf(store), named(7n, 1, 15), `byte ${at}`);
        await store.close();
      } catch (error) {
        assert.equal(codeOf(error), 'STORE_CORRUPT', `byte ${at}: ${messageOf(error)}`);
        assert.match(messageOf(error), /^lane 3: expected /);
        refusals++;
      }
    }
    assert(refusals > 0);
  });

  test(`${driver}: a store that another has open is refused as locked`, async (t) => {
    const folder = join(await tempFolder(t), '3');
    const store = await open(folder, driver);
    await assert.rejects(open(folder, driver), { code: 'STORE_LOCKED' });
    await store.close();
  });
}
