import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openKeyValueStore } from '../../../src/store/open-key-value-store.ts';
import { checkTables, tablesIn } from '../../../src/store/table-check.ts';
import { drivers, tempFolder } from './support.ts';

// The other binding checks blocks whenever it reads, and writes tables of its own version.
const skip = drivers.includes('rocksdb') ? false : 'with the binding of Node 20';
const FOOTER_BYTES = 53;

async function check(folder: string, except?: string): Promise<void> {
  await checkTables(folder, await tablesIn(folder), except);
}

/** A closed store with one table. */
async function tableOf(
  folder: string,
  kinds: string,
  records: number,
  valueBytes: number,
): Promise<string> {
  const store = await openKeyValueStore({ folder, createIfMissing: true, driver: 'rocksdb' });
  const ops = [...kinds].flatMap((kind) =>
    Array.from({ length: records }, (_, i) => ({
      key: Buffer.from(`${kind}${String(i).padStart(6, '0')}`),
      value: Buffer.alloc(valueBytes, `${kind}${i};`),
    })),
  );
  await store.write(ops, { sync: true });
  await store.close();
  // What is in the log becomes a table when it is opened.
  await (await openKeyValueStore({ folder, createIfMissing: false, driver: 'rocksdb' })).close();
  const tables = readdirSync(folder).filter((name) => name.endsWith('.sst'));
  assert.equal(tables.length, 1);
  return join(folder, tables[0] as string);
}

test('a flipped bit anywhere in the blocks of a table is found, and named', { skip }, async (t) => {
  const folder = await tempFolder(t);
  const path = await tableOf(folder, 'hu', 20, 60);
  const whole = readFileSync(path);
  await check(folder);
  for (let at = 0; at < whole.length - FOOTER_BYTES; at++) {
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << (at % 8)), at);
    writeFileSync(path, damaged);
    await assert.rejects(
      check(folder),
      { code: 'STORE_CORRUPT', message: /^expected in \d+\.sst .*, found / },
      `byte ${at}`,
    );
  }
  writeFileSync(path, whole);
  await check(folder);
});

test('a table that is cut, or whose end is not one, is refused', { skip }, async (t) => {
  const folder = await tempFolder(t);
  const path = await tableOf(folder, 'h', 300, 100);
  const whole = readFileSync(path);
  for (const bytes of [0, 10, FOOTER_BYTES, whole.length >> 1, whole.length - 1]) {
    writeFileSync(path, whole.subarray(0, bytes));
    await assert.rejects(check(folder), { code: 'STORE_CORRUPT' }, `cut to ${bytes} bytes`);
  }
  // The footer has no checksum; what it says must lead to blocks, and to ones that can be checked.
  for (let at = whole.length - FOOTER_BYTES; at < whole.length; at++) {
    const damaged = Buffer.from(whole);
    damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << (at % 8)), at);
    writeFileSync(path, damaged);
    await check(folder).catch((error: unknown) => {
      assert.equal((error as { code?: string }).code, 'STORE_CORRUPT', `byte ${at}: ${error}`);
    });
  }
});

test('of a table of many megabytes the blocks that their reader proves are passed over', {
  skip,
}, async (t) => {
  const folder = await tempFolder(t);
  const path = await tableOf(folder, 'cdh', 900, 2_000);
  const whole = readFileSync(path);
  assert(whole.length > 5_000_000);
  await check(folder, 'c');
  const flippedIn = async (text: string, except?: string) => {
    const damaged = Buffer.from(whole);
    const at = damaged.indexOf(text);
    assert(at > 0, text);
    damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
    writeFileSync(path, damaged);
    return check(folder, except).then(
      () => 'fine',
      () => 'refused',
    );
  };
  assert.equal(await flippedIn('c450;'), 'refused');
  assert.equal(await flippedIn('c450;', 'c'), 'fine');
  for (const text of ['d0;', 'd450;', 'd899;', 'h0;', 'h899;'])
    assert.equal(await flippedIn(text, 'c'), 'refused', text);
});
