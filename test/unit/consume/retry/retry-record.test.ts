import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeDeadHeader } from '../../../../protocol/src/dead-header.ts';
import { decodeDelayTarget } from '../../../../protocol/src/delay-target.ts';
import { type MessageHeader, readTailHeaders } from '../../../../protocol/src/message-headers.ts';
import { decodeRetryHeader } from '../../../../protocol/src/retry-header.ts';
import { deadRecordOf } from '../../../../src/consume/retry/dead-record.ts';
import {
  baseTopicOf,
  retriesOf,
  retryRecordOf,
  retryTopicOf,
} from '../../../../src/consume/retry/retry-record.ts';
import { failureOf, wireRecord } from '../dead-doubles.ts';

const id = { producerId: 7n, epoch: 2, sequence: 9 };
const options = {
  delayLog: '__mqproxy.delay',
  retryTopic: 'orders.billing.retry',
  partitions: 2,
  nodeId: 5n,
  dueMs: 90_000,
};

function headerOf(headers: readonly MessageHeader[], name: string): Buffer {
  const value = headers.find((header) => header.name === name)?.value;
  return Buffer.from(value ?? assert.fail(`no header ${name}`));
}

test('what a group put off has one topic, however often, and none when its name is too long', () => {
  assert.equal(retryTopicOf('orders', 'billing'), 'orders.billing.retry');
  assert.equal(retryTopicOf('orders.billing.retry', 'billing'), 'orders.billing.retry');
  assert.equal(retryTopicOf('orders.a.retry', 'b'), 'orders.a.retry.b.retry');
  assert.equal(retryTopicOf('x'.repeat(235), 'billing'), `${'x'.repeat(235)}.billing.retry`);
  assert.equal(retryTopicOf('x'.repeat(236), 'billing'), undefined);
  assert.equal(baseTopicOf('orders.billing.retry', 'other'), 'orders.billing.retry');
  assert.equal(baseTopicOf('.billing.retry', 'billing'), '.billing.retry');
});

test('a put-off message is a delayed one: as it was, with its id and what was counted', () => {
  const headers = [{ name: 'trace', value: Buffer.from('t') }];
  const record = wireRecord({ id, key: Buffer.from('k'), headers });
  const failure = failureOf({ partition: 3, offset: 7, attempt: 4 });
  const made = retryRecordOf(failure, record, options);
  assert.equal(made.topic, '__mqproxy.delay');
  assert.equal(made.partition, made.key?.[1]);
  assert.equal(Buffer.from(made.value ?? []).toString(), 'v');
  const written = readTailHeaders(Buffer.from(made.headers));
  const target = decodeDelayTarget(headerOf(written, 'mq-to'));
  assert.equal(target.topic, 'orders.billing.retry');
  assert.equal(target.partition, 1);
  assert.equal(target.key?.toString(), 'k');
  assert.deepEqual({ ...target.id }, { ...id, originNode: 5n, acceptedMs: 2_000, dueMs: 90_000 });
  assert.equal(headerOf(written, 'trace').toString(), 't');
  assert.deepEqual(decodeRetryHeader(headerOf(written, 'mq-retry')), {
    group: 'billing',
    attempts: 4,
    topic: 'orders',
    partition: 3,
    offset: 7,
    timestampMs: 500,
    firstFailureMs: 1_000,
  });
  // After a crash before the ack it is put off again, and must replace itself.
  assert.deepEqual(retryRecordOf({ ...failure, attempt: 1 }, record, options).key, made.key);
  assert.notDeepEqual(retryRecordOf({ ...failure, offset: 8 }, record, options).key, made.key);
});

test('one that is put off again, or dies, says where it was first', () => {
  const first = retryRecordOf(failureOf({ partition: 3, attempt: 4 }), wireRecord({ id }), options);
  const headers = readTailHeaders(Buffer.from(first.headers));
  const again = wireRecord({ id, offset: 2, timestampMs: 90_000, headers });
  const place = { topic: 'orders.billing.retry', partition: 1, offset: 2 };
  const failure = failureOf({ ...place, attempt: 5, firstFailureMs: 95_000 });
  const second = readTailHeaders(Buffer.from(retryRecordOf(failure, again, options).headers));
  assert.equal(second.filter(({ name }) => name === 'mq-retry').length, 1);
  const said = decodeRetryHeader(headerOf(second, 'mq-retry'));
  assert.deepEqual(
    [said.attempts, said.topic, said.partition, said.offset, said.timestampMs, said.firstFailureMs],
    [5, 'orders', 3, 7, 500, 1_000],
  );
  const dlq = { dlq: 'orders.billing.dlq', partitions: 2, nodeId: 5n };
  const dead = readTailHeaders(Buffer.from(deadRecordOf(failure, again, dlq).headers));
  const letter = decodeDeadHeader(headerOf(dead, 'mq-dead'));
  assert.deepEqual(
    [letter.topic, letter.partition, letter.offset, letter.attempts, letter.firstFailureMs],
    ['orders', 3, 7, 5, 1_000],
  );
  assert.deepEqual(letter.id, id);
  assert.equal(dead.filter(({ name }) => name === 'mq-retry').length, 0);
});

test('a fetch brings what was counted before, and a foreign header begins anew', () => {
  const { headers } = retryRecordOf(failureOf({ attempt: 4 }), wireRecord({ id }), options);
  const ours = wireRecord({ id, headers: readTailHeaders(Buffer.from(headers)) });
  const foreign = wireRecord({ headers: [{ name: 'mq-retry', value: Buffer.from('x') }] });
  const batch = {
    topic: 'orders.billing.retry',
    partition: 0,
    count: 2,
    records: Buffer.concat([ours, foreign]),
    starts: Uint32Array.of(0, ours.length, ours.length + foreign.length),
    offsets: Float64Array.of(7, 8),
    keyHashes: new Uint32Array(2),
    nextOffset: 9,
    endOffset: 9,
  };
  const { attempts, writtenMs } = retriesOf(batch, 'billing');
  assert.deepEqual([...attempts], [4, 0]);
  assert.deepEqual([...writtenMs], [500, 0]);
  assert.deepEqual([...retriesOf(batch, 'other').attempts], [0, 0]);
});
