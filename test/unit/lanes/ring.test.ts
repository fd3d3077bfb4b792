import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { createRingMemory, RingReader, RingWriter } from '../../../src/lanes/ring.ts';
import { fc } from '../../support/fast-check.ts';
import { seed } from '../../support/seeded.ts';

const BYTES = 65_536;

function payload(n: number, bytes: number): Buffer {
  return Buffer.alloc(bytes, `${n};`);
}

function write(writer: RingWriter, n: number, bytes: number): boolean | undefined {
  const at = writer.reserve(bytes);
  if (at < 0) return undefined;
  payload(n, bytes).copy(writer.bytes, at);
  return writer.publish(n, bytes % 7, bytes);
}

function check(property: fc.IProperty<unknown>): void {
  console.log(`seed=${seed}`);
  fc.assert(property, { seed, numRuns: 200 });
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    bytes: fc.oneof(
      fc.integer({ min: 0, max: 64 }),
      fc.integer({ min: 0, max: 4_000 }),
      fc.integer({ min: 16_000, max: BYTES / 2 - 16 }),
    ),
  }),
  fc.record({ kind: fc.constant('read' as const), bytes: fc.integer({ min: 1, max: 40 }) }),
);

test('what was written is read, in order and byte for byte, over the end of the ring', () => {
  check(
    fc.property(fc.array(step, { minLength: 10, maxLength: 200 }), (steps) => {
      const memory = createRingMemory(BYTES);
      const writer = new RingWriter(memory);
      const reader = new RingReader(memory);
      const queue: { n: number; bytes: number }[] = [];
      let n = 0;
      const read = (): void => {
        const next = queue.shift();
        assert.equal(reader.next(), next !== undefined);
        if (next === undefined) return;
        assert.equal(reader.session, next.n);
        assert.equal(reader.messages, next.bytes % 7);
        assert.equal(reader.payloadBytes, next.bytes);
        const end = reader.payloadStart + reader.payloadBytes;
        const found = reader.bytes.subarray(reader.payloadStart, end);
        assert.ok(found.equals(payload(next.n, next.bytes)));
      };
      for (const { kind, bytes } of steps) {
        if (kind === 'read') {
          for (let i = 0; i < bytes; i++) read();
          reader.release();
        } else if (write(writer, ++n, bytes) !== undefined) queue.push({ n, bytes });
        else assert.ok(queue.length > 0, 'an empty ring takes any entry of half its size');
        assert.equal(reader.isEmpty, queue.length === 0);
      }
      while (queue.length > 0) read();
      assert.equal(reader.next(), false);
    }),
  );
});

test('a full ring takes nothing more, and says when there is room', () => {
  const memory = createRingMemory(BYTES);
  const writer = new RingWriter(memory);
  const reader = new RingReader(memory);
  let written = 0;
  while (write(writer, written + 1, 1_000) !== undefined) written++;
  assert.equal(written, Math.floor((BYTES - 1) / 1_016));
  assert.ok(reader.next());
  assert.equal(reader.release(), true, 'the writer waits');
  assert.equal(reader.release(), false, 'and is told once');
  assert.notEqual(write(writer, written + 1, 900), undefined);
});

test('a ring that is filled to the last byte is not taken for an empty one', () => {
  const memory = createRingMemory(BYTES);
  const writer = new RingWriter(memory);
  const reader = new RingReader(memory);
  const half = BYTES / 2 - 16;
  assert.notEqual(write(writer, 1, half), undefined);
  assert.equal(write(writer, 2, half), undefined, 'it would end where the reader stands');
  assert.notEqual(write(writer, 2, half / 2 - 8), undefined);
  assert.ok(reader.next());
  reader.release();
  assert.equal(write(writer, 3, half), undefined, 'from the start, it would end there too');
  assert.notEqual(write(writer, 3, half - 8), undefined);
  for (const session of [2, 3]) {
    assert.ok(reader.next());
    assert.equal(reader.session, session);
  }
  assert.equal(reader.next(), false);
});

test('a sleeping reader is rung by the first entry, and does not fall asleep over one', () => {
  const memory = createRingMemory(BYTES);
  const writer = new RingWriter(memory);
  const reader = new RingReader(memory);
  assert.equal(reader.trySleep(), true);
  assert.equal(write(writer, 1, 10), true);
  assert.equal(write(writer, 2, 10), false, 'it was rung already');
  assert.equal(reader.trySleep(), false);
  assert.ok(reader.next() && reader.next());
  reader.release();
  assert.equal(reader.trySleep(), true);
});

test('an entry larger than half the ring is never taken', () => {
  const writer = new RingWriter(createRingMemory(BYTES));
  assert.equal(writer.payloadBytesMax, BYTES / 2 - 16);
  assert.ok(writer.reserve(writer.payloadBytesMax) >= 0);
});

/** Reads in a thread of its own until it has seen `entries`; answers a sum over all bytes. */
const readerSource = `
  import { parentPort, workerData } from 'node:worker_threads';
  const { RingReader } = await import(workerData.ring);
  const reader = new RingReader(workerData.memory);
  const flag = new Int32Array(workerData.flag);
  let sum = 0, expected = 1;
  while (expected <= workerData.entries) {
    let took = 0;
    while (reader.next()) {
      if (reader.session !== expected) throw new RangeError(reader.session + ' after ' + expected);
      const { bytes, payloadStart, payloadBytes } = reader;
      for (let i = 0; i < payloadBytes; i += 13) sum += bytes[payloadStart + i];
      expected++;
      took++;
    }
    if (took > 0) {
      if (reader.release()) { Atomics.store(flag, 1, 1); Atomics.notify(flag, 1); }
    } else if (reader.trySleep()) {
      Atomics.wait(flag, 0, 0, 20);
      Atomics.store(flag, 0, 0);
    }
  }
  parentPort.postMessage(sum);
`;

test('two threads pass entries through a ring without losing or tearing one', async () => {
  const memory = createRingMemory(BYTES);
  const flag = new SharedArrayBuffer(8);
  const bell = new Int32Array(flag);
  const entries = 20_000;
  const ring = new URL('../../../src/lanes/ring.js', import.meta.url).href;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(readerSource)}`), {
    workerData: { memory, flag, entries, ring },
  });
  const answer = new Promise<number>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const writer = new RingWriter(memory);
  let sum = 0;
  for (let n = 1; n <= entries; ) {
    const bytes = (n * 7919) % 3_000;
    const rings = write(writer, n, bytes);
    if (rings === undefined) {
      Atomics.wait(bell, 1, 0, 20);
      Atomics.store(bell, 1, 0);
      continue;
    }
    const sent = payload(n, bytes);
    for (let i = 0; i < bytes; i += 13) sum += sent[i] as number;
    if (rings) {
      Atomics.store(bell, 0, 1);
      Atomics.notify(bell, 0);
    }
    n++;
  }
  assert.equal(await answer, sum);
});
