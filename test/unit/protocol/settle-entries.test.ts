import assert from 'node:assert/strict';
import { test } from 'node:test';
import { beginAck, decodeAck } from '../../../protocol/src/ack.ts';
import { readFrame } from '../../../protocol/src/frame.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { beginNack } from '../../../protocol/src/nack.ts';
import { ProtocolError } from '../../../protocol/src/protocol-error.ts';
import {
  SettleEntries,
  settleEntryBytes,
  writeSettleEntry,
} from '../../../protocol/src/settle-entries.ts';

const token = Buffer.alloc(48, 7);

function ackOf(counts: readonly number[]): Buffer {
  const writer = new FrameWriter();
  beginAck(writer, 1, false);
  for (const count of counts) {
    writeSettleEntry(
      writer,
      token,
      Uint16Array.from({ length: count }, (_, i) => i),
    );
  }
  writer.end();
  return writer.detach();
}

test('a frame names at most 65,535 messages, over all of its entries', () => {
  const entries = new SettleEntries();
  assert.equal(decodeAck(readFrame(ackOf([40_000, 25_535]), 0), entries), false);
  assert.equal(entries.messages, 65_535);
  const many = readFrame(ackOf([40_000, 25_536]), 0);
  assert.throws(() => decodeAck(many, entries), { name: 'MALFORMED' });
});

test('the bytes of an entry are those that are said beforehand', () => {
  assert.equal(ackOf([3]).length, 12 + settleEntryBytes(3));
});

test('a part of the indexes can be written, without a copy of them', () => {
  const writer = new FrameWriter();
  beginAck(writer, 1, true);
  writeSettleEntry(writer, token, Uint16Array.of(9, 8, 7, 6), 1, 3);
  writer.end();
  const entries = new SettleEntries();
  assert.equal(decodeAck(readFrame(writer.view(), 0), entries), true);
  assert.ok(entries.next());
  assert.deepEqual([entries.count, entries.index(0), entries.index(1)], [2, 8, 7]);
  assert.ok(!entries.next());
});

test('a NACK that cannot be sent is refused before anything is written', () => {
  const writer = new FrameWriter();
  for (const delayMs of [-1, 0.5, 2 ** 32, Number.NaN]) {
    const head = { dead: false, delayMs, reason: '' };
    assert.throws(() => beginNack(writer, 1, head), ProtocolError);
  }
  const long = { dead: false, reason: 'ü'.repeat(513) };
  assert.throws(() => beginNack(writer, 1, long), { name: 'INVALID_ARGUMENT' });
  assert.equal(writer.length, 0);
});
