import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeDelayTarget, MQ_TO_NAME } from '../../../protocol/src/delay-target.ts';
import { FrameWriter } from '../../../protocol/src/frame-writer.ts';
import { type MessageHeader, writeTailHeaders } from '../../../protocol/src/message-headers.ts';
import { encodeMqHeader } from '../../../protocol/src/mq-header.ts';
import { peekTopic, readDelayRecord, topicOf } from '../../../src/delay/delay-record.ts';
import { fc } from '../../support/fast-check.ts';
import { seed } from '../../support/seeded.ts';

const id = { producerId: 7n, epoch: 1, sequence: 2, originNode: 1n };
const mq = encodeMqHeader({ ...id, acceptedMs: 3, dueMs: 4 });

// record := length:u32 offset:u64 timestampMs:u64 flags:u8 [id:16] keyLength:u32 key
//           [headersLength:u32 headers] value                                       [P-7.3]
function recordOf(headers: readonly MessageHeader[] | undefined, hasId: boolean): Buffer {
  const writer = new FrameWriter();
  if (headers !== undefined) writeTailHeaders(writer, headers);
  const body = Buffer.from(writer.view());
  const flags = 0x01 | (headers === undefined ? 0x08 : 0x02) | (hasId ? 0x40 : 0);
  const parts = [Buffer.alloc(20), Buffer.of(flags), Buffer.alloc(hasId ? 16 : 0)];
  parts.push(Buffer.of(0, 0, 0, 24), Buffer.alloc(24, 1));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length);
  if (headers !== undefined) parts.push(length, body);
  return Buffer.concat([...parts, Buffer.from('value')]);
}

test('a peek at the topic of a record agrees with reading it, whatever headers it has', () => {
  const value = fc.option(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)));
  const name = fc.constantFrom('a', 'mq', 'mq-end', 'mq-t', 'mq-too', 'mq-rule', 'x-mq-to');
  const others = fc.array(fc.record({ name, value }), { maxLength: 5 });
  const topics = fc.stringMatching(/^[a-z.]{1,40}$/);
  const property = fc.property(
    others,
    topics,
    fc.nat(5),
    fc.boolean(),
    (drawn, topic, at, hasId) => {
      const target = { topic, partition: undefined, key: undefined, nullValue: false };
      const to = encodeDelayTarget({ ...target, ifAbsent: false, mq });
      const headers = [...drawn.slice(0, at), { name: MQ_TO_NAME, value: to }, ...drawn.slice(at)];
      const bytes = recordOf(headers, hasId);
      const record = readDelayRecord(bytes);
      assert(record?.target !== undefined);
      assert.equal(topicOf(record.target), topic);
      assert.equal(peekTopic(bytes), topic);
    },
  );
  fc.assert(property, { seed });
  assert.equal(peekTopic(recordOf(undefined, false)), undefined, 'a tombstone');
  assert.equal(peekTopic(recordOf([{ name: 'a', value: null }], true)), undefined);
});
