import { existsSync } from 'node:fs';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../base/clock.ts';
import { coded } from '../base/errors.ts';
import { type BatchHeader, BatchHeaderBuilder, type Crc32c } from './batch-header.ts';
import { syncFolder } from './high-water-mark.ts';
import type { KeyValueLaneStore } from './key-value-lane-store.ts';
import type { DriverName } from './key-value-store.ts';
import type { WindowPut } from './lane-store.ts';
import { openKeyValueLaneStore } from './open-lane-store.ts';
import { payloadSlices } from './undeliverable.ts';

/** How an outbox is dealt out to another number of lanes. */
export interface RelaneOptions {
  /** Holds `lanes/<n>`; no node may be running on it. */
  readonly dataDir: string;
  readonly lanesBefore: number;
  readonly lanes: number;
  /** The new lane of a producer, as sessions are bound to it. */
  readonly laneOf: (producerId: bigint) => number;
  /** Writes the new count into the manifest, durably; may be called again after a crash. */
  readonly setLanes: (lanes: number) => Promise<void> | void;
  readonly clock: Clock;
  readonly crc32c: Crc32c;
  readonly driver?: DriverName;
}

/** What was moved. */
export interface RelaneReport {
  readonly unconfirmedMessages: number;
  readonly windows: number;
  readonly undeliverable: number;
  readonly parked: number;
}

/** What {@link finishRelane} needs. */
export type RelaneSwitch = Pick<RelaneOptions, 'dataDir' | 'setLanes'>;

// The new lanes are written beside the old. A file with the new count, once it is durable, says
// that they are whole: from there the switch only goes forward, and can be done again.
const OLD = 'lanes';
const NEW = 'lanes.new';
const AWAY = 'lanes.old';
const READY = 'relane.ready';

/**
 * Deals the outbox out: every unconfirmed message, window, undeliverable and parked message goes to
 * the lane of its producer, in order. A crash leaves either the old lanes, or is made good by
 * {@link finishRelane}. Throws `STORE_CORRUPT`, `STORE_LOCKED`; `NOT_SUPPORTED` for an embedded
 * log, which has one lane.
 */
export async function relane(options: RelaneOptions): Promise<RelaneReport> {
  await finishRelane(options);
  const { dataDir, lanes, lanesBefore } = options;
  const created: KeyValueLaneStore[] = [];
  let report: RelaneReport;
  try {
    for (let lane = 0; lane < lanes; lane++) created.push(await openIn(options, NEW, lane));
    const deal = new Deal(created, options);
    report = await deal.all(lanesBefore);
  } finally {
    for (const store of created) await store.close();
  }
  for (let lane = 0; lane < lanes; lane++) await syncFolder(join(dataDir, NEW, String(lane)));
  await syncFolder(join(dataDir, NEW));
  await writeReady(dataDir, lanes);
  await finishRelane(options);
  return report;
}

/**
 * Completes a switch that a crash has interrupted, or clears away new lanes that were not whole.
 * To be called before the lanes of a data folder are looked at; does nothing when nothing is due.
 */
export async function finishRelane({ dataDir, setLanes }: RelaneSwitch): Promise<void> {
  const at = (name: string) => join(dataDir, name);
  if (!existsSync(at(READY))) {
    await rm(at(NEW), { recursive: true, force: true });
    return;
  }
  if (existsSync(at(NEW))) {
    if (existsSync(at(OLD))) await rename(at(OLD), at(AWAY));
    await syncFolder(dataDir);
    await rename(at(NEW), at(OLD));
    await syncFolder(dataDir);
  }
  await setLanes(await readReady(dataDir));
  await rm(at(AWAY), { recursive: true, force: true });
  await rm(at(READY));
  await syncFolder(dataDir);
}

class Deal {
  readonly #created: readonly KeyValueLaneStore[];
  readonly #options: RelaneOptions;
  #windows = 0;
  readonly #aside = { undeliverable: 0, parked: 0 };

  constructor(created: readonly KeyValueLaneStore[], options: RelaneOptions) {
    this.#created = created;
    this.#options = options;
  }

