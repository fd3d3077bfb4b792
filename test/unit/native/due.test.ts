import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayIdOfKey, delayIdOfMessage, formatDelayId } from '../../../protocol/src/delay-id.ts';
import { type DelayTarget, decodeDelayTarget } from '../../../protocol/src/delay-target.ts';
import { DUE_HORIZON_MS, type Due } from '../../../protocol/src/due.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { DueKind, ErrorCode } from '../../../protocol/src/generated.ts';
import { readHeaders } from '../../../protocol/src/message-headers.ts';
import { encodeProduce, type ProduceMessage } from '../../../protocol/src/produce.ts';
import { BatchBuilder } from '../../../src/native/addon.ts';
import { SEGMENT_INTS, segmentField } from '../../../src/native/batch-builder.ts';
import { fc } from '../../support/fast-check.ts';
import { layRing } from './frames.ts';

const nowMs = 1_700_000_000_000;
const delayTopic = 9;
const producerId = 0xfeed_0000_0000_0001n;
const epoch = 3;
const firstSequence = 2 ** 32 - 1;

function newBuilder() {
  const builder = new BatchBuilder({
    messageBytesMax: 100_000,
    keyBytesMax: 40_000,
    headersBytesMax: 40_000,
    messagesMax: 1000,
    segmentsMax: 1000,
  });
  builder.setTopic(1, { name: 'orders', partitions: 4 });
  builder.setTopic(2, { partitions: 4 });
  const originNode = Buffer.from('0102030405060708', 'hex');
  builder.setDue({ topic: delayTopic, levelsMs: Float64Array.of(1_000, 5_000), originNode });
  return builder;
}

function scan(builder: ReturnType<typeof newBuilder>, messages: readonly ProduceMessage[]) {
  const writer = new FrameWriter();
  for (const [i, message] of messages.entries()) {
    const head = { topic: 1, correlationId: i, sequence: firstSequence + i, replicated: false };
    encodeProduce(writer, head, message);
  }
  const entry = { connection: 7, payload: Buffer.from(writer.view()) };
  const { ring, from, to } = layRing(1 << 20, 0, [entry]);
  return builder.scan(ring, from, to, 1e6, nowMs);
}

function codeOf(message: ProduceMessage): number {
  const builder = newBuilder();
  assert.equal(scan(builder, [message]), 1);
  return builder.segments[segmentField.code] as number;
}

/** What the outbox payload holds: [O] of native/kafka/produce.cc. */
function recordsOf(payload: Buffer) {
  const records: { topic: number; flags: number; body: Buffer }[] = [];
  for (let at = 0; at < payload.length; ) {
    const length = payload.readUInt32LE(at);
    const body = payload.subarray(at + 8, at + 8 + length);
    records.push({ topic: payload.readUInt16LE(at + 4), flags: payload[at + 6] as number, body });
    at += 8 + length;
  }
  return records;
}

/** A record of the delay log, taken apart by hand. */
function delayRecord(body: Buffer) {
  const keyLength = body.readUInt16BE(4);
  const headersLength = body.readUInt16BE(6 + keyLength);
  const headersAt = 8 + keyLength;
  const headers = readHeaders(body.subarray(headersAt, headersAt + headersLength));
  return {
    partition: body.readUInt32BE(0),
    id: body.subarray(6, 6 + keyLength),
    target: decodeDelayTarget(headers[0]?.value as Buffer),
    name: headers[0]?.name,
    headers: headers.slice(1),
    value: body.subarray(headersAt + headersLength),
  };
}

function acceptAll(builder: ReturnType<typeof newBuilder>, count: number): Buffer {
  const ids = Buffer.alloc(16);
  ids.writeBigUInt64BE(producerId, 0);
  ids.writeUInt16BE(epoch, 8);
  ids.writeUIntBE(firstSequence, 10, 6);
  builder.rewriteDue(ids, Int32Array.of(count), nowMs);
  const length = builder.encodePayload();
  return Buffer.from(builder.payload.subarray(0, length));
}

