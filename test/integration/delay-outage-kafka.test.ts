import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connectDelay, delayNumbers, rehearse } from '../support/connect.ts';
import { Cores } from '../support/cores.ts';
import { type KafkaBroker, skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { readTopic } from '../support/kafka-read.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
/** Longer than the 6 s after which the node loses its partitions of the delay log. */
const outageMs = isLong ? 60_000 : 8_000;
/** The group's session of 6 s, and, after long, the 10 s after which librdkafka connects again. */
const backWithinMs = isLong ? 18_000 : 10_000;
const count = isLong ? 5_000 : 1_000;
/** Sent while the cluster is away; they come due after it is back. */
const lateCount = 100;
const skip = skipWithoutKafka();

interface Sent {
  readonly id: string;
  readonly dueAtMs: number;
}

async function schedule(client: MqpClient, topic: string, dues: readonly number[]) {
  const options = { ack: 'stored' } as const;
  return Promise.all(
    dues.map(async (dueAtMs): Promise<Sent> => {
      const { id } = await client.produce(topic, { value: `${dueAtMs}`, dueAtMs }, options);
      return { id, dueAtMs };
    }),
  );
}

/** What came in a topic of one partition, by an independent client. */
async function arrivals(broker: KafkaBroker, topic: string) {
  const first = new Map<string, { dueMs: number; atMs: number }>();
  let twice = 0;
  let unordered = 0;
  let latestMs = 0;
  for (const { mq, value, timestampMs } of await readTopic(broker.address, topic)) {
    const { id = '' } = mq ?? {};
    const dueMs = Number(value?.toString());
    if (first.has(id)) twice++;
    else {
      first.set(id, { dueMs, atMs: timestampMs });
      if (dueMs < latestMs) unordered++;
      latestMs = Math.max(latestMs, dueMs);
    }
  }
  return { first, twice, unordered };
}

async function firedOf(client: MqpClient): Promise<number> {
  return (await delayNumbers(client)).fired;
}

async function outage(broker: KafkaBroker, how: 'frozen' | 'stopped', during: () => Promise<void>) {
  if (how === 'frozen') broker.pause();
  else await broker.stop();
  await during();
  await passing(outageMs);
  if (how === 'frozen') broker.resume();
  else await broker.start();
  return Date.now();
}

for (const how of isLong ? (['frozen', 'stopped'] as const) : (['frozen'] as const)) {
  test(`delays that come due while Kafka is ${how} all fire, none early, in the order of their times`, {
    skip,
  }, async () => {
    // A broker of its own: it is taken away.
    const broker = await startKafka({ heapMaxMib: 320 });
    const server = await startServer({ backend: 'kafka', kafkaBrokers: broker.address });
    const client = await connectDelay(server);
    const topic = uniqueTopic('outage');
    const config = { 'message.timestamp.type': 'LogAppendTime' };
    await client.createTopic(topic, { partitions: 1, config });
    // What is known only after it was due fires as it comes.
    const leadMs = 3 * (await rehearse(client, count));
    const startMs = Date.now() + 1_000 + leadMs;
    const spanMs = outageMs + 2_000;
    const dues = Array.from(
      { length: count },
      (_, i) => startMs + Math.round((i * spanMs) / count),
    );
    const sent = await schedule(client, topic, dues);
    await until(async () => (await firedOf(client)) > 0, { what: 'the first fires' });

    const late: Sent[] = [];
    const cores = new Cores();
    const backMs = await outage(broker, how, async () => {
      const fromMs = Date.now() + outageMs + 3_000 + leadMs;
      const lateDues = Array.from({ length: lateCount }, (_, i) => fromMs + i);
      late.push(...(await schedule(client, topic, lateDues)));
    });
    const all = [...sent, ...late];
    const isOver = async () => {
      const { delays } = await client.delayed.list({ topic, limit: 1 });
      return delays.length === 0 && (await firedOf(client)) >= all.length;
    };
    const patient = { everyMs: 100, what: 'all have fired' };
    const failure = await until(isOver, patient).catch((error: unknown) => error);

    const { first, twice, unordered } = await arrivals(broker, topic);
    const times = [...first.values()];
    const early = times.filter(({ dueMs, atMs }) => atMs < dueMs).length;
    const lateMs = Math.max(...times.map(({ dueMs, atMs }) => atMs - Math.max(dueMs, backMs)));
    const areJudged = cores.wereThere(
      `fired=${first.size} twice=${twice} early=${early} unordered=${unordered} lateMs=${lateMs}`,
    );
    assert.deepEqual(
      all.filter(({ id }) => !first.has(id)),
      [],
      'lost',
    );
    assert.equal(failure, true);
    assert.equal(early, 0);
    assert.equal(unordered, 0);
    if (areJudged)
      assert(lateMs < backWithinMs, `one fired ${lateMs} ms after it was due and Kafka was back`);
    await client.close();
  });
}
