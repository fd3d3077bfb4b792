import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Compaction, type CompactionLimits } from '../../../../src/backend/embedded/compaction.ts';
import { EmbeddedLog } from '../../../../src/backend/embedded/embedded-log.ts';
import { OwnRecords } from '../../../../src/backend/embedded/own-records.ts';
import { PartitionLog } from '../../../../src/backend/embedded/partition-log.ts';
import { measureRecord, writeRecord } from '../../../../src/backend/embedded/wire-record.ts';
import { tailFrom } from '../../../../src/backend/port.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { crc32c } from '../../../../src/native/addon.ts';
import { fc } from '../../../support/fast-check.ts';
import { FakeClock, MemoryChunks } from './doubles.ts';

interface Seen {
  readonly offset: number;
  readonly key: string;
  readonly value: string | null;
}

const eager: CompactionLimits = { tombstoneMs: 1_000, dirtyRatio: 0, lagMs: 1 };

/** A compacted partition in memory, written and read by the log's own ways. */
class Bench {
  readonly clock = new FakeClock();
  readonly chunks = new MemoryChunks();
  log!: EmbeddedLog;
  #own!: OwnRecords;

  async open(compaction: CompactionLimits = eager): Promise<void> {
    // One that goes on would compact the same chunks by its own timer.
    await this.log?.close();
    this.log = await EmbeddedLog.open({
      chunks: this.chunks,
      clock: this.clock,
      log: silentLogger(),
      retention: { ms: undefined, bytes: undefined },
      onFailure: (error) => assert.fail(String(error)),
    });
    const forEver = { ms: undefined, bytes: undefined };
    this.log.setTopic({ id: 1, name: 'state', partitions: 1, retention: forEver, compaction });
    const options = { onWaiting: () => undefined, isFull: () => false };
    this.#own = new OwnRecords({ log: this.log, crc32c, ...options });
  }

  /** One chunk. */
  async put(entries: readonly (readonly [key: string, value: string | null])[]): Promise<void> {
    const measured = entries.map(([key, value]) =>
      measureRecord({
        topic: 'state',
        key: Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
        headers: Buffer.alloc(0),
      }),
    );
    const records = Buffer.alloc(measured.reduce((sum, one) => sum + one.bytes, 0));
    let at = 0;
    for (const one of measured) at = writeRecord(records, at, one);
    const done = this.#own.add([{ topic: 'state', partition: 0, count: entries.length, records }]);
    const append = this.#own.take(this.clock.now());
    assert.ok(append);
    this.chunks.append(append.chunks);
    append.stored();
    await done;
  }

  /** Sweeps twice, since a lag is counted from the first. */
  async compact(): Promise<void> {
    await this.log.sweep();
    this.clock.advance(2);
    await this.log.sweep();
  }

  async readAll(bytesMax = 200): Promise<Seen[]> {
    const seen: Seen[] = [];
    let offset = 0;
    for (;;) {
      const place = { topic: 'state', partition: 0, from: tailFrom.offset, position: offset };
      const found = await this.log.read({ ...place, bytesMax, waitMs: 0 });
      assert.ok(found.count > 0 || found.nextOffset === found.endOffset);
      seen.push(...decode(Buffer.from(found.records)));
      offset = found.nextOffset;
      if (offset === found.endOffset) return seen;
    }
  }
}

function decode(records: Buffer): Seen[] {
  const seen: Seen[] = [];
  for (let at = 0; at < records.length; ) {
    const end = at + 4 + records.readUInt32BE(at);
    const keyEnd = at + 25 + records.readUInt32BE(at + 21);
    const isNull = ((records[at + 20] ?? 0) & 0x08) !== 0;
    seen.push({
      offset: Number(records.readBigUInt64BE(at + 4)),
      key: records.toString('utf8', at + 25, keyEnd),
      value: isNull ? null : records.toString('utf8', keyEnd, end),
    });
    at = end;
  }
  return seen;
}

