import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, crc32c } from '../../../src/native/addon.ts';
import {
  type BatchBuilderOptions,
  type BatchBuilder as Builder,
  CHUNK_COLUMNS,
  type ChunkPlan,
  chunkColumn,
  PLACE_COLUMNS,
  type ScanTopic,
} from '../../../src/native/batch-builder.ts';
import { fc } from '../../support/fast-check.ts';
import { entriesArbitrary } from './arbitrary-entries.ts';
import { batchFrame, layRing, produceFrame, type TestEntry } from './frames.ts';
import { naiveScans, naiveSegments } from './naive-batch.ts';
import { type ChunkMessage, type ChunkWorld, naiveChunks } from './naive-chunks.ts';

const options: BatchBuilderOptions = {
  messageBytesMax: 200,
  keyBytesMax: 20,
  headersBytesMax: 60,
  messagesMax: 1000,
  segmentsMax: 500,
};

function rows(table: Float64Array, columns: number): number[][] {
  return Array.from({ length: table.length / columns }, (_, i) =>
    Array.from(table.subarray(i * columns, (i + 1) * columns)),
  );
}

/** The id of message `index` of accepted segment `segment`. */
function idOf(segment: number, index: number): Buffer {
  const id = Buffer.alloc(16);
  id.writeBigUInt64BE(0xfeed_0000_0000_0000n + BigInt(segment), 0);
  id.writeUInt16BE(segment & 0xffff, 8);
  id.writeUIntBE(2 ** 32 - 2 + index, 10, 6);
  return id;
}

/** The plan for what a scan found, from the same world as the twin's. */
function planOf(builder: Builder, world: ChunkWorld, counts: readonly number[]): ChunkPlan {
  const topics = Array.from(builder.topics.subarray(0, builder.topicCount));
  const offsets = topics.map((topic) => world.offsets.get(topic) ?? []);
  return {
    ids: Buffer.concat(counts.map((_, segment) => idOf(segment, 0))),
    acceptedSegments: Int32Array.from(counts),
    partitions: Int32Array.from(offsets.map((o) => o.length)),
    nextOffsets: Float64Array.from(offsets.flat()),
    sticky: world.sticky,
    timestampMs: world.timestampMs,
  };
}

function assertChunks(builder: Builder, messages: ChunkMessage[], world: ChunkWorld): void {
  const { chunks, places } = naiveChunks(messages, world);
  let start = 0;
  const table = chunks.map(({ topic, partition, baseOffset, records }) => {
    const bytes = Buffer.concat(records);
    start += bytes.length;
    return [
      ...[topic, partition, baseOffset, records.length],
      ...[start - bytes.length, bytes.length, crc32c(bytes)],
    ];
  });
  const expected = Buffer.concat(chunks.flatMap(({ records }) => records));
  assert.deepEqual(Buffer.from(builder.chunkBytes), expected);
  assert.deepEqual(rows(builder.chunkTable, CHUNK_COLUMNS), table);
  assert.deepEqual(rows(builder.places, PLACE_COLUMNS), places);
  assert.equal(builder.acceptedMessages, messages.length);
}

/** Topics with a world of their own; the others, which harm can name, are refused. */
const known = [1, 2, 3, 4, 65_535];
const topics = new Map<number, ScanTopic>(
  Array.from({ length: 65_535 }, (_, i) => [i + 1, { code: 21 }]),
);
for (const topic of known) topics.set(topic, { partitions: topic === 1 ? 3 : 2 });

const compared = new BatchBuilder(options);
for (const [topic, what] of topics) compared.setTopic(topic, what);

function compare(entries: readonly TestEntry[], world: ChunkWorld, refused: boolean[]): void {
  const { ring, from, to } = layRing(65_536, 65_528, entries);
  const builder = compared;
  const [scanned = []] = naiveScans(entries, 1e6, options, topics);
  const segments = builder.scan(ring, from, to, 1e6);
  const bounds = naiveSegments(scanned);
  assert.equal(segments, bounds.length);
  const messages: ChunkMessage[] = [];
  const counts: number[] = [];
  bounds.forEach(([, ordinal = 0, count = 0], segment) => {
    // An accepted segment begins at each gap that JavaScript makes, as in the lane.
    let open = false;
    for (let i = ordinal; i < ordinal + count; i += 1) {
      const message = scanned[i];
      if (message === undefined || message.code !== 0) continue;
      if (refused[i % refused.length]) {
        builder.accept[i] = 0;
        open = false;
        continue;
      }
      if (!open) counts.push(0);
      open = true;
      const at = counts.length - 1;
      const index = counts[at] as number;
      counts[at] = index + 1;
      const { connection, topic, flags, body } = message;
      const id = idOf(at, index);
      messages.push({ ordinal: i, segment, connection, topic, flags, body, id });
    }
  });
  const chunks = builder.encodeChunks(planOf(builder, world, counts));
  assert.equal(chunks, builder.chunkTable.length / CHUNK_COLUMNS);
  assertChunks(builder, messages, world);
}

