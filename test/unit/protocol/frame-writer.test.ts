import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readFrame } from '../../../protocol/src/frame.ts';
import { FrameDecoder } from '../../../protocol/src/frame-decoder.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { ErrorCode, Opcode } from '../../../protocol/src/generated.ts';
import { encodePing } from '../../../protocol/src/ping.ts';
import {
  BATCH_HEAD_BYTES,
  BATCH_RECORD_HEAD_BYTES,
  encodeProduce,
  encodeProduceBatch,
  messageFieldBytes,
  PRODUCE_HEAD_BYTES,
  type ProduceMessage,
} from '../../../protocol/src/produce.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';

const head = { topic: 1, correlationId: 1, sequence: 1, replicated: false };
const hasCode = (code: number) => (error: unknown) =>
  error instanceof ProtocolError && error.code === code;

test('a frame that cannot be encoded leaves the frames before it untouched', () => {
  const writer = new FrameWriter();
  encodePing(writer, 1);
  const before = Buffer.from(writer.view());
  const message = { key: 'k'.repeat(65_536), value: 'v' };
  assert.throws(() => encodeProduce(writer, head, message), hasCode(ErrorCode.MESSAGE_TOO_LARGE));
  const batch = [{ value: 'v' }, message];
  assert.throws(
    () => encodeProduceBatch(writer, head, batch),
    hasCode(ErrorCode.MESSAGE_TOO_LARGE),
  );
  assert.deepEqual(writer.view(), before);
  encodePing(writer, 2);
  assert.equal(readFrame(writer.view(), 12).correlationId, 2);
});

test('a writer never grows beyond its limit', () => {
  const writer = new FrameWriter({ bytesStart: 16, bytesMax: 100 });
  assert.throws(
    () => encodeProduce(writer, head, { value: 'v'.repeat(83) }),
    hasCode(ErrorCode.FRAME_TOO_LARGE),
  );
  encodeProduce(writer, head, { value: 'v'.repeat(82) });
  assert.equal(writer.length, 100);
});

test('what was detached is not written to again', () => {
  const writer = new FrameWriter();
  encodePing(writer, 1, Buffer.from('first'));
  const first = writer.detach();
  encodePing(writer, 2, Buffer.from('other'));
  assert.equal(readFrame(first, 0).body.toString(), 'first');
  assert.equal(writer.length, 17);
});

test('the sizes that are said beforehand are those that are written', () => {
  const headers = [{ name: 'größe', value: Buffer.from('x') }];
  const messages: ProduceMessage[] = [
    { value: 'ü€😀' },
    { value: null, key: Buffer.alloc(3) },
    { value: Buffer.alloc(9), key: 'ß', headers, partition: 7 },
    { value: 'v', headers: [{ name: 'n', value: null }] },
  ];
  for (const message of messages) {
    const writer = new FrameWriter();
    encodeProduce(writer, head, message);
    assert.equal(writer.length, PRODUCE_HEAD_BYTES + messageFieldBytes(message));
    writer.reset();
    encodeProduceBatch(writer, head, [message, message]);
    const record = BATCH_RECORD_HEAD_BYTES + messageFieldBytes(message);
    assert.equal(writer.length, BATCH_HEAD_BYTES + 2 * record);
  }
});

test('a chunk that was pushed before the last one was read out is not lost', () => {
  const writer = new FrameWriter();
  for (let i = 1; i <= 3; i++) encodePing(writer, i);
  const bytes = writer.detach();
  const decoder = new FrameDecoder({ frameBytesMax: 8192 });
  decoder.push(bytes.subarray(0, 20));
  assert.equal(decoder.next()?.correlationId, 1);
  decoder.push(bytes.subarray(20));
  assert.equal(decoder.next()?.correlationId, 2);
  assert.equal(decoder.next()?.opcode, Opcode.PING);
  assert.equal(decoder.next(), undefined);
});
