import assert from 'node:assert/strict';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { delayIdOfSeries } from '../../../protocol/src/delay-id.ts';
import { coded } from '../../../src/base/errors.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { DelayIndex, dueKey, IndexChanges } from '../../../src/delay/delay-index.ts';
import { driverForNode } from '../../../src/store/key-value-store.ts';
import { isCorruption } from '../../../src/store/mapped-errors.ts';
import { openKeyValueStore } from '../../../src/store/open-key-value-store.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { MemoryStore } from './memory-store.ts';

const open = (folder: string) =>
  DelayIndex.open(
    folder,
    (at) => openKeyValueStore({ folder: at, createIfMissing: true }),
    silentLogger(),
  );

test('an index that opens and cannot be read is begun anew, in the same process', async () => {
  const folder = join(tempDir(), 'index');
  const index = await open(folder);
  await index.close();
  // What the log of the store held becomes a table, and is lost.
  await (await open(folder)).close();
  for (const name of await readdir(folder)) if (name.endsWith('.sst')) await rm(join(folder, name));
  const anew = await open(folder);
  assert.deepEqual(await anew.progress(3), { applied: 0, pending: 0 });
  await anew.close();
});

test('where a series ended is remembered for a day, and forgotten with its partition', async () => {
  const index = await open(join(tempDir(), 'index'));
  const nowMs = 1_700_000_000_000;
  const of = (name: string) => delayIdOfSeries(name);
  const changes = new IndexChanges();
  changes.ended(of('old'), 7, nowMs - 86_400_001);
  changes.ended(of('new'), 8, nowMs);
  changes.ended(of('other'), 9, nowMs);
  for (let i = 0; i < 200_000; i++) changes.deleted++;
  changes.deletedUpTo = nowMs;
  await index.write(changes);
  assert.equal(await index.endedAt(of('old')), 7);
  await index.tidy(nowMs);
  const ends = () => Promise.all(['old', 'new', 'other'].map((name) => index.endedAt(of(name))));
  assert.deepEqual(await ends(), [undefined, 8, 9]);
  assert.notEqual(of('new')[1], of('other')[1]);
  await index.forget(of('new')[1] as number);
  assert.deepEqual(await ends(), [undefined, undefined, 9]);
  await index.close();
});

test('ends are forgotten after a day by a node that few end on, and that is started often', async () => {
  const store = new MemoryStore();
  const opened = () => DelayIndex.open('', async () => store, silentLogger());
  const nowMs = 1_700_000_000_000;
  const id = (name: string) => delayIdOfSeries(name);
  const index = await opened();
  const changes = new IndexChanges();
  changes.ended(id('a'), 7, nowMs);
  changes.ended(id('b'), 8, nowMs + 3_600_000);
  await index.write(changes);
  const ends = (of: DelayIndex) => Promise.all([id('a'), id('b')].map((one) => of.endedAt(one)));
  for (const hours of [0, 12, 23]) await index.tidy(nowMs + hours * 3_600_000);
  assert.deepEqual(await ends(index), [7, 8]);
  const again = await opened();
  await again.tidy(nowMs + 86_400_001);
  assert.deepEqual(await ends(again), [undefined, 8]);
  await again.tidy(nowMs + 2 * 86_400_000);
  assert.deepEqual(await ends(again), [undefined, 8], 'once a day, for it reads them all');
  await again.tidy(nowMs + 2 * 86_400_001);
  assert.deepEqual(await ends(again), [undefined, undefined]);
});

test('a series that fires while series are read is read where it stands then', async () => {
  const index = await DelayIndex.open('', async () => new MemoryStore(), silentLogger());
  const of = (sequence: number) => {
    const id = delayIdOfSeries('a');
    return Buffer.from(id).fill(sequence, id.length - 1);
  };
  const stands = async (id: Buffer, dueMs: number, beforeMs?: number) => {
    const changes = new IndexChanges();
    if (beforeMs !== undefined) changes.remove(id, beforeMs, false);
    changes.put(id, dueMs, dueMs, Buffer.from(`at ${dueMs}`));
    await index.write(changes);
  };
  for (const sequence of [1, 2, 3]) await stands(of(sequence), sequence);
  const found: string[] = [];
  for await (const { dueMs, bytes } of index.ofKind(of(1)[1] as number, of(1)[2] as number)) {
    if (found.length === 0) await stands(of(2), 20, 2);
    found.push(`${dueMs} ${bytes}`);
  }
  assert.deepEqual(found, ['1 at 1', '20 at 20', '3 at 3']);
});

