import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutboxBench } from './outbox-bench.ts';
import { settle } from './support.ts';

test('all that is undeliverable is sent again in one walk over the log, whatever its topics', async () => {
  const topics = [1, 2, 3, 4];
  const bench = new OutboxBench(topics);
  bench.produce([...topics, ...topics]);
  for (const topic of topics) bench.producer.judge(topic, 2, 29);
  await settle();
  assert.equal(bench.aside.messages('undeliverable'), 8);
  bench.aside.walks = 0;
  bench.retry('undeliverable');
  assert.deepEqual(await Promise.all(bench.beside), [{ count: 8 }]);
  assert.equal(bench.aside.walks, 1);
  await bench.drain();
  for (const topic of topics) assert.deepEqual(bench.log.topics.get(topic), [topic, topic + 4]);
  await bench.end();
});
