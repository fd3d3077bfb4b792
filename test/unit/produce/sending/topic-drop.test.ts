import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutboxBench } from '../outbox-bench.ts';
import { settle } from '../support.ts';

test('what was delivered while it was given up is not counted', async () => {
  const bench = new OutboxBench([1]);
  bench.producer.unknown.add(1);
  bench.produce([1, 1, 1]);
  await settle();
  bench.disk.isSlow = true;
  const dropped = bench.forwarder.drop(1);
  await settle();
  bench.journal.confirmed(2, 1, 0, 0);
  bench.log.topics.set(1, [2]);
  bench.disk.quicken();
  assert.equal(await dropped, 2);
  await bench.end();
});

test('a topic is given up only as far as the undeliverable log has room', async () => {
  const bench = new OutboxBench([1]);
  bench.producer.unknown.add(1);
  for (let i = 0; i < 12; i++) bench.produce([1]);
  await settle();
  bench.marks.undeliverableBytes = 5;
  // A read of the outbox is three batches.
  assert.equal(await bench.forwarder.drop(1), 6);
  assert.equal(await bench.forwarder.drop(1), 0);
  await bench.drain();
  assert.deepEqual(bench.log.topics.get(1), [7, 8, 9, 10, 11, 12]);
  await bench.end();
});
