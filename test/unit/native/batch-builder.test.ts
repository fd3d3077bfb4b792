import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BatchBuilder, crc32c } from '../../../src/native/addon.ts';
import {
  type BatchBuilderOptions,
  type BatchBuilder as Builder,
  type ScanTopic,
  SEGMENT_INTS,
} from '../../../src/native/batch-builder.ts';
import { fc } from '../../support/fast-check.ts';
import { entriesArbitrary } from './arbitrary-entries.ts';
import { batchFrame, frameBytes, layRing, produceFrame, type TestEntry } from './frames.ts';
import { naivePayload, naiveScans, naiveSegments } from './naive-batch.ts';

const options: BatchBuilderOptions = {
  messageBytesMax: 200,
  keyBytesMax: 20,
  headersBytesMax: 60,
  messagesMax: 1000,
  segmentsMax: 500,
};

const text = (value: string): Buffer => Buffer.from(value);

/** Scans one entry of frames from connection 7. */
function scanFrames(builder: Builder, ...frames: Uint8Array[]): number[][] {
  const entry = { connection: 7, payload: Buffer.concat(frames) };
  const { ring, from, to } = layRing(65_536, 0, [entry]);
  return rowsOf(builder, builder.scan(ring, from, to, 1e6));
}

/** The rows of `segments` in the naive twin's form. */
function rowsOf(builder: Builder, segments: number): number[][] {
  return Array.from({ length: segments }, (_, i) => {
    const ints = Array.from(builder.segments.subarray(i * SEGMENT_INTS, (i + 1) * SEGMENT_INTS));
    const [connection, ordinal, count, id, low, high, level, code, bytes, topic] = ints as [
      ...Array<number>,
    ] as number[];
    const sequence = (high as number) * 2 ** 32 + ((low as number) >>> 0);
    const row = [connection as number, ordinal, count, (id as number) >>> 0, sequence];
    return [...row, level, code, bytes, topic].map((n) => n as number);
  }).map((row) => [(row[0] as number) >>> 0, ...row.slice(1)]);
}

const frame = (sequence: number, correlationId = sequence + 100, topic = 3) => ({
  topic,
  correlationId,
  sequence,
});

/** The code of a single message of a frame. */
function codeOf(bytes: Uint8Array): number {
  const rows = scanFrames(new BatchBuilder(options), bytes);
  return rows.at(-1)?.[6] as number;
}

test('consecutive messages of one connection are one segment', () => {
  const builder = new BatchBuilder(options);
  const rows = scanFrames(
    builder,
    produceFrame(frame(1), { value: text('a') }),
    batchFrame(frame(2), [{ value: text('b'), key: text('k') }, { value: null }]),
    produceFrame(frame(4), { value: text('d'), partition: 2 }),
  );
  assert.deepEqual(rows, [[7, 0, 4, 101, 1, 0, 0, 9 + 12 + 8 + 13, 3]]);
  assert.equal(builder.messages, 4);
  assert.deepEqual(Array.from(builder.accept.subarray(0, 4)), [1, 1, 1, 1]);
  assert.equal(builder.topicCount, 1);
  assert.equal(builder.topics[0], 3);
  assert.equal(builder.topicMessages[0], 4);
});

test('a change of level, topic, sequence or correlation id is seen', () => {
  const value = text('v');
  const rows = scanFrames(
    new BatchBuilder(options),
    produceFrame(frame(1), { value }),
    produceFrame(frame(2, 102, 4), { value }),
    produceFrame({ ...frame(3), replicated: true }, { value }),
    produceFrame(frame(5, 104), { value }),
    produceFrame(frame(6, 106), { value }),
  );
  assert.deepEqual(
    rows.map((row) => [row[2], row[5], row[8]]),
    [
      [2, 0, -1],
      [1, 1, 3],
      [1, 0, 3],
      [1, 0, 3],
    ],
  );
});

test('correlation ids go on over 2^32', () => {
  const rows = scanFrames(
    new BatchBuilder(options),
    batchFrame(frame(9, 0xffff_ffff), [{ value: null }, { value: null }]),
    produceFrame(frame(11, 1), { value: null }),
  );
  assert.deepEqual(rows, [[7, 0, 3, 0xffff_ffff, 9, 0, 0, 24, 3]]);
});

