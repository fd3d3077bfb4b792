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
const count = isLong ? 20_000 : 3_000;
/** In a topic of their own, due from when the cluster is back until the others have fired. */
const freshCount = isLong ? 1_000 : 300;
/** What is due while the others catch up waits no longer than this, in ms. */
const starvedMs = 2_000;
/** Sent while the cluster is away; they come due after it is back. */
const lateCount = 100;
const dayMs = 86_400_000;
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

interface Arrival {
  readonly dueMs: number;
  readonly atMs: number;
}

/** The longest that one came after it was due, and after a moment. */
function longest(arrivals: readonly Arrival[], afterMs: number): number {
  return Math.max(...arrivals.map(({ dueMs, atMs }) => atMs - Math.max(dueMs, afterMs)));
}

/** What came in a topic of one partition, by an independent client. */
async function arrivals(broker: KafkaBroker, topic: string) {
  const first = new Map<string, Arrival>();
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
    const fresh = uniqueTopic('fresh');
    const config = { 'message.timestamp.type': 'LogAppendTime' };
    for (const name of [topic, fresh]) await client.createTopic(name, { partitions: 1, config });
    // What is known only after it was due fires as it comes.
    const leadMs = 3 * (await rehearse(client, count + freshCount));
    const startMs = Date.now() + 1_000 + leadMs;
    const spanMs = outageMs + 2_000;
    const dues = Array.from(
      { length: count },
      (_, i) => startMs + Math.round((i * spanMs) / count),
    );
    const freshDues = Array.from(
      { length: freshCount },
      (_, i) => startMs + outageMs + Math.round((i * backWithinMs) / freshCount),
    );
    const freshSent = await schedule(client, fresh, freshDues);
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
      // Those of the rehearsal wait for next year.
      const { delays } = await client.delayed.list({ toMs: Date.now() + dayMs, limit: 1 });
      return delays.length === 0 && (await firedOf(client)) >= all.length + freshCount;
    };
    const patient = { everyMs: 100, what: 'all have fired' };
    const failure = await until(isOver, patient).catch((error: unknown) => error);

    const { first, twice, unordered } = await arrivals(broker, topic);
    const others = await arrivals(broker, fresh);
    const times = [...first.values()];
    const freshTimes = [...others.first.values()];
    const both = [...times, ...freshTimes];
    const early = both.filter(({ dueMs, atMs }) => atMs < dueMs).length;
    const lateMs = longest(both, backMs);
    // What was on its way when the cluster went may have been taken as soon as it was back.
    const isOverdue = ({ dueMs }: Arrival) => dueMs > startMs + outageMs / 2;
    const overdue = times.filter((one) => isOverdue(one) && one.dueMs < backMs);
    const againMs = Math.min(...overdue.map(({ atMs }) => atMs));
    const caughtUpMs = Math.max(...overdue.map(({ atMs }) => atMs)) - againMs;
    const waitedMs = longest(freshTimes, againMs);
    const areJudged = cores.wereThere(
      `fired=${first.size} twice=${twice} early=${early} unordered=${unordered} lateMs=${lateMs}` +
        ` overdue=${overdue.length} in ${caughtUpMs} ms, fresh waited ${waitedMs} ms`,
    );
    const lost = (wanted: readonly Sent[], { first: found }: Pick<typeof others, 'first'>) =>
      wanted.filter(({ id }) => !found.has(id));
    assert.deepEqual([lost(all, { first }), lost(freshSent, others)], [[], []], 'lost');
    assert.deepEqual([first.size, others.first.size], [all.length, freshCount], 'nothing else');
    assert.equal(failure, true);
    assert.equal(early, 0);
    assert.deepEqual([unordered, others.unordered], [0, 0]);
    if (areJudged) {
      assert(lateMs < backWithinMs, `one fired ${lateMs} ms after it was due and Kafka was back`);
      assert(waitedMs < starvedMs, `a fresh one waited ${waitedMs} ms behind what was overdue`);
    }
    await client.close();
  });
}