test('chunks and places agree with a naive twin on any entries', () => {
  const offset = fc.oneof(fc.nat(9), fc.constant(2 ** 32 - 1), fc.constant(2 ** 53 - 1000));
  const partitionOffsets = (n: number) => fc.array(offset, { minLength: n, maxLength: n });
  const worldArbitrary = fc.record({
    offsets: fc
      .tuple(partitionOffsets(3), ...known.slice(1).map(() => partitionOffsets(2)))
      .map((lists) => new Map(known.map((topic, i) => [topic, lists[i] ?? []]))),
    sticky: fc.constantFrom(0, 1, 2 ** 32 - 1),
    timestampMs: fc.constantFrom(0, 1_700_000_000_000),
  });
  const refusedArbitrary = fc.array(fc.boolean(), { minLength: 1, maxLength: 7 });
  const property = fc.property(entriesArbitrary, worldArbitrary, refusedArbitrary, compare);
  const seed = Number(process.env.MQ_TEST_SEED ?? 0x6d71);
  console.log(`seed=${seed}`);
  fc.assert(property, { seed, numRuns: 1000 });
});

/** A builder that has scanned three messages of topic 1. */
function scanned(): { builder: Builder; plan: ChunkPlan } {
  const builder = new BatchBuilder(options);
  const head = { topic: 1, correlationId: 1, sequence: 1 };
  const value = Buffer.from('v');
  const payload = Buffer.concat([
    batchFrame(head, [{ value }, { value }]),
    produceFrame({ ...head, sequence: 9 }, { value, partition: 1 }),
  ]);
  const { ring, from, to } = layRing(4096, 0, [{ connection: 0, payload }]);
  builder.scan(ring, from, to, 1e6);
  const world = { offsets: new Map([[1, [5, 6]]]), sticky: 0, timestampMs: 1 };
  return { builder, plan: planOf(builder, world, [2, 1]) };
}

test('messages without key go to one partition, a named partition is kept', () => {
  const { builder, plan } = scanned();
  assert.equal(builder.encodeChunks({ ...plan, sticky: 2 }), 2);
  const table = rows(builder.chunkTable, CHUNK_COLUMNS);
  assert.deepEqual(
    table.map((row) => [row[chunkColumn.partition], row[chunkColumn.messages]]),
    [
      [0, 2],
      [1, 1],
    ],
  );
  assert.deepEqual(rows(builder.places, PLACE_COLUMNS), [
    [0, 2, 0, 5],
    [2, 1, 1, 6],
  ]);
});

test('a batch of which nothing is accepted has no chunks', () => {
  const { builder, plan } = scanned();
  builder.accept.fill(0);
  const none = { ...plan, ids: new Uint8Array(0), acceptedSegments: new Int32Array(0) };
  assert.equal(builder.encodeChunks(none), 0);
  assert.equal(builder.chunkBytes.length, 0);
  assert.equal(builder.encodePayload(), 0);
  assert.equal(builder.payload.length, 0);
});

const misfits: Record<string, (plan: ChunkPlan) => ChunkPlan> = {
  'too few accepted segments': (p) => ({
    ...p,
    acceptedSegments: Int32Array.of(2),
    ids: p.ids.subarray(0, 16),
  }),
  'too many messages in them': (p) => ({ ...p, acceptedSegments: Int32Array.of(2, 2) }),
  'an empty one': (p) => ({
    ...p,
    acceptedSegments: Int32Array.of(2, 0, 1),
    ids: Buffer.alloc(48),
  }),
  'ids of another length': (p) => ({ ...p, ids: p.ids.subarray(1) }),
  'no partitions': (p) => ({ ...p, partitions: Int32Array.of(0) }),
  'no topics': (p) => ({ ...p, partitions: new Int32Array(0) }),
  'too few offsets': (p) => ({ ...p, nextOffsets: Float64Array.of(1) }),
  'a negative offset': (p) => ({ ...p, nextOffsets: Float64Array.of(1, -1) }),
  'an offset that is no number': (p) => ({ ...p, nextOffsets: Float64Array.of(1, Number.NaN) }),
  'a named partition that is not there': (p) => ({ ...p, partitions: Int32Array.of(1) }),
};

test('a plan that does not fit the scan is a RangeError', () => {
  for (const [what, change] of Object.entries(misfits)) {
    const { builder, plan } = scanned();
    assert.throws(() => builder.encodeChunks(change(plan)), RangeError, what);
  }
});
