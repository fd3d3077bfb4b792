import { access, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type CodedError, coded, codeOf, messageOf } from '../base/errors.ts';
import { KeyValueChunkLog } from './chunk-log.ts';
import { HighWaterMark, type MarkState, readMark } from './high-water-mark.ts';
import { KeyValueLaneStore } from './key-value-lane-store.ts';
import type { KeyValueStore } from './key-value-store.ts';
import { ANCHOR_KEY, CHUNK_KIND, kindRange, packU64, sealed } from './keys.ts';
import { laneErrors } from './lane-errors.ts';
import type { LaneStore, LaneStoreOptions } from './lane-store.ts';
import { openKeyValueStore } from './open-key-value-store.ts';
import { asCorrupt, FIRST_SEQUENCE, recover } from './recovery.ts';
import { WriteQueue } from './write-queue.ts';

const NOTHING: MarkState = { nextSequence: FIRST_SEQUENCE, lastCrc: 0 };

/**
 * Opens a lane's store and proves it: anchor, headers without a gap and chained, the high-water
 * mark reached, the payload of every unconfirmed batch there. Throws `STORE_CORRUPT` with lane,
 * what was expected and what was found, `STORE_LOCKED` when another process has it.
 */
export function openLaneStore(options: LaneStoreOptions): Promise<LaneStore> {
  return openKeyValueLaneStore(options);
}

/** {@link openLaneStore}, with what the offline tools need beyond it. */
export async function openKeyValueLaneStore(options: LaneStoreOptions): Promise<KeyValueLaneStore> {
  const { lane, crc32c } = options;
  const { kv: opened, mark, storeFolder } = await openProvable(options);
  const kv = laneErrors(new WriteQueue(opened), lane);
  try {
    const chunks = new KeyValueChunkLog(kv, lane, crc32c);
    const recovered = await recover({ kv, chunks, lane, crc32c, mark: mark ?? NOTHING });
    let store: KeyValueLaneStore | undefined;
    const highWaterMark = await HighWaterMark.start(
      {
        path: join(options.folder, 'mark'),
        lane,
        clock: options.clock,
        crc32c,
        onFailure: (error) => store?.markFailed(error),
      },
      recovered.reached,
    );
    if (recovered.anchor.nextSequence === FIRST_SEQUENCE) {
      const anchor = packU64(FIRST_SEQUENCE, 0);
      await kv.write([sealed(ANCHOR_KEY, anchor, crc32c)], { sync: true });
    }
    store = new KeyValueLaneStore(options, {
      kv,
      mark: highWaterMark,
      chunks,
      recovered,
      storeFolder,
    });
    return store;
  } catch (error) {
    await kv.close();
    throw error;
  }
}

/** A store that is open, not proven yet, and the mark that it must reach. */
export interface Provable {
  readonly kv: KeyValueStore;
  /** undefined: the store is new. */
  readonly mark: MarkState | undefined;
  readonly storeFolder: string;
}

/** Opens the files of a lane; makes them only when nothing says that there were any. */
export async function openProvable(options: LaneStoreOptions): Promise<Provable> {
  const { folder, lane, crc32c, driver } = options;
  const storeFolder = join(folder, 'store');
  const mark = await readMark(join(folder, 'mark'), lane, crc32c);
  const exists = await isThere(join(storeFolder, 'CURRENT'));
  if (!exists && mark !== undefined && mark.nextSequence > FIRST_SEQUENCE) {
    throw coded(
      'STORE_CORRUPT',
      `lane ${lane}: expected a store that reaches sequence ${mark.nextSequence - 1}, ` +
        `found none in ${storeFolder}`,
    );
  }
  await mkdir(folder, { recursive: true, mode: 0o700 });
  let kv: KeyValueStore;
  try {
    const how = { folder: storeFolder, createIfMissing: !exists, driver };
    kv = await openKeyValueStore({ ...how, unproven: CHUNK_KIND });
  } catch (error) {
    throw openError(options, error);
  }
  if (mark === undefined && exists && !(await isEmpty(kv))) {
    await kv.close();
    throw coded('STORE_CORRUPT', `lane ${lane}: expected a high-water mark, found no file "mark"`);
  }
  return { kv, mark, storeFolder };
}

function openError(options: LaneStoreOptions, error: unknown): CodedError {
  if (codeOf(error) === 'STORE_CORRUPT') return asCorrupt(options.lane, error);
  const words = causes(error).join(': ');
  // RocksDB's two ways to say it: of another process, and of this one.
  if (/\block (file|hold)\b/i.test(words)) {
    const message = `lane ${options.lane}: another process has ${options.folder} open`;
    return coded('STORE_LOCKED', message, { cause: error, hint: 'stop the other node first' });
  }
  return asCorrupt(options.lane, coded('STORE_UNREADABLE', words, { cause: error }));
}

function causes(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  return [messageOf(error), ...causes(error.cause)];
}

async function isEmpty(kv: KeyValueStore): Promise<boolean> {
  for (const kind of ['h', 'k', 'b']) {
    const range = kind === 'k' ? { from: ANCHOR_KEY, to: Buffer.from('l') } : kindRange(kind);
    for await (const _ of kv.iterate(range, { keysOnly: true, limit: 1 })) return false;
  }
  return true;
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