test('each limit holds at its edge and refuses one byte above it', () => {
  const value = (length: number) => ({ value: Buffer.alloc(length) });
  const key = (length: number) => ({ value: null, key: Buffer.alloc(length) });
  const headers = (length: number) => ({
    value: null,
    headers: [{ name: text('h'), value: Buffer.alloc(length - 4) }],
  });
  assert.equal(codeOf(produceFrame(frame(1), value(200))), 0);
  assert.equal(codeOf(produceFrame(frame(1), value(201))), 30);
  assert.equal(codeOf(produceFrame(frame(1), key(20))), 0);
  assert.equal(codeOf(produceFrame(frame(1), key(21))), 30);
  assert.equal(codeOf(produceFrame(frame(1), headers(60))), 0);
  assert.equal(codeOf(produceFrame(frame(1), headers(61))), 30);
});

test('header names mq and mq- are reserved, names that only look like them are not', () => {
  const named = (name: string) =>
    codeOf(produceFrame(frame(1), { value: null, headers: [{ name: text(name), value: null }] }));
  assert.deepEqual(['mq', 'mq-', 'mq-due'].map(named), [35, 35, 35]);
  assert.deepEqual(['m', 'mqx', 'mq_x', 'MQ', 'xmq', 'é'].map(named), [0, 0, 0, 0, 0, 0]);
});

test('what a topic is told decides over its messages', () => {
  const builder = new BatchBuilder(options);
  const one = (message: Parameters<typeof produceFrame>[1], topic = 300): number | undefined =>
    scanFrames(builder, produceFrame(frame(1, 1, topic), message))[0]?.[6];
  assert.equal(one({ value: null, partition: 4 }), 0);
  assert.equal(one({ value: null, partition: 2 ** 31 }), 27);
  builder.setTopic(300, { partitions: 4, messageBytesMax: 10 });
  assert.equal(one({ value: null, partition: 3 }), 0);
  assert.equal(one({ value: null, partition: 4 }), 27);
  assert.equal(one({ value: Buffer.alloc(10) }), 0);
  assert.equal(one({ value: Buffer.alloc(11) }), 30);
  builder.setTopic(300, { code: 21 });
  assert.equal(one({ value: null }), 21);
  assert.equal(one({ value: null }, 0), 25);
  assert.equal(one({ value: null }, 65_535), 0);
});

/** Malformed frames by what is wrong with them. */
const malformed: Record<string, Uint8Array> = {
  'a frame shorter than its head': Buffer.alloc(11),
  'a length below 8': frameBytes(0x20, 0, frame(1), Buffer.alloc(6)).fill(0, 0, 4),
  'a length beyond the entry': Buffer.concat([Buffer.of(0, 0, 0, 200), Buffer.alloc(100)]),
  'a length near 2^32': Buffer.concat([Buffer.alloc(4, 0xff), Buffer.alloc(100)]),
  'another opcode': frameBytes(0x30, 0, frame(1), Buffer.alloc(16, 1)),
  'no room for the sequence': frameBytes(0x20, 0, frame(1), Buffer.alloc(5, 1)),
  'sequence 0': produceFrame(frame(0), { value: null }),
  'a key beyond the body': frameBytes(0x20, 1, frame(1), Buffer.of(0, 0, 0, 0, 0, 1, 0, 2, 65)),
  'half a key length': frameBytes(0x20, 1, frame(1), Buffer.of(0, 0, 0, 0, 0, 1, 0)),
  'half a partition': frameBytes(0x20, 4, frame(1), Buffer.of(0, 0, 0, 0, 0, 1, 0, 0, 1)),
  'headers beyond the body': frameBytes(0x20, 2, frame(1), Buffer.of(0, 0, 0, 0, 0, 1, 0, 9, 1)),
  'bytes of a null value': produceFrame(frame(1), { value: text('x'), extraFlags: 8 }),
  'an empty header name': produceFrame(frame(1), {
    value: null,
    headers: [{ name: text(''), value: null }],
  }),
  'a header name that is not UTF-8': produceFrame(frame(1), {
    value: null,
    headers: [{ name: Buffer.of(0xc0, 0x80), value: null }],
  }),
  'a header cut short': frameBytes(
    0x20,
    10,
    frame(1),
    Buffer.of(0, 0, 0, 0, 0, 1, 0, 4, 1, 65, 0, 5),
  ),
  'a batch without count': frameBytes(0x21, 0, frame(1), Buffer.alloc(7, 1)),
  'a batch of nothing': batchFrame(frame(1), []),
  'a batch from sequence 0': batchFrame(frame(0), [{ value: null }]),
  'a batch over the last sequence': batchFrame(frame(2 ** 48 - 1), [
    { value: null },
    { value: null },
  ]),
  'a record of length 0': frameBytes(
    0x21,
    0,
    frame(1),
    Buffer.of(0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0),
  ),
  'a byte after the records': frameBytes(
    0x21,
    0,
    frame(1),
    Buffer.of(0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1, 8, 0),
  ),
  'fewer records than counted': frameBytes(
    0x21,
    0,
    frame(1),
    Buffer.of(0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 1, 8),
  ),
};

