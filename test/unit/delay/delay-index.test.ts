import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { delayIdOfSeries } from '../../../protocol/src/delay-id.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { DelayIndex, IndexChanges } from '../../../src/delay/delay-index.ts';
import { openKeyValueStore } from '../../../src/store/open-key-value-store.ts';
import { tempDir } from '../../support/temp-dir.ts';

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