const due: fc.Arbitrary<Due> = fc.oneof(
  fc.record({ kind: fc.constant(DueKind.DELAY), due: fc.nat(DUE_HORIZON_MS) }),
  fc.record({ kind: fc.constant(DueKind.TIME), due: fc.nat(nowMs + DUE_HORIZON_MS) }),
  fc.record({ kind: fc.constant(DueKind.LEVEL), due: fc.constantFrom(1_000, 5_000) }),
);
const delayed: fc.Arbitrary<ProduceMessage> = fc
  .record({
    due: fc.option(due, { nil: undefined }),
    unique: fc.boolean(),
    ifAbsent: fc.boolean(),
    key: fc.option(fc.uint8Array({ maxLength: 80 }), { nil: undefined }),
    partition: fc.option(fc.nat(3), { nil: undefined }),
    value: fc.option(fc.uint8Array({ maxLength: 50 }), { nil: null }),
    headers: fc.array(
      fc.record({
        name: fc.constantFrom('a', 'trace', 'größe'),
        value: fc.option(fc.uint8Array({ maxLength: 20 }), { nil: null }),
      }),
      { maxLength: 3 },
    ),
  })
  .map(({ due, unique, ifAbsent, key, partition, ...rest }) => {
    const mayBeUnique = unique && key !== undefined && due?.kind !== DueKind.LEVEL;
    return {
      ...rest,
      ...(key === undefined ? {} : { key }),
      ...(partition === undefined ? {} : { partition }),
      ...(due === undefined ? {} : { due: mayBeUnique ? { ...due, unique: true, ifAbsent } : due }),
    };
  });

test('delayed messages become records of the delay log, the others stay as they are', () => {
  fc.assert(
    fc.property(fc.array(delayed, { minLength: 1, maxLength: 20 }), (messages) => {
      const builder = newBuilder();
      const segments = scan(builder, messages);
      assert.equal(builder.dueMessages, messages.filter((m) => m.due !== undefined).length);
      for (let i = 0; i < segments; i++) {
        const ints = builder.segments.subarray(i * SEGMENT_INTS);
        const first = messages[ints[segmentField.ordinal] as number];
        assert.equal(ints[segmentField.due], first?.due === undefined ? 0 : 1);
        assert.equal(ints[segmentField.code], 0);
      }
      const records = recordsOf(acceptAll(builder, messages.length));
      assert.equal(records.length, messages.length);
      for (const [i, message] of messages.entries()) {
        const { topic, flags, body } = records[i] as (typeof records)[number];
        assert.equal(topic, message.due === undefined ? 1 : delayTopic);
        if (message.due === undefined) continue;
        assert.equal(flags, 7);
        checkDelayed(message, delayRecord(body), firstSequence + i);
      }
    }),
    { numRuns: 200 },
  );
});

function checkDelayed(
  message: ProduceMessage,
  record: ReturnType<typeof delayRecord>,
  sequence: number,
): void {
  const { kind, due, unique, ifAbsent } = message.due as Due;
  const id = unique
    ? delayIdOfKey('orders', message.key ?? '')
    : delayIdOfMessage({ producerId, epoch, sequence }, kind === DueKind.LEVEL);
  assert.equal(formatDelayId(record.id), formatDelayId(id));
  assert.equal(record.partition, id[1]);
  assert.equal(record.name, 'mq-to');
  const { mq: _, ...target } = record.target;
  const expected: Omit<DelayTarget, 'mq'> = {
    topic: 'orders',
    partition: message.partition,
    key: message.key === undefined ? undefined : Buffer.from(message.key),
    nullValue: message.value === null,
    ifAbsent: ifAbsent === true,
    id: {
      producerId,
      epoch,
      sequence,
      originNode: 0x0102_0304_0506_0708n,
      acceptedMs: nowMs,
      dueMs: kind === DueKind.TIME ? due : nowMs + due,
    },
  };
  assert.deepEqual(target, expected);
  assert.deepEqual(record.value, Buffer.from(message.value ?? ''));
  const headers = (message.headers ?? []).map(({ name, value }) => ({
    name,
    value: value === null ? null : Buffer.from(value as Uint8Array),
  }));
  assert.deepEqual(record.headers, headers);
}

