import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connectDelay } from '../support/connect.ts';
import { type KafkaBroker, skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

// A group is forgotten after a minute at least, so that `npm test` has no time for it.
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const skip = skipWithoutKafka() || (isLong ? false : 'with MQPROXY_TEST_SCALE=long');
const COUNT = 400;
const DELAY_GROUP = '__mqproxy.delay';

interface Expected {
  readonly value: string;
  readonly dueMs: number;
}

/** Nobody of the group is known to Kafka any more. */
async function forgotten(broker: KafkaBroker): Promise<void> {
  const admin = kafkaClient(broker.address).admin();
  await admin.connect();
  const isGone = async () => {
    const { groups } = await admin.listGroups();
    return groups.every(({ groupId }) => groupId !== DELAY_GROUP);
  };
  await until(isGone, { timeoutMs: 180_000, everyMs: 1_000, what: 'the group to be forgotten' });
  await admin.disconnect();
}

async function schedule(client: MqpClient, topic: string, expected: readonly Expected[]) {
  const sent = expected.map(({ value, dueMs }) =>
    client.produce(topic, { value, dueAtMs: dueMs }, { ack: 'replicated' }),
  );
  return Promise.all(sent);
}

for (const index of ['kept', 'lost']) {
  test(`a node that was away until Kafka forgot its group fires everything once, its index ${index}`, {
    skip,
  }, async () => {
    const broker = await startKafka({
      heapMaxMib: 320,
      config: {
        'offsets.retention.minutes': '1',
        'offsets.retention.check.interval.ms': '1000',
      },
    });
    const server = await startServer({ backend: 'kafka', kafkaBrokers: broker.address });
    let client = await connectDelay(server);
    const topic = uniqueTopic('away');
    const config = { 'message.timestamp.type': 'LogAppendTime' };
    await client.createTopic(topic, { partitions: 1, config });
    const nowMs = Date.now();
    // A third comes due before the node goes, a third while it is away, the last when it is back.
    const spreadMs = [500, 30_000, 180_000];
    const expected = Array.from({ length: COUNT }, (_, i) => ({
      value: `${i}`,
      dueMs: nowMs + (spreadMs[i % 3] as number) + i,
    }));
    const sent = await schedule(client, topic, expected);
    const fired = async () => (await readTopic(broker.address, topic)).length;
    const first = Math.ceil(COUNT / 3);
    await until(async () => (await fired()) === first, { everyMs: 500, what: 'the first third' });
    const cancelled = new Set<number>();
    for (let i = 1; i < COUNT; i += 10) {
      const outcome = await client.delayed.cancel({ id: sent[i]?.delayId ?? '' });
      if (outcome === 'cancelled') cancelled.add(i);
    }
    const every = { intervalMs: 20_000 };
    const series = { series: 's', topic, value: 'series', every, missed: 'all' } as const;
    const { nextMs } = await client.delayed.series.schedule({ ...series, count: 9 });
    await client.close();
    await server.kill('SIGTERM');
    await forgotten(broker);
    if (index === 'lost') rmSync(join(server.dataDir, 'delay'), { recursive: true });

    await server.restart();
    client = await connectDelay(server);
    const all = COUNT - cancelled.size + 9;
    const patient = { timeoutMs: 240_000, everyMs: 1_000, what: 'all have fired' };
    await until(async () => (await fired()) >= all, patient).catch(() => undefined);
    const ids = new Map<string, Set<string>>();
    let twice = 0;
    for (const { value, mq, headers, timestampMs } of await readTopic(broker.address, topic)) {
      const number = headers.find(([name]) => name === 'mq-series-number')?.[1].toString();
      const name = number === undefined ? `${value}` : `series ${number}`;
      const dueMs =
        number === undefined
          ? expected[Number(name)]?.dueMs
          : nextMs + (Number(number) - 1) * every.intervalMs;
      assert(timestampMs >= (dueMs ?? Number.POSITIVE_INFINITY), `${name} is early`);
      assert(!cancelled.has(Number(name)), `${name} was cancelled`);
      if (ids.has(name)) twice++;
      ids.set(name, (ids.get(name) ?? new Set()).add(mq?.id ?? ''));
    }
    console.log(`fired=${ids.size} of ${all} twice=${twice} cancelled=${cancelled.size}`);
    assert.equal(ids.size, all);
    assert.equal(twice, 0, 'the node was stopped in order');
    for (const [name, its] of ids) assert.equal(its.size, 1, `${name} has one id`);
    await until(async () => (await client.delayed.list({ topic })).delays.length === 0);
    await client.close();
  });
}
