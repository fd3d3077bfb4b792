import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';

// A TAIL of Kafka that waited and got nothing was answered INTERNAL: its records were an empty
// vector without memory, which Node hands over as a detached buffer.
test('a frame is written around an empty buffer whose memory was detached', () => {
  const records = new Uint8Array(8);
  structuredClone(records.buffer, { transfer: [records.buffer] });
  assert.equal(records.length, 0);
  const writer = new FrameWriter();
  writer.begin(0, 0, 0, 0);
  const before = writer.length;
  writer.bytes(records);
  assert.equal(writer.length, before);
  writer.u8(1);
  writer.end();
});
