import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { EmbeddedLog } from '../../../../src/backend/embedded/embedded-log.ts';
import { tailFrom } from '../../../../src/backend/port.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { BatchBuilder, crc32c } from '../../../../src/native/addon.ts';
import { BatchHeaderBuilder } from '../../../../src/store/batch-header.ts';
import { driverForNode } from '../../../../src/store/key-value-store.ts';
import type { LaneStore } from '../../../../src/store/lane-store.ts';
import { openLaneStore } from '../../../../src/store/open-lane-store.ts';
import { tempDir } from '../../../support/temp-dir.ts';
import { batchFrame, layRing } from '../../native/frames.ts';
import { FakeClock } from './doubles.ts';

const clock = new FakeClock();

/** A log in a real store, fed by the real builder. */
class Bench {
  readonly #folder = join(tempDir(), '0');
  readonly #header = new BatchHeaderBuilder();
  readonly #builder = new BatchBuilder({
    messageBytesMax: 1_000_000,
    keyBytesMax: 1_000,
    headersBytesMax: 1_000,
    messagesMax: 10_000,
    segmentsMax: 1_000,
  });
  #sequence = 1;
  #store: LaneStore | undefined;
  log!: EmbeddedLog;

  async open(retention: { ms?: number; bytes?: number } = {}): Promise<void> {
    const store = await openLaneStore({ folder: this.#folder, lane: 0, clock, crc32c });
    this.#store = store;
    this.log = await EmbeddedLog.open({
      chunks: store.chunks,
      clock,
      log: silentLogger(),
      retention: { ms: retention.ms, bytes: retention.bytes },
      onFailure: (error) => assert.fail(String(error)),
    });
    this.log.setTopic({ id: 3, name: 'orders', partitions: 1 });
  }

  async close(): Promise<void> {
    await this.log.close();
    await this.#store?.close();
  }

  diskBytes(): Promise<number> {
    return this.#store?.diskBytes() ?? Promise.resolve(0);
  }

  async put(values: readonly Buffer[]): Promise<void> {
    const frame = { topic: 3, correlationId: 1, sequence: this.#sequence };
    const payload = batchFrame(
      frame,
      values.map((value) => ({ value })),
    );
    const { ring, from, to } = layRing(4 * 1024 * 1024, 0, [{ connection: 1, payload }]);
    assert.equal(this.#builder.scan(ring, from, to, 4_000_000), 1);
    const ids = Buffer.alloc(16);
    ids.writeBigUInt64BE(9n);
    ids.writeUIntBE(this.#sequence, 10, 6);
    const acceptedSegments = Int32Array.of(values.length);
    const plan = this.log.plan(this.#builder, { ids, acceptedSegments });
    this.#header.reset(clock.now());
    this.#header.addSegment({
      producerId: 9n,
      epoch: 0,
      flags: 0,
      count: values.length,
      firstSequence: this.#sequence,
    });
    this.#header.addTopic({ id: 3, name: 'orders' });
    await this.#store?.append({ header: this.#header, chunks: plan });
    this.log.stored(plan);
    this.#sequence += values.length;
  }

  /** All values from the start of the log on. */
  async values(bytesMax: number): Promise<Buffer[]> {
    const found: Buffer[] = [];
    const request = { topic: 'orders', partition: 0, bytesMax, waitMs: 0 };
    let tail = await this.log.read({ ...request, from: tailFrom.beginning, position: 0 });
    while (tail.count > 0) {
      const bytes = Buffer.from(tail.records.buffer, tail.records.byteOffset, tail.records.length);
      for (let at = 0; at < bytes.length; ) {
        const end = at + 4 + bytes.readUInt32BE(at);
        // length:u32 offset:u64 timestampMs:u64 flags:u8 id:16 value
        assert.equal(bytes.readUInt8(at + 20) & 0x40, 0x40, 'the record carries its id');
        found.push(bytes.subarray(at + 37, end));
        at = end;
      }
      tail = await this.log.read({ ...request, from: tailFrom.offset, position: tail.nextOffset });
    }
    return found;
  }
}

describe('EmbeddedLog in a real store', () => {
  test('gives back after a restart, byte for byte, what was put, in answers of any size', async () => {
    const bench = new Bench();
    await bench.open();
    const values = Array.from({ length: 300 }, (_, i) => Buffer.alloc(1 + ((i * 37) % 900), i));
    for (let i = 0; i < values.length; i += 30) await bench.put(values.slice(i, i + 30));
    assert.deepEqual(await bench.values(2_000), values);
    await bench.close();
    await bench.open();
    assert.deepEqual(bench.log.offsets('orders'), [
      { partition: 0, startOffset: 0, endOffset: 300 },
    ]);
    await bench.put([Buffer.from('after')]);
    assert.deepEqual(await bench.values(1_000_000), [...values, Buffer.from('after')]);
    await bench.close();
  });

  test('gives the disk back what retention frees, and goes on at the same offset', async () => {
    const bench = new Bench();
    await bench.open({ ms: 60_000 });
    const megabyte = Buffer.alloc(900_000);
    for (let i = 0; i < 120; i++) {
      megabyte.fill(i);
      await bench.put([megabyte]);
    }
    const before = await bench.diskBytes();
    clock.step(61_000);
    await bench.log.sweep();
    // One binding gives it back when it is told to, the other with the traffic that follows.
    const isPrompt = driverForNode(process.version) === 'rocksdb';
    if (!isPrompt) {
      for (let i = 0; i < 120; i++) await bench.put([megabyte]);
      clock.step(61_000);
      await bench.log.sweep();
    }
    const afterwards = await bench.diskBytes();
    const most = isPrompt ? before / 2 : before * 1.5;
    assert.ok(afterwards < most, `${before} bytes before, ${afterwards} after`);
    await bench.close();
    await bench.open({ ms: 60_000 });
    const [{ startOffset, endOffset } = assert.fail()] = bench.log.offsets('orders');
    assert.deepEqual([startOffset, endOffset], isPrompt ? [120, 120] : [240, 240]);
    await bench.put([Buffer.from('next')]);
    assert.deepEqual(await bench.values(1_000), [Buffer.from('next')]);
    await bench.close();
  });
});
