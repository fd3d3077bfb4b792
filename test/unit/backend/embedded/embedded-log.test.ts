import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import { EmbeddedLog } from '../../../../src/backend/embedded/embedded-log.ts';
import { type TailRequest, tailFrom } from '../../../../src/backend/port.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { fc } from '../../../support/fast-check.ts';
import { decode, FakeClock, type FakeMessage, fakeBuilder, MemoryChunks } from './doubles.ts';

const origin = { ids: new Uint8Array(16), acceptedSegments: new Int32Array(1) };

describe('EmbeddedLog', () => {
  let chunks: MemoryChunks;
  let clock: FakeClock;
  let log: EmbeddedLog;
  const reopen = async (retention: { ms?: number; bytes?: number } = {}) => {
    log = await EmbeddedLog.open({
      chunks,
      clock,
      log: silentLogger(),
      retention: { ms: retention.ms, bytes: retention.bytes },
      onFailure: (error) => assert.fail(String(error)),
    });
    log.setTopic({ id: 1, name: 'orders', partitions: 2 });
    log.setTopic({ id: 7, name: 'other', partitions: 1 });
  };
  beforeEach(async () => {
    chunks = new MemoryChunks();
    clock = new FakeClock();
    await reopen();
  });
  const put = (...messages: FakeMessage[]) => {
    const plan = log.plan(fakeBuilder(messages), origin);
    chunks.append(plan);
    log.stored(plan);
  };
  const at = (partition: number, ...values: string[]) =>
    values.map((value) => ({ topic: 1, partition, value }));
  const read = (more: Partial<TailRequest> = {}) =>
    log.read({
      topic: 'orders',
      partition: 0,
      from: tailFrom.beginning,
      position: 0,
      bytesMax: 1_000_000,
      waitMs: 0,
      ...more,
    });
  const valuesOf = async (more: Partial<TailRequest> = {}) =>
    decode((await read(more)).records).map((record) => record.value);

  test('gives each partition its own offsets, without a gap, over batches and restarts', async () => {
    put(...at(0, 'a', 'b'), ...at(1, 'x'), { topic: 7, partition: 0, value: 'o' });
    put(...at(0, 'c'));
    await reopen();
    put(...at(0, 'd'), ...at(1, 'y'));
    assert.deepEqual(decode((await read()).records), [
      { offset: 0, value: 'a' },
      { offset: 1, value: 'b' },
      { offset: 2, value: 'c' },
      { offset: 3, value: 'd' },
    ]);
    assert.deepEqual(await valuesOf({ partition: 1 }), ['x', 'y']);
    assert.deepEqual(await valuesOf({ topic: 'other' }), ['o']);
    assert.deepEqual(log.offsets('orders'), [
      { partition: 0, startOffset: 0, endOffset: 4 },
      { partition: 1, startOffset: 0, endOffset: 2 },
    ]);
  });

  test('shows a message only when its batch is on the disk, though the next is planned', async () => {
    const first = log.plan(fakeBuilder(at(0, 'a')), origin);
    const second = log.plan(fakeBuilder(at(0, 'b')), origin);
    chunks.append(first);
    chunks.append(second);
    assert.deepEqual(await valuesOf(), []);
    log.stored(first);
    assert.deepEqual(await valuesOf(), ['a']);
    log.stored(second);
    assert.deepEqual(
      decode((await read()).records).map((record) => record.offset),
      [0, 1],
    );
  });

  test('cuts an answer at whole records, and gives one record however long it is', async () => {
    put(...at(0, 'a'.repeat(100), 'b'.repeat(100), 'c'.repeat(100)));
    const two = await read({ bytesMax: 250 });
    assert.equal(two.count, 2);
    assert.equal(two.nextOffset, 2);
    const one = await read({ from: tailFrom.offset, position: two.nextOffset, bytesMax: 1 });
    assert.deepEqual([one.count, one.nextOffset, one.endOffset], [1, 3, 3]);
    assert.equal(one.records.buffer.byteLength, one.records.byteLength);
    assert.equal(chunks.reads, 1, 'the rest of a chunk is not read from the disk again');
  });

  test('wakes a waiting reader by the append, and not by a timer', async () => {
    put(...at(0, 'old'));
    const waiting = read({ from: tailFrom.end, waitMs: 30_000 });
    const elsewhere = read({ from: tailFrom.end, partition: 1, waitMs: 10 });
    await Promise.resolve();
    assert.equal(log.stats().waiting, 2);
    put(...at(0, 'new'));
    assert.deepEqual(decode((await waiting).records), [{ offset: 1, value: 'new' }]);
    clock.advance(10);
    assert.equal((await elsewhere).count, 0);
    assert.equal(clock.timers, 1, 'only the sweep is left');
  });

  test('ends a wait by its signal and at close, with an empty answer', async () => {
    const abort = new AbortController();
    const first = read({ waitMs: 30_000, signal: abort.signal });
    const second = read({ waitMs: 30_000 });
    await Promise.resolve();
    abort.abort();
    assert.equal((await first).count, 0);
    await log.close();
    assert.equal((await second).count, 0);
    assert.equal((await read({ waitMs: 30_000 })).count, 0);
    assert.equal(clock.timers, 0);
  });

  test('refuses unknown topics, partitions and offsets', async () => {
    put(...at(0, 'a'));
    await assert.rejects(read({ topic: 'nope' }), { code: 'UNKNOWN_TOPIC' });
    await assert.rejects(read({ partition: 2 }), { code: 'UNKNOWN_PARTITION' });
    await assert.rejects(read({ from: tailFrom.offset, position: 2 }), {
      code: 'OFFSET_OUT_OF_RANGE',
    });
    assert.equal((await read({ from: tailFrom.offset, position: 1 })).count, 0);
    assert.throws(() => log.offsets('nope'), { code: 'UNKNOWN_TOPIC' });
  });

  test('begins at the first message of a time, whatever lies between', async () => {
    const start = clock.now();
    for (let i = 0; i < 40; i++) {
      clock.step(1000);
      put(...at(0, ...Array.from({ length: 1 + (i % 3) }, () => `${i}`)));
    }
    const from = tailFrom.time;
    for (const i of [0, 1, 17, 38, 39]) {
      const [first] = await valuesOf({ from, position: start + (i + 1) * 1000 });
      assert.equal(first, `${i}`);
      const [before] = await valuesOf({ from, position: start + i * 1000 + 1 });
      assert.equal(before, `${i}`);
    }
    assert.deepEqual(await valuesOf({ from, position: clock.now() + 1 }), []);
  });

  test('frees what is too old, also all of it, and never gives an offset twice', async () => {
    await reopen({ ms: 60_000 });
    put(...at(0, 'a', 'b'));
    clock.step(50_000);
    put(...at(0, 'c'));
    clock.step(20_000);
    await log.sweep();
    assert.deepEqual(await valuesOf(), ['c']);
    await assert.rejects(read({ from: tailFrom.offset, position: 1 }), {
      code: 'OFFSET_OUT_OF_RANGE',
    });
    clock.step(60_000);
    await log.sweep();
    assert.equal(chunks.chunksOf(1, 0), 0);
    assert.equal(log.stats().bytes, 0);
    await reopen({ ms: 60_000 });
    put(...at(0, 'd'));
    assert.deepEqual(decode((await read()).records), [{ offset: 3, value: 'd' }]);
  });

  test('frees what is too much, oldest first, and keeps the newest batch', async () => {
    await reopen({ bytes: 1000 });
    for (let i = 0; i < 20; i++) put(...at(0, `${i}`.padEnd(100)));
    assert.ok(log.stats().bytes > 1000);
    await log.sweep();
    assert.ok(log.stats().bytes <= 1000, `${log.stats().bytes}`);
    assert.equal((await valuesOf()).at(-1)?.trim(), '19');
    put(...at(0, 'x'.repeat(5000)));
    await log.sweep();
    assert.equal((await valuesOf()).length, 1);
    assert.equal(chunks.chunksOf(1, 0), 1);
  });

  test('sweeps by itself as time goes on', async () => {
    await reopen({ ms: 60_000 });
    put(...at(0, 'a'));
    clock.step(70_000);
    clock.advance(5_000);
    await log.close();
    assert.equal(chunks.chunksOf(1, 0), 0);
  });

  test("obeys a topic's own retention before the log's", async () => {
    await reopen({ ms: 60_000 });
    log.setTopic({ id: 1, name: 'orders', partitions: 2, retention: { ms: undefined } });
    put(...at(0, 'kept'), { topic: 7, partition: 0, value: 'freed' });
    clock.step(100_000);
    await log.sweep();
    assert.deepEqual(await valuesOf(), ['kept']);
    assert.deepEqual(await valuesOf({ topic: 'other' }), []);
  });

  test('frees whole chunks before an offset, and no other', async () => {
    put(...at(0, 'a', 'b'));
    put(...at(0, 'c', 'd'));
    put(...at(0, 'e'));
    await log.deleteRecords('orders', 0, 3);
    assert.deepEqual(await valuesOf(), ['c', 'd', 'e']);
    assert.equal(log.offsets('orders')[0]?.startOffset, 2);
    await log.deleteRecords('orders', 0, 1);
    await log.deleteRecords('orders', 0, 1000);
    assert.deepEqual(await valuesOf(), []);
    put(...at(0, 'f'));
    assert.deepEqual(await valuesOf(), ['f']);
    await assert.rejects(log.deleteRecords('none', 0, 1), { code: 'UNKNOWN_TOPIC' });
  });

  test('reads back exactly what was written, for any batches and any answer sizes', async () => {
    const seed = Number(process.env.SEED ?? 42);
    console.log(`seed=${seed}`);
    const batch = fc.array(fc.string({ unit: 'grapheme-ascii', maxLength: 80 }), {
      minLength: 1,
      maxLength: 20,
    });
    const step = fc.record({
      values: batch,
      forget: fc.boolean(),
      bytesMax: fc.integer({ min: 1, max: 600 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        chunks = new MemoryChunks();
        await reopen({ ms: 60_000 });
        const written: string[] = [];
        let start = 0;
        for (const { values, forget, bytesMax } of steps) {
          if (forget) {
            clock.step(70_000);
            await log.sweep();
            start = written.length;
          }
          put(...at(0, ...values));
          written.push(...values);
          const found: string[] = [];
          let position = start;
          for (;;) {
            const tail = await read({ from: tailFrom.offset, position, bytesMax });
            if (tail.count === 0) break;
            const records = decode(tail.records);
            assert.equal(records[0]?.offset, position);
            assert.equal(records.length, tail.count);
            assert.ok(tail.records.length <= bytesMax || tail.count === 1);
            found.push(...records.map((record) => record.value));
            position = tail.nextOffset;
          }
          assert.deepEqual(found, written.slice(start));
        }
      }),
      { seed, numRuns: 200 },
    );
  });
});
