import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectDelay } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

/** A killed member is missed after its session. */
const missed = { timeoutMs: 90_000 };

test('a node with an empty disk takes over a series, no number is lost, one made twice has one id', {
  skip: skipWithoutKafka(),
}, async () => {
  // A broker of its own: all nodes of one share the partitions of its delay log.
  const broker = await startKafka({ heapMaxMib: 320 });
  const brokers = { backend: 'kafka', kafkaBrokers: broker.address } as const;
  const first = await startServer(brokers);
  let client = await connectDelay(first, missed);
  const topic = uniqueTopic('series');
  await client.createTopic(topic, {
    partitions: 1,
    config: { 'message.timestamp.type': 'LogAppendTime' },
  });
  const series = 'pings';
  const asked = { series, topic, value: 'ping', every: { intervalMs: 1_000 }, count: 8 };
  const { nextMs } = await client.delayed.series.schedule({ ...asked, missed: 'all' });
  assert.equal(await client.delayed.series.cancel(series, 7), 'cancelled');
  const fired = async () => (await client.delayed.series.list()).series[0]?.fired ?? 8;
  await until(async () => (await fired()) >= 2, { what: 'two firings' });
  await client.close();
  await first.kill('SIGKILL');

  client = await connectDelay(await startServer(brokers), missed);
  const isOver = async () => (await client.delayed.series.list()).series.length === 0;
  await until(isOver, { what: 'the series is over' });
  const ids = new Map<number, Set<string>>();
  for await (const record of client.tail(topic, { from: 'beginning' })) {
    const header = record.headers.find(([name]) => name === 'mq-series-number')?.[1];
    const number = Number(Buffer.from(header ?? '').toString());
    assert(record.timestampMs >= nextMs + (number - 1) * 1_000, `${number} is early`);
    ids.set(number, (ids.get(number) ?? new Set()).add(record.id ?? ''));
    if (number === 8) break;
  }
  assert.deepEqual([...ids.keys()], [1, 2, 3, 4, 5, 6, 8]);
  for (const [number, its] of ids) assert.equal(its.size, 1, `${number} has one id`);
  await client.close();
});