test('a partition is forgotten by its own lines, some at a time, and again where that was broken off', async () => {
  const store = new MemoryStore();
  const opened = () => DelayIndex.open('', async () => store, silentLogger());
  const index = await opened();
  const id = (partition: number, i: number) => {
    const bytes = Buffer.alloc(24, partition);
    bytes[0] = 1;
    bytes.writeUInt32BE(i, 20);
    return bytes;
  };
  const changes = new IndexChanges();
  for (let i = 0; i < 15_000; i++) changes.put(id(3, i), 1_000 + i, i, Buffer.of(1));
  for (let i = 0; i < 7; i++) changes.put(id(4, i), 1_000 + i, i, Buffer.of(1));
  for (let i = 0; i < 50; i++) changes.ended(id(3, i), i, 5);
  changes.progress(3, { applied: 15_000, pending: 15_000, heardMs: 5 });
  await index.write(changes);
  const written: number[] = [];
  let isBroken = true;
  let read = 0;
  const { write, iterate } = MemoryStore.prototype;
  store.write = async (ops) => {
    if (isBroken && written.length === 1) throw coded('RETRY_LATER', 'broken');
    written.push(ops.length);
    await write.call(store, ops);
  };
  store.iterate = async function* (range, options) {
    for await (const entry of iterate.call(store, range, options)) {
      read++;
      yield entry;
    }
  };
  await assert.rejects(index.forget(3));
  const between = await opened();
  assert.deepEqual(await between.progress(3), { applied: 15_000, pending: 15_000, heardMs: 0 });
  isBroken = false;
  read = 0;
  await between.forget(3);
  assert(Math.max(...written) <= 20_002, `${written}`);
  assert(read <= 15_050, `${read} lines were read`);
  assert.deepEqual(await between.progress(3), { applied: 0, pending: 0 });
  // The other's lines, how far this one is, and the version.
  assert.equal(store.size, 2 * 7 + 2);
});

test('a damaged record is not given out, and the index says that it is damaged', async () => {
  const folder = join(tempDir(), 'index');
  const written = await open(folder);
  const id = Buffer.alloc(24, 7);
  const bytes = Buffer.alloc(20_000, 0x41);
  const changes = new IndexChanges();
  changes.put(id, 1_000, 0, bytes);
  await written.write(changes);
  await written.close();
  // What the log of the store held becomes a table; at the opening it is still whole.
  const index = await open(folder);
  let damaged = 0;
  for (const name of await readdir(folder)) {
    const file = await readFile(join(folder, name));
    const at = file.indexOf(bytes);
    if (!name.endsWith('.sst') || at < 0) continue;
    file.fill(0x42, at + 5_000, at + 5_100);
    await writeFile(join(folder, name), file);
    damaged++;
  }
  assert.equal(damaged, 1);
  const failures: unknown[] = [];
  index.onFailed = (error) => failures.push(error);
  const read = async () => {
    for await (const { bytes: record } of index.between({
      from: dueKey(0, undefined),
      to: dueKey(2_000, undefined),
    })) {
      assert.deepEqual(record, bytes);
    }
  };
  await assert.rejects(read(), { code: 'RETRY_LATER' });
  await assert.rejects(index.record(id, 1_000), { code: 'RETRY_LATER' });
  assert.deepEqual(failures.map(isCorruption), [true, true]);
  await index.close();
  // The other binding finds it when it is read.
  if (driverForNode(process.version) !== 'rocksdb') return;
  const anew = await open(folder);
  assert.equal(await anew.find(id), undefined, 'opened with a damaged table it begins anew');
  await anew.close();
});
