import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { decodeDeadHeader } from '../../../../protocol/src/dead-header.ts';
import { readTailHeaders } from '../../../../protocol/src/message-headers.ts';
import { decodeMqHeader } from '../../../../protocol/src/mq-header.ts';
import {
  deadIdOf,
  deadRecordOf,
  deadTopicOf,
  redriveIdOf,
} from '../../../../src/consume/retry/dead-record.ts';
import { fingerprintOf } from '../../../../src/consume/retry/fingerprint.ts';
import { fc } from '../../../support/fast-check.ts';
import { seed } from '../../../support/seeded.ts';
import { failureOf, wireRecord } from '../dead-doubles.ts';

const messageId = { producerId: 5n, epoch: 1, sequence: 42 };
const options = { dlq: 'orders.billing.dlq', partitions: 2, nodeId: 9n };

test('a dead letter keeps key, value and headers, and says why it is one', () => {
  const id = messageId;
  const headers = [{ name: 'source', value: Buffer.from('shop') }];
  const record = wireRecord({ id, key: Buffer.from('k'), headers });
  const failure = failureOf({ partition: 3, attempt: 16 });
  const made = deadRecordOf(failure, record, options);
  assert.equal(made.topic, 'orders.billing.dlq');
  assert.equal(made.partition, 1);
  assert.equal(String(made.key), 'k');
  assert.equal(String(made.value), 'v');
  const [source, mq, dead] = readTailHeaders(Buffer.from(made.headers));
  assert.equal(String(source?.value), 'shop');
  const { originNode, acceptedMs, ...deadId } = decodeMqHeader(mq?.value as Buffer);
  assert.deepEqual(deadId, deadIdOf({ ...failure, timestampMs: 500, id }));
  assert.deepEqual([originNode, acceptedMs], [9n, 2000]);
  assert.equal(dead?.name, 'mq-dead');
  assert.deepEqual(decodeDeadHeader(dead?.value as Buffer), {
    group: 'billing',
    cause: 'nack',
    reason: 'no such customer',
    attempts: 16,
    cluster: 0,
    topic: 'orders',
    partition: 3,
    offset: 7,
    timestampMs: 500,
    id,
    firstFailureMs: 1000,
    lastFailureMs: 2000,
    fingerprint: fingerprintOf('no such customer', 'nack'),
  });
});

test('null and empty stay apart, and a record without an id becomes a dead letter too', () => {
  const empty = deadRecordOf(failureOf(), wireRecord({ value: Buffer.alloc(0) }), options);
  assert.equal(empty.value?.length, 0);
  assert.equal(empty.key, null);
  const none = deadRecordOf(failureOf(), wireRecord({ value: null }), options);
  assert.equal(none.value, null);
  const dead = readTailHeaders(Buffer.from(none.headers)).at(-1);
  assert.equal(decodeDeadHeader(dead?.value as Buffer).id, undefined);
});

test('a message that is moved twice has one id, and two messages have two', () => {
  const parts = {
    group: fc.constantFrom('a', 'b'),
    cluster: fc.constantFrom(0, 1),
    topic: fc.constantFrom('t', 'u'),
    partition: fc.integer({ min: 0, max: 2 }),
    offset: fc.integer({ min: 0, max: 3 }),
    timestampMs: fc.constantFrom(500, 501),
    id: fc.constantFrom(undefined, messageId, { ...messageId, sequence: 43 }),
  };
  const origin = fc.record(parts, { noNullPrototype: true });
  const property = fc.property(origin, origin, (a, b) => {
    const same = isDeepStrictEqual(a, b);
    const text = (id: object): string => Object.values(id).join('-');
    assert.equal(text(deadIdOf(a)) === text(deadIdOf(b)), same);
    assert.equal(text(redriveIdOf(a)) === text(redriveIdOf(b)), same);
    assert.notEqual(text(deadIdOf(a)), text(redriveIdOf(a)));
  });
  fc.assert(property, { numRuns: 500, seed });
});

test('a long reason is cut at a whole character', () => {
  for (let pad = 0; pad < 4; pad++) {
    const reason = `${'x'.repeat(pad)}${'€😀'.repeat(400)}`;
    const made = deadRecordOf(failureOf({ reason }), wireRecord(), options);
    const dead = readTailHeaders(Buffer.from(made.headers)).at(-1);
    const kept = decodeDeadHeader(dead?.value as Buffer).reason;
    assert.ok(reason.startsWith(kept) && Buffer.byteLength(kept) > 1020);
    assert.ok(Buffer.byteLength(kept) <= 1024 && !kept.includes('\ufffd'));
  }
});

test('a name too long for a topic is cut, and stays one of its own', () => {
  assert.equal(deadTopicOf('orders', 'billing'), 'orders.billing.dlq');
  const long = 't'.repeat(240);
  const [a, b] = [deadTopicOf(long, 'group-a'), deadTopicOf(long, 'group-b')];
  assert.ok(a.length === 249 && b.length === 249 && a !== b && a.endsWith('.dlq'));
});

test('bytes that are no record are refused', () => {
  assert.throws(() => deadRecordOf(failureOf(), Buffer.alloc(9), options), /a failed message/);
});
