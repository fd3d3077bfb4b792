import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { systemClock } from '../../../src/base/clock.ts';
import type { LaneStore } from '../../../src/store/lane-store.ts';
import { openLaneStore } from '../../../src/store/open-lane-store.ts';
import { finishRelane, relane } from '../../../src/store/relane.ts';
import { batchOf, crc32c, drivers, tempFolder, unconfirmedOf } from './support.ts';

const driver = drivers[0];
const producers = [1n, 2n, 3n, 4n, 5n, 6n, 7n];

function open(dataDir: string, lane: number): Promise<LaneStore> {
  const folder = join(dataDir, 'lanes', String(lane));
  return openLaneStore({ folder, lane, clock: systemClock, crc32c, driver, checkpointBatches: 5 });
}

/** One lane with backlog, holes, a checkpoint in the middle, and a refused message. */
async function oneLane(t: TestContext): Promise<string> {
  const dataDir = await tempFolder(t);
  const store = await open(dataDir, 0);
  for (let round = 0; round < 12; round++) {
    const runs = producers.map((producerId) => {
      const count = 1 + (round % 3);
      return { producerId, firstSequence: round * 3 + 1, count };
    });
    const batch = batchOf(runs);
    if (!store.checkpointDue) await store.append(batch);
    else {
      const windowPuts = producers.map((producerId) => {
        const key = Buffer.alloc(8);
        key.writeBigUInt64BE(producerId);
        return { key, value: Buffer.from(`window of ${producerId} at ${round}`) };
      });
      await store.append({ ...batch, windowPuts });
    }
    if (round === 3) store.confirm(1, 7);
    if (round === 9) for (let s = 9; s < store.nextSequence; s += 4) store.confirm(s, 1);
  }
  await store.aside.put('undeliverable', [{ sequence: 8, code: 'UNKNOWN_TOPIC', reason: 'gone' }]);
  await store.close();
  return dataDir;
}

interface Found {
  readonly waiting: Map<string, string[]>;
  readonly windows: string[];
  readonly segments: string[];
  readonly undeliverable: string[];
}

/** What all lanes hold, by producer, in the order in which it would be sent. */
async function everything(
  dataDir: string,
  lanes: number,
  laneOf: (id: bigint) => number,
): Promise<Found> {
  const waiting = new Map<string, string[]>();
  const windows: string[] = [];
  const segments: string[] = [];
  const undeliverable: string[] = [];
  for (let lane = 0; lane < lanes; lane++) {
    const store = await open(dataDir, lane);
    for (const name of await unconfirmedOf(store)) {
      const [producer = ''] = name.split(':');
      assert.equal(laneOf(BigInt(producer)), lane);
      waiting.set(producer, [...(waiting.get(producer) ?? []), name]);
    }
    for await (const { key, value } of store.windows()) {
      assert.equal(laneOf(key.readBigUInt64BE()), lane);
      windows.push(value.toString());
    }
    for await (const header of store.headersSinceCheckpoint()) {
      for (const s of header.segments)
        segments.push(`${s.producerId}:${s.firstSequence}+${s.count}`);
    }
    for await (const entry of store.aside.entries('undeliverable')) {
      undeliverable.push(
        `${entry.producerId}:${entry.producerSequence} ${entry.code} ${entry.body}`,
      );
    }
    await store.close();
  }
  return { waiting, windows: windows.sort(), segments: segments.sort(), undeliverable };
}

const modulo = (lanes: number) => (producerId: bigint) => Number(producerId % BigInt(lanes));

test(`${driver}: relane 1 to 4 to 3 to 1 keeps every message, window and undeliverable, in order`, async (t) => {
  const dataDir = await oneLane(t);
  const before = await everything(dataDir, 1, modulo(1));
  assert.equal(before.windows.length, 7);
  assert.equal(before.undeliverable.length, 1);
  let lanesBefore = 1;
  for (const lanes of [4, 3, 1]) {
    const told: number[] = [];
    const report = await relane({
      dataDir,
      lanesBefore,
      lanes,
      laneOf: modulo(lanes),
      setLanes: (count) => void told.push(count),
      clock: systemClock,
      crc32c,
      driver,
    });
    assert.deepEqual(told, [lanes]);
    assert.equal(report.windows, 7);
    assert.equal(report.undeliverable, 1);
    const after = await everything(dataDir, lanes, modulo(lanes));
    assert.deepEqual(new Map([...after.waiting].sort()), new Map([...before.waiting].sort()));
    assert.deepEqual({ ...after, waiting: 0 }, { ...before, waiting: 0 });
    assert.equal((await readdir(join(dataDir, 'lanes'))).length, lanes);
    assert.deepEqual(await readdir(dataDir), ['lanes']);
    lanesBefore = lanes;
  }
});

test(`${driver}: a crash at any step of the switch is made good`, async (t) => {
  const dataDir = await oneLane(t);
  const before = await everything(dataDir, 1, modulo(1));
  const done = await tempFolder(t);
  await cp(dataDir, done, { recursive: true });
  const options = { laneOf: modulo(4), clock: systemClock, crc32c, driver };
  await relane({ ...options, dataDir: done, lanesBefore: 1, lanes: 4, setLanes: () => {} });
  for (let step = 0; step <= 4; step++) {
    const crashed = await tempFolder(t);
    const at = (name: string) => join(crashed, name);
    await cp(join(dataDir, 'lanes'), at('lanes'), { recursive: true });
    await cp(join(done, 'lanes'), at('lanes.new'), { recursive: true });
    if (step >= 1) await writeFile(at('relane.ready'), '4');
    if (step >= 2) await rename(at('lanes'), at('lanes.old'));
    if (step >= 3) await rename(at('lanes.new'), at('lanes'));
    if (step >= 4) await rm(at('lanes.old'), { recursive: true });
    let lanes = 1;
    const setLanes = (count: number) => {
      lanes = count;
    };
    await finishRelane({ dataDir: crashed, setLanes });
    await finishRelane({ dataDir: crashed, setLanes });
    assert.equal(lanes, step === 0 ? 1 : 4);
    const after = await everything(crashed, lanes, modulo(lanes));
    assert.deepEqual(new Map([...after.waiting].sort()), new Map([...before.waiting].sort()));
    assert.deepEqual(after.windows, before.windows);
    for (const name of ['lanes.new', 'lanes.old', 'relane.ready'])
      assert(!existsSync(at(name)), name);
  }
});

test(`${driver}: a lane that is missing is refused before anything is changed`, async (t) => {
  const dataDir = await oneLane(t);
  const work = relane({
    dataDir,
    lanesBefore: 2,
    lanes: 4,
    laneOf: modulo(4),
    setLanes: () => assert.fail('switched'),
    clock: systemClock,
    crc32c,
    driver,
  });
  await assert.rejects(work, { code: 'STORE_CORRUPT', message: /^lane 1: expected its folder/ });
  await (await open(dataDir, 0)).close();
});
