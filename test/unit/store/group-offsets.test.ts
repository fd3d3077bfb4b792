import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import type { DriverName } from '../../../src/store/key-value-store.ts';
import type { LaneStore } from '../../../src/store/lane-store.ts';
import { openLaneStore } from '../../../src/store/open-lane-store.ts';
import { crc32c, drivers, tempFolder } from './support.ts';

function open(folder: string, driver: DriverName): Promise<LaneStore> {
  return openLaneStore({ folder, lane: 0, clock: systemClock, crc32c, driver });
}

for (const driver of drivers) {
  test(`commits of groups are kept apart, replaced and dropped, with ${driver}`, async (t) => {
    const folder = join(await tempFolder(t), '0');
    let store = await open(folder, driver);
    const commit = (topic: string, partition: number, offset: number, metadata = '') => ({
      topic,
      partition,
      offset,
      metadata,
    });
    await store.groups.commit('g', [commit('a', 0, 5), commit('a', 1, 6, 'x')]);
    // A name that begins with another's is another group.
    await store.groups.commit('g2', [commit('a', 0, 7)]);
    await store.groups.commit('', [commit('a', 0, 9)]);
    await store.groups.commit('g', [commit('a', 0, 2 ** 52, 'y'.repeat(3000))]);
    await store.close();
    store = await open(folder, driver);
    assert.deepEqual(await store.groups.groups(), ['', 'g', 'g2']);
    const first = commit('a', 0, 2 ** 52, 'y'.repeat(3000));
    assert.deepEqual(await store.groups.read('g'), [first, commit('a', 1, 6, 'x')]);
    await store.groups.drop('g');
    assert.deepEqual(await store.groups.read('g'), []);
    assert.deepEqual(await store.groups.groups(), ['', 'g2']);
    assert.deepEqual(await store.groups.read('none'), []);
    await store.close();
  });
}