for (const [what, bytes] of Object.entries(malformed)) {
  test(`${what} is MALFORMED and ends its entry, not the one before it`, () => {
    const good = produceFrame(frame(1), { value: text('good') });
    const rows = scanFrames(new BatchBuilder(options), good, bytes, good);
    assert.deepEqual(
      rows.map((row) => [row[2], row[6]]),
      [
        [1, 0],
        [1, 2],
      ],
    );
  });
}

test('the last sequence of all is taken', () => {
  const rows = scanFrames(
    new BatchBuilder(options),
    batchFrame(frame(2 ** 48 - 1), [{ value: null }]),
  );
  assert.deepEqual([rows[0]?.[4], rows[0]?.[6]], [2 ** 48 - 1, 0]);
});

test('unknown flags end the entry with UNKNOWN_FLAGS, in a frame and in a record', () => {
  const good = { value: text('good') };
  for (const extraFlags of [0x40, 0x80]) {
    assert.equal(codeOf(produceFrame(frame(1), { ...good, extraFlags })), 6);
  }
  for (const extraFlags of [0x10, 0x40, 0x80]) {
    const rows = scanFrames(
      new BatchBuilder(options),
      batchFrame(frame(1), [good, { ...good, extraFlags }, good]),
    );
    assert.deepEqual(
      rows.map((row) => [row[2], row[6]]),
      [
        [1, 0],
        [1, 6],
      ],
    );
  }
  const flags = frameBytes(0x21, 0x01, frame(1), Buffer.alloc(20, 1));
  assert.equal(codeOf(flags), 6);
});

test('only accepted messages are encoded, and refused ones cannot be accepted by a bit', () => {
  const builder = new BatchBuilder(options);
  scanFrames(
    builder,
    produceFrame(frame(1), { value: text('one') }),
    produceFrame(frame(2), { value: Buffer.alloc(201) }),
    produceFrame(frame(3), { value: text('three'), key: text('k'), replicated: true } as never),
    produceFrame(frame(4), { value: text('four') }),
  );
  builder.accept[0] = 0;
  builder.accept[1] = 1;
  const length = builder.encodePayload();
  const expected = naivePayload([
    { topic: 3, flags: 1, body: Buffer.concat([Buffer.of(0, 1), text('kthree')]) },
    { topic: 3, flags: 0, body: text('four') },
  ] as never);
  assert.equal(length, expected.length);
  assert.deepEqual(Buffer.from(builder.payload), expected);
  assert.equal(builder.payloadCrc, crc32c(expected));
  assert.equal(builder.acceptedMessages, 2);
});

