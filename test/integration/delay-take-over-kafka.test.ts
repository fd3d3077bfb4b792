import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inSteps } from '../../src/base/in-steps.ts';
import { connectDelay } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const count = countOf('MQP_DELAY_TAKE_OVER', isLong ? 20_000 : 200);
/** They come due over so many ms, the first when all are cancelled that are to be. */
const spanMs = 20_000;
const aheadMs = isLong ? 180_000 : 15_000;
/** Calls under way at a time. */
const AT_ONCE = 200;
/** A killed member is missed after its session. */
const missed = { timeoutMs: 90_000, everyMs: 500 };

test('a node with an empty disk takes over what a killed one had, cancels included', {
  skip: skipWithoutKafka(),
}, async () => {
  // A broker of its own: all nodes of one share the partitions of its delay log.
  const broker = await startKafka({ heapMaxMib: 320 });
  const brokers = { backend: 'kafka', kafkaBrokers: broker.address } as const;
  const first = await startServer(brokers);
  const client = await connectDelay(first, missed);
  const topic = uniqueTopic('take-over');
  await client.createTopic(topic, {
    partitions: 1,
    config: { 'message.timestamp.type': 'LogAppendTime' },
  });
  const startMs = Date.now();
  const dues = Array.from({ length: count }, (_, i) =>
    Math.floor(startMs + aheadMs + (i * spanMs) / count),
  );
  const sent = await inSteps(dues, AT_ONCE, (dueAtMs, i) =>
    client.produce(topic, { value: `${i} ${dueAtMs}`, dueAtMs }, { ack: 'replicated' }),
  );
  const cancelled = sent.filter((_, i) => i % 4 === 0);
  const outcomes = await inSteps(cancelled, AT_ONCE, ({ delayId = '' }) =>
    client.delayed.cancel({ id: delayId }),
  );
  assert.deepEqual([...new Set(outcomes)], ['cancelled']);
  await client.close();
  await first.kill('SIGKILL');

  const reader = await connectDelay(await startServer(brokers), missed);
  const seen = new Map<string, number>();
  for await (const { value, timestampMs } of reader.tail(topic, { from: 'beginning' })) {
    const [name = '', due] = Buffer.from(value ?? '')
      .toString()
      .split(' ');
    assert(timestampMs >= Number(due), `${name} is early`);
    seen.set(name, (seen.get(name) ?? 0) + 1);
    if (seen.size === count - cancelled.length) break;
  }
  for (let i = 0; i < count; i++) {
    const times = seen.get(`${i}`);
    assert.equal(times, i % 4 === 0 ? undefined : 1, `${i} came ${times} times`);
  }
  const isEmpty = async () => (await reader.delayed.list({ topic })).delays.length === 0;
  await until(isEmpty, { ...missed, what: 'nothing waits any more' });
  await reader.close();
});
