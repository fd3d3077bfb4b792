import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { crc32c } from '../../../src/native/addon.ts';
import { HighWaterMark, readMark } from '../../../src/store/high-water-mark.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { until } from '../../support/wait.ts';
import { ManualClock } from './support.ts';

async function start() {
  const clock = new ManualClock();
  const path = join(tempDir(), 'mark');
  const onFailure = (error: unknown): void => assert.fail(String(error));
  const options = { path, lane: 3, clock, crc32c, onFailure };
  const mark = await HighWaterMark.start(options, { nextSequence: 1, lastCrc: 0 });
  const onDisk = async () => (await readMark(path, 3, crc32c))?.nextSequence;
  return { clock, mark, onDisk };
}

test('the mark is at most 50 ms behind, however often the store goes on', async () => {
  const { clock, mark, onDisk } = await start();
  // Each step comes before the time of the one before is up: the first one counts.
  for (let step = 1; step <= 20; step++) {
    const due = step - 4;
    mark.reach({ nextSequence: 1 + step, lastCrc: step });
    clock.advance(10);
    if (due < 1) continue;
    const isThere = async () => ((await onDisk()) ?? 0) > due;
    await until(isThere, { what: `step ${due}, 50 ms after it, on the disk` });
  }
  await mark.abandon();
});

test('the mark is not written before its time, and at once when asked', async () => {
  const { clock, mark, onDisk } = await start();
  mark.reach({ nextSequence: 7, lastCrc: 1 });
  clock.advance(1);
  assert.equal(await onDisk(), 1);
  await mark.flush();
  assert.equal(await onDisk(), 7);
  await mark.abandon();
});