test('a ring that is inconsistent is a RangeError, never a read outside it', () => {
  const builder = new BatchBuilder(options);
  const entry = (bytes: number, kind: number): Buffer => {
    const ring = Buffer.alloc(256);
    ring.writeUInt32LE(bytes, 0);
    ring.writeUInt32LE(kind, 12);
    return ring;
  };
  assert.throws(() => builder.scan(entry(300, 1), 0, 128, 1e6), RangeError);
  assert.throws(() => builder.scan(entry(0xffff_ffff, 1), 0, 128, 1e6), RangeError);
  assert.throws(() => builder.scan(entry(200, 1), 0, 128, 1e6), RangeError);
  assert.throws(() => builder.scan(entry(8, 9), 0, 128, 1e6), RangeError);
  assert.throws(() => builder.scan(entry(8, 0xffff_ffff), 0, 128, 1e6), RangeError);
  assert.throws(() => builder.scan(Buffer.alloc(256), 0, 256, 1e6), RangeError);
  assert.throws(() => builder.scan(Buffer.alloc(256), -8, 8, 1e6), RangeError);
  assert.equal(builder.scan(entry(8, 1), 8, 8, 1e6), 0);
});

test('a scan whose messages do not fit goes on inside the entry', () => {
  const small = new BatchBuilder({ ...options, messagesMax: 3 });
  const records = Array.from({ length: 8 }, (_, i) => ({ value: text(String(i)) }));
  const payload = batchFrame(frame(1), records);
  const { ring, from, to } = layRing(4096, 4080, [{ connection: 1, payload }]);
  const seen: string[] = [];
  let position = from;
  while (position !== to) {
    small.scan(ring, position, to, 1e6);
    small.encodePayload();
    seen.push(`${small.messages} ${small.consumed}`);
    position = small.consumed;
  }
  assert.deepEqual(seen, ['3 0', '3 0', `2 ${to}`]);
});

/** Scans all entries as a lane would and compares each scan with the naive twin. */
function compare(
  entries: readonly TestEntry[],
  from: number,
  bytesMax: number,
  limits: BatchBuilderOptions,
  topics: ReadonlyMap<number, ScanTopic>,
): void {
  const builder = new BatchBuilder(limits);
  for (const [topic, what] of topics) builder.setTopic(topic, what);
  const { ring, from: start, to } = layRing(65_536, from, entries);
  let position = start;
  for (const expected of naiveScans(entries, bytesMax, limits, topics)) {
    assert.notEqual(position, to);
    const segments = builder.scan(ring, position, to, bytesMax);
    position = builder.consumed;
    assert.deepEqual(rowsOf(builder, segments), naiveSegments(expected));
    assert.equal(builder.messages, expected.length);
    const valid = expected.filter(({ code }) => code === 0);
    const accept = Array.from(builder.accept.subarray(0, expected.length));
    assert.deepEqual(
      accept,
      expected.map(({ code }) => (code === 0 ? 1 : 0)),
    );
    const counts = new Map<number, number>();
    for (const { topic } of valid) counts.set(topic, (counts.get(topic) ?? 0) + 1);
    const named = Array.from(builder.topics.subarray(0, builder.topicCount));
    assert.deepEqual(
      named.map((topic, i) => [topic, builder.topicMessages[i]]),
      [...counts],
    );
    const payload = naivePayload(valid);
    assert.equal(builder.payloadBytes, payload.length);
    assert.equal(builder.encodePayload(), payload.length);
    assert.deepEqual(Buffer.from(builder.payload), payload);
    assert.equal(builder.payloadCrc, crc32c(payload));
  }
  assert.equal(position, to);
}

test('scan and payload agree with a naive twin on any entries', () => {
  const topics = new Map<number, ScanTopic>([
    [2, { partitions: 3 }],
    [3, { messageBytesMax: 40 }],
    [4, { code: 21 }],
  ]);
  const property = fc.property(
    entriesArbitrary,
    fc.integer({ min: 0, max: 8191 }).map((n) => n * 8),
    fc.constantFrom(1, 100, 1000, 100_000),
    fc.constantFrom(1, 3, 1000),
    fc.constantFrom(1, 2, 500),
    (entries, from, bytesMax, messagesMax, segmentsMax) => {
      compare(entries, from, bytesMax, { ...options, messagesMax, segmentsMax }, topics);
    },
  );
  const seed = Number(process.env.MQ_TEST_SEED ?? 0x6d71);
  console.log(`seed=${seed}`);
  fc.assert(property, { seed, numRuns: 1500 });
});