describe('Compaction', () => {
  test('keeps the newest of each key at its offset, and joins the chunks', async () => {
    const bench = new Bench();
    await bench.open();
    for (let i = 0; i < 100; i++) await bench.put([[`k${i % 10}`, `v${i}`]]);
    await bench.compact();
    const seen = await bench.readAll();
    assert.deepEqual(
      seen,
      Array.from({ length: 10 }, (_, i) => ({ offset: 90 + i, key: `k${i}`, value: `v${90 + i}` })),
    );
    assert.ok(bench.chunks.chunksOf(1, 0) < 10);
    assert.equal(bench.log.offsets('state')[0]?.startOffset, 0, 'old positions stay valid');
    assert.ok(bench.log.stats().bytes < 1000);
    await bench.put([['k3', 'newer']]);
    assert.equal((await bench.readAll()).at(-1)?.offset, 100);
  });

  test('takes a tombstone only after its time, and then also without new records', async () => {
    const bench = new Bench();
    await bench.open();
    await bench.put([
      ['a', '1'],
      ['b', '1'],
    ]);
    await bench.put([['a', null]]);
    await bench.compact();
    assert.deepEqual(
      (await bench.readAll()).map(({ key, value }) => [key, value]),
      [
        ['b', '1'],
        ['a', null],
      ],
    );
    bench.clock.advance(1_001);
    await bench.log.sweep();
    assert.deepEqual(
      (await bench.readAll()).map(({ key }) => key),
      ['b'],
    );
  });

  test('waits until enough is new', async () => {
    const bench = new Bench();
    await bench.open({ tombstoneMs: 1_000, dirtyRatio: 0.5, lagMs: undefined });
    for (let i = 0; i < 20; i++) await bench.put([['k', 'v']]);
    await bench.compact();
    assert.equal((await bench.readAll()).length, 20, 'a few bytes are not worth it');
    const large = 'x'.repeat(10_000);
    for (let i = 0; i < 20; i++) await bench.put([['k', large]]);
    await bench.compact();
    assert.equal((await bench.readAll(100_000)).length, 1);
  });

  test('leaves a partition with a damaged chunk alone, which its readers are told of', async () => {
    const bench = new Bench();
    await bench.open();
    for (let i = 0; i < 10; i++) await bench.put([['k', `v${i}`]]);
    bench.chunks.damagedOffset = 5;
    await bench.compact();
    const { reads } = bench.chunks;
    bench.clock.advance(2);
    await bench.log.sweep();
    assert.equal(bench.chunks.reads, reads, 'it is not read again');
    assert.equal(bench.chunks.chunksOf(1, 0), 10);
    await assert.rejects(bench.readAll(), { code: 'STORE_CORRUPT' });
    bench.chunks.damagedOffset = Number.POSITIVE_INFINITY;
    await bench.open();
    await bench.compact();
    assert.equal((await bench.readAll()).length, 1);
  });

  test('remembers no more bytes of keys than it may, and goes on with the next pass', async () => {
    const bench = new Bench();
    await bench.open();
    const names = Array.from({ length: 20 }, (_, i) => `key-${i}`.padEnd(10, '.'));
    for (const name of [...names, ...names]) await bench.put([[name, 'v']]);
    const { chunks, clock } = bench;
    const [start] = await chunks.partitions();
    assert.ok(start);
    const log = new PartitionLog(start);
    const more = { keyBytesMax: 100, sliceBytes: 1, isClosed: () => false };
    const compaction = new Compaction({ chunks, clock, log: silentLogger(), ...more });
    const left: number[] = [];
    for (let pass = 0; pass < 4; pass++) {
      await compaction.sweep('state', log, eager);
      clock.advance(2);
      await compaction.sweep('state', log, eager);
      left.push((await bench.readAll()).length);
    }
    assert.deepEqual(left, [40, 40, 30, 20]);
  });

  test('agrees with a map that only knows the newest', async () => {
    const entry = fc.tuple(
      fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f'),
      fc.option(fc.string({ maxLength: 12 }), { nil: null }),
    );
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.array(entry, { minLength: 1, maxLength: 5 }) },
      { weight: 2, arbitrary: fc.constant('compact' as const) },
      { weight: 1, arbitrary: fc.constant('later' as const) },
      { weight: 1, arbitrary: fc.constant('restart' as const) },
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const bench = new Bench();
        await bench.open();
        const written: Seen[] = [];
        for (const one of steps) {
          if (one === 'compact') await bench.compact();
          else if (one === 'later') bench.clock.advance(2_000);
          else if (one === 'restart') await bench.open();
          else {
            for (const [key, value] of one) written.push({ offset: written.length, key, value });
            await bench.put(one);
          }
        }
        await bench.compact();
        const newest = new Map(written.map((record) => [record.key, record]));
        const seen = await bench.readAll(50);
        const offsets = seen.map(({ offset }) => offset);
        assert.deepEqual(
          offsets,
          [...new Set(offsets)].sort((a, b) => a - b),
        );
        for (const record of seen) assert.deepEqual(record, newest.get(record.key));
        for (const record of newest.values()) {
          const found = seen.some(({ key }) => key === record.key);
          assert.ok(found || record.value === null, `${record.key} is gone`);
        }
      }),
      { numRuns: 200 },
    );
  });
});
