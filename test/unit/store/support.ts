import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { Clock, Timer } from '../../../src/base/clock.ts';
import { BatchHeaderBuilder, type Crc32c } from '../../../src/store/batch-header.ts';
import { KeyValueChunkLog } from '../../../src/store/chunk-log.ts';
import { HighWaterMark } from '../../../src/store/high-water-mark.ts';
import { KeyValueLaneStore } from '../../../src/store/key-value-lane-store.ts';
import {
  type DriverName,
  driverForNode,
  type KeyValueStore,
} from '../../../src/store/key-value-store.ts';
import type { AppendRequest, LaneStore, LaneStoreOptions } from '../../../src/store/lane-store.ts';
import { openProvable } from '../../../src/store/open-lane-store.ts';
import { FIRST_SEQUENCE, recover } from '../../../src/store/recovery.ts';
import { payloadRecords } from '../../../src/store/undeliverable.ts';

/**
 * The driver under test: the one of this Node, or the one that the environment names. One for each
 * process, since two versions of RocksDB in one process crash it.
 */
const driver: DriverName =
  process.env.MQPROXY_TEST_STORE_DRIVER === 'nxtedition'
    ? 'nxtedition'
    : driverForNode(process.version);
export const drivers: readonly DriverName[] = [driver];

/** A folder that goes with the test. */
export async function tempFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'mqproxy-store-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const table = new Uint32Array(256);
for (let i = 0; i < 256; i++) {
  let value = i;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  table[i] = value >>> 0;
}

/** CRC32C (Castagnoli), bytewise: slow, and independent of the addon. */
export const crc32c: Crc32c = (bytes, seed = 0) => {
  let crc = ~seed >>> 0;
  for (const byte of bytes) crc = ((table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8)) >>> 0;
  return ~crc >>> 0;
};

/** A new lane's store over its key-value store as `change` leaves it. */
export async function openOver(
  options: LaneStoreOptions,
  change: (kv: KeyValueStore) => void,
): Promise<KeyValueLaneStore> {
  const { folder, lane, clock } = options;
  const { kv, storeFolder } = await openProvable(options);
  const chunks = new KeyValueChunkLog(kv, lane, crc32c);
  const nothing = { nextSequence: FIRST_SEQUENCE, lastCrc: 0 };
  const recovered = await recover({ kv, chunks, lane, crc32c, mark: nothing });
  const onFailure = (): void => {};
  const mark = await HighWaterMark.start(
    { path: join(folder, 'mark'), lane, clock, crc32c, onFailure },
    nothing,
  );
  change(kv);
  return new KeyValueLaneStore(options, { kv, mark, chunks, recovered, storeFolder });
}

/** A clock that stands still until it is told; its timers fire when it is moved over them. */
export class ManualClock implements Clock {
  #now = 1_700_000_000_000;
  #timers: { at: number; fn: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  setTimer(fn: () => void, delayMs: number): Timer {
    const timer = { at: this.#now + delayMs, fn };
    this.#timers.push(timer);
    return {
      cancel: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  advance(ms: number): void {
    this.#now += ms;
    const due = this.#timers.filter((timer) => timer.at <= this.#now);
    this.#timers = this.#timers.filter((timer) => timer.at > this.#now);
    for (const timer of due) timer.fn();
  }
}

/** A message as the outbox holds it. */
export interface TestMessage {
  readonly topic: number;
  readonly flags: number;
  readonly body: Buffer;
}

/** An outbox payload, made by hand: not by the encoder of the addon. */
export function payloadOf(messages: readonly TestMessage[]): Buffer {
  return Buffer.concat(
    messages.flatMap(({ topic, flags, body }) => {
      const head = Buffer.alloc(8);
      head.writeUInt32LE(body.length, 0);
      head.writeUInt16LE(topic, 4);
      head.writeUInt8(flags, 6);
      return [head, body];
    }),
  );
}

/** Messages of one producer in one batch. */
export interface TestRun {
  readonly producerId: bigint;
  readonly firstSequence: number;
  readonly count: number;
}

/** The body of a producer's message in these tests. */
export function bodyOf(producerId: bigint, sequence: number, bytes = 40): Buffer {
  return Buffer.alloc(bytes, `${producerId}:${sequence};`);
}

/** A request to append runs, each message with the body of {@link bodyOf}. */
export function batchOf(runs: readonly TestRun[], bytes = 40): AppendRequest {
  const header = new BatchHeaderBuilder();
  header.reset(1_700_000_000_000);
  header.addTopic({ id: 1, name: 'orders' });
  const messages: TestMessage[] = [];
  for (const { producerId, firstSequence, count } of runs) {
    header.addSegment({ producerId, epoch: 3, flags: 0, count, firstSequence });
    for (let i = 0; i < count; i++) {
      messages.push({ topic: 1, flags: 0, body: bodyOf(producerId, firstSequence + i, bytes) });
    }
  }
  const payload = payloadOf(messages);
  return { header, payload, payloadCrc: crc32c(payload) };
}

/** Every message of the unconfirmed batches, as `producer:sequence`, its body compared. */
export async function unconfirmedOf(store: LaneStore, bytesMax = 1 << 20): Promise<string[]> {
  const found: string[] = [];
  for (let from = 0; from < store.nextSequence; ) {
    const { batches, nextSequence } = await store.readBatches(from, bytesMax);
    for (const { header, payload, firstSequence } of batches) {
      const records = payloadRecords(payload);
      let sequence = firstSequence;
      for (const segment of header.segments) {
        for (let i = 0; i < segment.count; i++, sequence++) {
          const record = records.next().value;
          const { producerId } = segment;
          const own = segment.firstSequence + i;
          assert(record?.body.equals(bodyOf(producerId, own, record.body.length)));
          if (!store.isConfirmed(sequence)) found.push(`${producerId}:${own}`);
        }
      }
    }
    from = nextSequence;
  }
  return found;
}

/** `producer:first` … `producer:last`. */
export function named(producerId: bigint, first: number, last: number): string[] {
  return Array.from({ length: last - first + 1 }, (_, i) => `${producerId}:${first + i}`);
}

/**
 * A crash is one instant and a copy is not: the mark comes first, since it may only lag, and what
 * was compacted away under the copy has it begin anew.
 */
export async function copyAsOfACrash(folder: string, copy: string): Promise<void> {
  const mark = join(folder, 'mark');
  for (let left = 20; ; left--) {
    try {
      if (existsSync(mark)) await cp(mark, join(copy, 'mark'));
      return await cp(folder, copy, { recursive: true, force: false });
    } catch (error) {
      if ((error as { code?: string }).code !== 'ENOENT' || left === 0) throw error;
      await rm(copy, { recursive: true, force: true });
    }
  }
}
