import assert from 'node:assert/strict';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { silentLogger } from '../../../src/base/log.ts';
import { DelayIndex } from '../../../src/delay/delay-index.ts';
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
