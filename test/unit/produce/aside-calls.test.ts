import assert from 'node:assert/strict';
import { test } from 'node:test';
import { answerAside } from '../../../src/produce/aside-calls.ts';
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

test('a retry of what is undeliverable leaves other parked topics in their time', async () => {
  const bench = new OutboxBench([1, 2]);
  bench.produce([1, 2]);
  await bench.aside.put('parked', [{ sequence: 1, code: 'PARKED', reason: '' }]);
  bench.producer.judge(2, 1, 29);
  await settle();
  const tried: string[] = [];
  const retryParked = (topic: string): void => void tried.push(topic);
  const room = { aside: bench.aside, retryParked };
  await answerAside(room, { does: 'retry', log: 'undeliverable' });
  assert.deepEqual(tried, ['t2']);
  await answerAside(room, { does: 'retry', log: 'parked' });
  assert.deepEqual(tried, ['t2', 't1', 't2']);
});

test('what becomes undeliverable while all of that is sent again is taken up too', async () => {
  const bench = new OutboxBench([1, 2]);
  bench.produce([1, 2]);
  bench.producer.judge(1, 1, 29);
  await settle();
  bench.disk.isSlow = true;
  bench.retry('undeliverable');
  const late = { sequence: 2, code: 'PARKED', reason: '' };
  bench.aside.logs.undeliverable.set(2, bench.aside.entryOf(late));
  bench.store.confirmed.add(2);
  bench.producer.waiting = [];
  await bench.drain();
  assert.deepEqual([...bench.log.topics.keys()], [1, 2]);
  await Promise.all(bench.beside);
});
