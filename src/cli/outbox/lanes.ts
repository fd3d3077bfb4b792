import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { systemClock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import { crc32c } from '../../native/addon.ts';
import { readManifest } from '../../node-manifest.ts';
import type { LaneStore } from '../../store/lane-store.ts';
import { openLaneStore } from '../../store/open-lane-store.ts';

/**
 * The numbers of the lanes a data folder has.
 * @throws CodedError `NO_OUTBOX` when it has none, `STORE_CORRUPT` when a lane's folder is missing
 */
export async function laneNumbers(dataDir: string): Promise<number[]> {
  if (!existsSync(join(dataDir, 'node.json'))) {
    throw coded('NO_OUTBOX', `there is no outbox in ${dataDir}`, {
      hint: 'name the data folder of the node with --data-dir, or its --config',
    });
  }
  const { lanes } = readManifest(dataDir);
  const numbers = Array.from({ length: lanes }, (_, lane) => lane);
  const missing = numbers.find((lane) => !existsSync(folderOf(dataDir, lane)));
  if (missing === undefined) return numbers;
  const found = `expected ${lanes} lanes, found no folder ${folderOf(dataDir, missing)}`;
  throw coded('STORE_CORRUPT', `lane ${missing}: ${found}`);
}

/**
 * Opens the store of a lane, which proves it, and closes it after `work`.
 * @throws CodedError `STORE_CORRUPT` with what is missing; `STORE_LOCKED` while the node runs
 */
export async function withLane<T>(
  dataDir: string,
  lane: number,
  work: (store: LaneStore) => Promise<T>,
): Promise<T> {
  const folder = folderOf(dataDir, lane);
  const store = await openLaneStore({ folder, lane, clock: systemClock, crc32c });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

function folderOf(dataDir: string, lane: number): string {
  return join(dataDir, 'lanes', String(lane));
}
