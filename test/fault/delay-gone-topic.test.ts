import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectDelay } from '../support/connect.ts';
import { Cores } from '../support/cores.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { metric } from '../support/node-state.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
/** Due over the span, in each of the topics that take what comes. */
const each = isLong ? 10_000 : 300;
/** Due over the same span, in the one that is gone: more than its queue holds. */
const stuckCount = isLong ? 100_000 : 15_000;
const spanMs = isLong ? 20_000 : 2_000;
const aheadMs = 3_000;
const patienceMs = 120_000;
/** Below it nothing is said about twice as much, in ms: the machine is shared with other tests. */
const floorMs = 500;

const appendTime = { 'message.timestamp.type': 'LogAppendTime' };

async function deleteTopic(brokers: string, topic: string): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [topic] });
  await admin.disconnect();
}

/** Messages of a topic of one partition: how late each was by the broker's clock, in its order. */
async function lateness(
  brokers: string,
  topic: string,
): Promise<{ due: number; lateMs: number }[]> {
  const records = await readTopic(brokers, topic, { timeoutMs: patienceMs });
  return records.map(({ value, timestampMs }) => {
    const due = Number(value?.toString());
    return { due, lateMs: timestampMs - due };
  });
}

const p99 = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? Number.NaN;

test('delays for a topic that is gone hold back no other, and follow in order once it is back', {
  skip: skipWithoutKafka(),
}, async () => {
  const broker = await startKafka({ heapMaxMib: 320 });
  const brokers = broker.address;
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers });
  const client = await connectDelay(server);
  const [stuck, peace, well] = ['gone', 'peace', 'well'].map(uniqueTopic) as [
    string,
    string,
    string,
  ];
  for (const name of [stuck, peace, well]) {
    await client.createTopic(name, { partitions: 1, config: appendTime });
  }
  const schedule = async (topic: string, count: number, startMs: number) => {
    const dues = Array.from(
      { length: count },
      (_, i) => startMs + Math.floor((i * spanMs) / count),
    );
    const messages = dues.map((dueAtMs) => ({ value: `${dueAtMs}`, dueAtMs }));
    for (let from = 0; from < count; from += 1_000) {
      await new Promise<void>((resolve, reject) => {
        const some = messages.slice(from, from + 1_000);
        client.produceBatch(topic, some, {}, (error) =>
          error === null ? resolve() : reject(error),
        );
      });
    }
  };
  const untilFired = async (topic: string): Promise<number[]> => {
    const isThere = async () => {
      const { partitions } = await client.describeTopic(topic);
      return partitions[0]?.endOffset === each;
    };
    await until(isThere, { timeoutMs: patienceMs, everyMs: 50, what: `all of ${topic}` });
    const found = await lateness(brokers, topic);
    assert(
      found.every(({ lateMs }) => lateMs >= 0),
      'never early',
    );
    return found.map(({ lateMs }) => lateMs);
  };

  const cores = new Cores();
  await schedule(peace, each, Date.now() + aheadMs);
  const before = p99(await untilFired(peace));
  const startMs = Date.now() + 10 * aheadMs;
  await schedule(stuck, stuckCount, startMs);
  await schedule(well, each, startMs);
  await deleteTopic(brokers, stuck);
  const during = p99(await untilFired(well));
  const isStuck = async () => (await metric(server, 'mqproxy_delay_stuck_topics')) === 1;
  await until(isStuck, { timeoutMs: patienceMs, what: 'the topic to be told apart' });
  if (cores.wereThere(`p99 of the others: before=${before} ms during=${during} ms`))
    assert(during <= Math.max(2 * before, floorMs), `${before} to ${during} ms`);

  await client.createTopic(stuck, { partitions: 1, config: appendTime });
  const isOver = async () => (await client.delayed.stats()).pending === 0;
  await until(isOver, { timeoutMs: patienceMs, everyMs: 200, what: 'the others to follow' });
  const followed = (await lateness(brokers, stuck)).map(({ due }) => due);
  assert.equal(followed.length, stuckCount);
  assert.deepEqual(
    followed,
    [...followed].sort((a, b) => a - b),
    'in the order of their due times',
  );
  await client.close();
});