  /**
   * What is folded into the windows comes first, then the windows, then what has to be applied to
   * them. A producer is in one old lane only, so lane after lane keeps its order.
   */
  async all(lanesBefore: number): Promise<RelaneReport> {
    const before = Array.from({ length: lanesBefore }, (_, lane) => lane);
    const puts = this.#created.map((): WindowPut[] => []);
    for (const lane of before) {
      await this.#withOld(lane, async (store) => {
        await this.#dealAside(store);
        await this.#dealBatches(store, 0, store.foldedUpTo);
        for await (const { key, value } of store.windows()) {
          puts[this.#laneOf(key.readBigUInt64BE(0))]?.push({ key, value });
          this.#windows++;
        }
      });
    }
    for (const [i, store] of this.#created.entries()) await store.checkpoint(puts[i] ?? []);
    for (const lane of before) {
      await this.#withOld(lane, (store) =>
        this.#dealBatches(store, store.foldedUpTo, Number.POSITIVE_INFINITY),
      );
    }
    let unconfirmedMessages = 0;
    for (const store of this.#created) unconfirmedMessages += store.stats().unconfirmedMessages;
    return { unconfirmedMessages, windows: this.#windows, ...this.#aside };
  }

  async #withOld(lane: number, work: (store: KeyValueLaneStore) => Promise<void>): Promise<void> {
    const store = await openIn(this.#options, OLD, lane);
    try {
      if ((await store.chunks.partitions()).length > 0) {
        throw coded('NOT_SUPPORTED', 'the embedded log has one lane and cannot be dealt out');
      }
      await work(store);
    } finally {
      await store.close();
    }
  }

  /** Entries need a sequence of their new lane: a batch that holds nothing gives them one. */
  async #dealAside(old: KeyValueLaneStore): Promise<void> {
    for (const log of ['undeliverable', 'parked'] as const) {
      for await (const entry of old.aside.entries(log)) {
        const store = this.#storeOf(entry.producerId);
        const sequence = store.nextSequence;
        const header = new BatchHeaderBuilder();
        header.reset(entry.acceptedMs);
        header.addNobody(sequence);
        await store.append({ header });
        await store.aside.import(log, { ...entry, sequence });
        this.#aside[log]++;
      }
    }
  }

  async #dealBatches(old: KeyValueLaneStore, from: number, to: number): Promise<void> {
    for await (const { header, payload } of old.batches()) {
      if (header.firstSequence < from || header.firstSequence >= to) continue;
      await this.#dealBatch(old, header, payload);
    }
  }

  async #dealBatch(
    old: KeyValueLaneStore,
    header: BatchHeader,
    payload: Buffer | undefined,
  ): Promise<void> {
    const slices = payload === undefined ? undefined : payloadSlices(payload);
    const shares = new Map<number, Share>();
    let ordinal = 0;
    for (const segment of header.segments) {
      const lane = this.#laneOf(segment.producerId);
      const share = shares.get(lane) ?? newShare(header);
      shares.set(lane, share);
      share.header.addSegment(segment);
      for (let i = 0; i < segment.count; i++, ordinal++) {
        const confirmed = slices === undefined || old.isConfirmed(header.firstSequence + ordinal);
        share.confirmed.push(confirmed);
        share.slices.push(slices?.[ordinal] ?? Buffer.alloc(0));
      }
    }
    for (const [lane, share] of shares) await this.#append(lane, share);
  }

  async #append(lane: number, { header, slices, confirmed }: Share): Promise<void> {
    const store = this.#created[lane];
    if (store === undefined) throw coded('INVALID_ARGUMENT', `there is no lane ${lane}`);
    const first = store.nextSequence;
    if (header.messages === 0) header.addNobody(first);
    if (confirmed.every(Boolean)) {
      await store.append({ header });
      return;
    }
    await store.append({ header, payload: Buffer.concat(slices) });
    for (const [i, is] of confirmed.entries()) if (is) store.confirm(first + i, 1);
  }

  #laneOf(producerId: bigint): number {
    return this.#options.laneOf(producerId);
  }

  #storeOf(producerId: bigint): KeyValueLaneStore {
    const lane = this.#laneOf(producerId);
    const store = this.#created[lane];
    if (store === undefined) throw coded('INVALID_ARGUMENT', `there is no lane ${lane}`);
    return store;
  }
}

/** What one new lane gets of an old batch. */
interface Share {
  readonly header: BatchHeaderBuilder;
  readonly slices: Buffer[];
  readonly confirmed: boolean[];
}

function newShare(old: BatchHeader): Share {
  const header = new BatchHeaderBuilder();
  header.reset(old.acceptedMs);
  for (const topic of old.topics) header.addTopic(topic);
  return { header, slices: [], confirmed: [] };
}

async function openIn(
  options: RelaneOptions,
  parent: string,
  lane: number,
): Promise<KeyValueLaneStore> {
  const folder = join(options.dataDir, parent, String(lane));
  if (parent === OLD && !existsSync(folder)) {
    throw coded('STORE_CORRUPT', `lane ${lane}: expected its folder, found no ${folder}`);
  }
  const { clock, crc32c, driver } = options;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  return openKeyValueLaneStore({ folder, lane, clock, crc32c, driver });
}

async function writeReady(dataDir: string, lanes: number): Promise<void> {
  const file = await open(join(dataDir, `${READY}.tmp`), 'w', 0o600);
  try {
    await file.writeFile(String(lanes));
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(join(dataDir, `${READY}.tmp`), join(dataDir, READY));
  await syncFolder(dataDir);
}

async function readReady(dataDir: string): Promise<number> {
  const file = await open(join(dataDir, READY), 'r');
  try {
    return Number(await file.readFile('utf8'));
  } finally {
    await file.close();
  }
}