test('due times at the edges are taken, or refused by their code', () => {
  const value = 'v';
  const { DELAY, TIME, LEVEL } = DueKind;
  const cases: [Due, number][] = [
    [{ kind: DELAY, due: 0 }, ErrorCode.OK],
    [{ kind: DELAY, due: DUE_HORIZON_MS }, ErrorCode.OK],
    [{ kind: DELAY, due: DUE_HORIZON_MS + 1 }, ErrorCode.BEYOND_HORIZON],
    [{ kind: TIME, due: 0 }, ErrorCode.OK],
    [{ kind: TIME, due: nowMs }, ErrorCode.OK],
    [{ kind: TIME, due: nowMs + DUE_HORIZON_MS }, ErrorCode.OK],
    [{ kind: TIME, due: nowMs + DUE_HORIZON_MS + 1 }, ErrorCode.BEYOND_HORIZON],
    [{ kind: TIME, due: 2 ** 53 - 1 }, ErrorCode.BEYOND_HORIZON],
    [{ kind: DELAY, due: 2 ** 53 - 1 }, ErrorCode.BEYOND_HORIZON],
    [{ kind: LEVEL, due: 5_000 }, ErrorCode.OK],
    [{ kind: LEVEL, due: 5_001 }, ErrorCode.INVALID_ARGUMENT],
    [{ kind: DELAY, due: 1, unique: true }, ErrorCode.INVALID_ARGUMENT],
    [{ kind: 3 as DueKind, due: 1 }, ErrorCode.INVALID_ARGUMENT],
    [{ kind: 0x10 as DueKind, due: 1 }, ErrorCode.INVALID_ARGUMENT],
  ];
  for (const [due, code] of cases) assert.equal(codeOf({ value, due }), code, JSON.stringify(due));
  const absent = { kind: DELAY, due: 1, ifAbsent: true };
  assert.equal(codeOf({ value, key: 'k', due: absent }), ErrorCode.INVALID_ARGUMENT);
  const level = { kind: LEVEL, due: 1_000, unique: true };
  assert.equal(codeOf({ value, key: 'k', due: level }), ErrorCode.INVALID_ARGUMENT);
  const large = [{ name: 'h', value: Buffer.alloc(32_490) }];
  const one = { kind: DELAY, due: 1 };
  const fits = { value, key: Buffer.alloc(32_506), headers: large };
  assert.equal(codeOf({ ...fits, due: one }), ErrorCode.OK);
  const over = { value, key: Buffer.alloc(32_507), headers: large };
  assert.equal(codeOf({ ...over, due: one }), ErrorCode.MESSAGE_TOO_LARGE);
  assert.equal(codeOf(over), ErrorCode.OK);
});

test('a due time above 2^53 is refused alone, and its connection lives', () => {
  const builder = newBuilder();
  const writer = new FrameWriter();
  const head = { topic: 1, correlationId: 1, sequence: 1, replicated: false };
  encodeProduce(writer, head, { value: 'v', due: { kind: DueKind.DELAY, due: 1 } });
  const frame = Buffer.from(writer.view());
  for (const wire of [2n ** 53n, 2n ** 63n, 2n ** 64n - 1n, 0x7ff8_0000_0000_0000n]) {
    frame.writeBigUInt64BE(wire, 19);
    const { ring, from, to } = layRing(4096, 0, [{ connection: 1, payload: frame }]);
    assert.equal(builder.scan(ring, from, to, 1e6, nowMs), 1);
    assert.equal(builder.segments[segmentField.code], ErrorCode.BEYOND_HORIZON);
  }
});

test('without a delay log delayed messages are refused as not supported', () => {
  const builder = newBuilder();
  builder.setDue({ topic: 0, levelsMs: new Float64Array(0), originNode: Buffer.alloc(8) });
  scan(builder, [{ value: 'v', due: { kind: DueKind.DELAY, due: 1 } }]);
  assert.equal(builder.segments[segmentField.code], ErrorCode.NOT_SUPPORTED);
});
