import assert from 'node:assert/strict';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  driverForNode,
  type KeyRange,
  type KeyValueStore,
} from '../../../src/store/key-value-store.ts';
import { openKeyValueStore } from '../../../src/store/open-key-value-store.ts';
import { drivers, tempFolder } from './support.ts';

const all: KeyRange = { from: Buffer.from([0]), to: Buffer.from([255, 255]) };

async function keysOf(store: KeyValueStore, range = all, options = {}): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.iterate(range, options)) found.push(key.toString());
  return found;
}

const entry = (key: string, value = `value of ${key}`) => ({
  key: Buffer.from(key),
  value: Buffer.from(value),
});

test('the driver is chosen by the version of Node', () => {
  assert.equal(driverForNode('v20.19.0'), 'rocksdb');
  assert.equal(driverForNode('v22.1.0'), 'nxtedition');
  assert.equal(driverForNode('v24.0.0'), 'nxtedition');
});

for (const driver of drivers) {
  test(`${driver}: what was written is read again, also after a reopen`, async (t) => {
    const folder = await tempFolder(t);
    const store = await openKeyValueStore({ folder, createIfMissing: true, driver });
    await store.write([entry('b'), entry('a'), entry('c')], { sync: true });
    await store.write([{ key: Buffer.from('b'), value: undefined }, entry('d')], { sync: false });
    assert.equal((await store.get(Buffer.from('a')))?.toString(), 'value of a');
    assert.equal(await store.get(Buffer.from('b')), undefined);
    await store.close();
    const again = await openKeyValueStore({ folder, createIfMissing: false, driver });
    assert.deepEqual(await keysOf(again), ['a', 'c', 'd']);
    await again.close();
  });

  test(`${driver}: iteration keeps to range, order, limit and bytes of keys`, async (t) => {
    const folder = await tempFolder(t);
    const store = await openKeyValueStore({ folder, createIfMissing: true, driver });
    const bytes = [Buffer.from([1]), Buffer.from([1, 0]), Buffer.from([1, 255]), Buffer.from([2])];
    await store.write(
      bytes.map((key) => ({ key, value: Buffer.alloc(300_000, 7) })),
      { sync: false },
    );
    const range = { from: Buffer.from([1, 0]), to: Buffer.from([2]) };
    const found: string[] = [];
    for await (const { key, value } of store.iterate(range)) {
      found.push(key.toString('hex'));
      assert.equal(value.length, 300_000);
    }
    assert.deepEqual(found, ['0100', '01ff']);
    for await (const { key, value } of store.iterate(all, { reverse: true, limit: 1 })) {
      assert.deepEqual(key, Buffer.from([2]));
      assert.equal(value.length, 300_000);
    }
    for await (const { value } of store.iterate(all, { keysOnly: true })) {
      assert.equal(value.length, 0);
    }
    await store.close();
  });

  test(`${driver}: more entries than one step holds are all found, and a break ends it`, async (t) => {
    const folder = await tempFolder(t);
    const store = await openKeyValueStore({ folder, createIfMissing: true, driver });
    const ops = Array.from({ length: 3000 }, (_, i) => entry(String(i).padStart(5, '0')));
    await store.write(ops, { sync: false });
    assert.equal((await keysOf(store)).length, 3000);
    for await (const { key } of store.iterate(all)) {
      assert.equal(key.toString(), '00000');
      break;
    }
    await store.close();
  });

  test(`${driver}: what was deleted is gone after a compaction, what lies beside it stays`, async (t) => {
    const folder = await tempFolder(t);
    const store = await openKeyValueStore({ folder, createIfMissing: true, driver });
    await store.write(
      ['a', 'b', 'c', 'd'].map((key) => entry(key)),
      { sync: false },
    );
    const deleted = ['b', 'c'].map((key) => ({ key: Buffer.from(key), value: undefined }));
    await store.write(deleted, { sync: false });
    await store.compact({ from: Buffer.from('b'), to: Buffer.from('d') });
    assert.deepEqual(await keysOf(store), ['a', 'd']);
    await store.close();
  });

  test(`${driver}: a missing store is not made when it must exist`, async (t) => {
    const folder = join(await tempFolder(t), 'none');
    await assert.rejects(openKeyValueStore({ folder, createIfMissing: false, driver }));
    await assert.rejects(stat(join(folder, 'CURRENT')));
  });

  test(`${driver}: a second opening is refused while the first is open`, async (t) => {
    const folder = await tempFolder(t);
    const store = await openKeyValueStore({ folder, createIfMissing: true, driver });
    await assert.rejects(openKeyValueStore({ folder, createIfMissing: true, driver }), (error) => {
      assert.match(JSON.stringify(flat(error)), /lock/i);
      return true;
    });
    await store.close();
  });
}

function flat(error: unknown): unknown[] {
  if (!(error instanceof Error)) return [];
  return [error.message, 'code' in error ? error.code : '', ...flat(error.cause)];
}
