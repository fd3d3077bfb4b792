import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatMessageId } from '../../../../protocol/src/message-id.ts';
import { coded } from '../../../../src/base/errors.ts';
import { DeadLetterMover } from '../../../../src/consume/dead-letters/dead-letter-mover.ts';
import { deadIdOf } from '../../../../src/consume/retry/dead-record.ts';
import { DeadClusterDouble, failureOf, wireRecord } from '../dead-doubles.ts';

function moverOf(cluster: DeadClusterDouble): DeadLetterMover {
  const settings = {
    config: { 'retention.ms': '1000', 'max.message.bytes': '50' },
    madeWith: { 'max.message.bytes': '90' },
    partitions: 1,
    replicationFactor: 'auto' as const,
  };
  return new DeadLetterMover({ cluster, settings, dlq: 'orders.billing.dlq', nodeId: 1n });
}

test('the topic is made before the first move, and not asked for again', async () => {
  const cluster = new DeadClusterDouble();
  const mover = moverOf(cluster);
  await mover.move(failureOf(), wireRecord());
  await mover.move(failureOf({ offset: 8 }), wireRecord());
  assert.deepEqual(cluster.ensured, [
    {
      name: 'orders.billing.dlq',
      partitions: 1,
      config: { 'retention.ms': '1000', 'max.message.bytes': '90' },
      replicationFactor: 'auto',
      isPublic: true,
    },
  ]);
  assert.equal(cluster.records.length, 2);
});

test('a topic that is there keeps its partitions, and its size', async () => {
  const cluster = new DeadClusterDouble();
  cluster.existing = 8;
  await moverOf(cluster).move(failureOf({ partition: 13 }), wireRecord());
  assert.equal(cluster.ensured[0]?.partitions, 8);
  assert.equal(cluster.ensured[0]?.config['max.message.bytes'], '50');
  assert.equal(cluster.records[0]?.partition, 5);
});

test('what comes during a publish goes with the next one, bounded in number', async () => {
  const cluster = new DeadClusterDouble();
  let open = (): void => {};
  cluster.gate = new Promise((resolve) => {
    open = resolve;
  });
  const mover = moverOf(cluster);
  const moves = Array.from({ length: 1000 }, (_, offset) =>
    mover.move(failureOf({ offset }), wireRecord()),
  );
  open();
  await Promise.all(moves);
  assert.deepEqual(
    cluster.batches.map((batch) => batch.length),
    [256, 256, 256, 232],
  );
});

test('a batch is bounded in bytes', async () => {
  const cluster = new DeadClusterDouble();
  const mover = moverOf(cluster);
  const record = wireRecord({ value: Buffer.alloc(1_500_000) });
  await Promise.all([1, 2, 3].map((offset) => mover.move(failureOf({ offset }), record)));
  assert.deepEqual(
    cluster.batches.map((batch) => batch.length),
    [2, 1],
  );
});

test('one refusal fails its own move only, and the topic is looked at again', async () => {
  const cluster = new DeadClusterDouble();
  const mover = moverOf(cluster);
  await mover.move(failureOf(), wireRecord());
  cluster.answer = ({ key }) =>
    key === null
      ? { partition: 0, offset: 1 }
      : { code: 'MESSAGE_TOO_LARGE', message: 'too large', retriable: false };
  const [good, bad] = await Promise.allSettled([
    mover.move(failureOf({ offset: 8 }), wireRecord()),
    mover.move(failureOf({ offset: 9 }), wireRecord({ key: Buffer.from('k') })),
  ]);
  assert.equal(good.status, 'fulfilled');
  assert.equal(bad.status === 'rejected' && bad.reason.code, 'MESSAGE_TOO_LARGE');
  await mover.move(failureOf({ offset: 10 }), wireRecord());
  assert.equal(cluster.ensured.length, 2);
});

test('while the topic is refused nothing is published, and later it is', async () => {
  const cluster = new DeadClusterDouble();
  cluster.ensureError = coded('ROLE_REFUSED', 'retention.ms is 5');
  const mover = moverOf(cluster);
  await assert.rejects(mover.move(failureOf(), wireRecord()), { code: 'ROLE_REFUSED' });
  assert.equal(cluster.batches.length, 0);
  cluster.ensureError = undefined;
  await mover.move(failureOf(), wireRecord());
  assert.equal(cluster.records.length, 1);
});

test('bytes that are no record fail alone', async () => {
  const cluster = new DeadClusterDouble();
  const mover = moverOf(cluster);
  const [bad, good] = await Promise.allSettled([
    mover.move(failureOf(), Buffer.alloc(3)),
    mover.move(failureOf(), wireRecord()),
  ]);
  assert.deepEqual([bad.status, good.status], ['rejected', 'fulfilled']);
});

test('a letter that an owner before has written is not written again', async () => {
  const cluster = new DeadClusterDouble();
  cluster.existing = 2;
  const mover = moverOf(cluster);
  const failures = [7, 8, 9].map((offset) => failureOf({ offset, ownedSinceMs: 100 + offset }));
  const [, second] = failures;
  assert(second !== undefined);
  const message = { timestampMs: 500, id: undefined };
  cluster.there.add(formatMessageId(deadIdOf({ ...second, ...message })));
  await Promise.all(failures.map((failure) => mover.move(failure, wireRecord())));
  // One look for all, as they were when the last of them was taken.
  assert.deepEqual(cluster.looks, ['orders.billing.dlq/0@109']);
  assert.equal(cluster.records.length, 2);
  await mover.move(second, wireRecord());
  assert.equal(cluster.batches.length, 1, 'nothing is left to publish');
  // The topic was made anew: another message has the place of that one.
  await mover.move(second, wireRecord({ timestampMs: 600 }));
  assert.equal(cluster.records.length, 3);
});

test('what a failed publish may have written is looked for, what was not sent is not', async () => {
  const cluster = new DeadClusterDouble();
  cluster.existing = 2;
  const mover = moverOf(cluster);
  const failure = failureOf({ ownedSinceMs: 100 });
  const move = () => mover.move(failure, wireRecord());
  for (const code of ['RETRY_LATER', 'STORE_FAILED']) {
    cluster.answer = () => ({ code, message: 'no', retriable: true });
    await assert.rejects(move, { code });
  }
  const own = deadIdOf({ ...failure, timestampMs: 500, id: undefined });
  cluster.there.add(formatMessageId(own));
  await move();
  assert.equal(cluster.batches.length, 2, 'it lay there');
  const times = cluster.looks.map((look) => look.split('@')[1]);
  assert.deepEqual(times, ['100', '100', 'Infinity']);
});
