import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Admin } from 'kafkajs';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connectDelay } from '../support/connect.ts';
import { Cores } from '../support/cores.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { createOn, setTopics } from '../support/kafka-topics.ts';
import { metric } from '../support/node-state.ts';
import { type ProxiedKafka, startProxiedKafka } from '../support/proxied-kafka.ts';
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
/** Below it nothing is said about twice as much, in ms: the broker's collector pauses so long. */
const floorMs = 100;

const appendTime = { 'message.timestamp.type': 'LogAppendTime' };

async function withAdmin(brokers: string, work: (admin: Admin) => Promise<unknown>): Promise<void> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  await work(admin).finally(() => admin.disconnect());
}

/** Messages of a topic of one partition: how late each was by the broker's clock, in its order. */
async function lateness(
  brokers: string,
  topic: string,
): Promise<{ id: string | undefined; due: number; lateMs: number }[]> {
  const records = await readTopic(brokers, topic, { timeoutMs: patienceMs });
  return records.map(({ value, timestampMs, mq }) => {
    const due = Number(value?.toString());
    return { id: mq?.id, due, lateMs: timestampMs - due };
  });
}

/** In the order of their due times, save that so many may have come before an earlier one. */
function holdOrder(dues: readonly number[], overtakingMax = 0): void {
  let latest = 0;
  for (const [i, due] of dues.entries()) {
    assert(due >= latest, `${i}: what is due ${due} came behind what is due ${latest}`);
    latest = Math.max(latest, dues[i - overtakingMax] ?? 0);
  }
}

const p99 = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length * 0.99)] ?? Number.NaN;

/** How a topic stops taking what comes, or takes little of it. */
interface Fault {
  readonly name: string;
  /** Whether its topic lies on a broker of its own. */
  readonly isAlone?: boolean;
  /** It takes all in the end: it is not told apart as one that does not. */
  readonly isSlow?: boolean;
  /** What is sent while it lasts may be taken in the end, and again. */
  readonly mayRepeat?: boolean;
  /** So many later ones may come before a message of which a call took only a part; default 0. */
  readonly overtakingMax?: number;
  begin(place: Place): void | Promise<void>;
  end(place: Place): void | Promise<void>;
}

interface Place {
  readonly brokers: string;
  readonly lone: ProxiedKafka | undefined;
  readonly topic: string;
  readonly client: MqpClient;
}

const gone: Fault = {
  name: 'gone',
  begin: ({ brokers, topic }) =>
    withAdmin(brokers, (admin) => admin.deleteTopics({ topics: [topic] })),
  end: async ({ client, topic }) =>
    void (await client.createTopic(topic, { partitions: 1, config: appendTime })),
};

const refusing: Fault = {
  name: 'refusing',
  // What may be on its way at a time.
  overtakingMax: 1_500,
  begin: (place) => limitMessages(place, '10'),
  end: (place) => limitMessages(place, '1048588'),
};

const frozen: Fault = {
  name: 'frozen',
  isAlone: true,
  mayRepeat: true,
  begin: ({ lone }) => lone?.broker.pause(),
  end: ({ lone }) => lone?.broker.resume(),
};

/** Its broker answers after 800 ms: what is due in two seconds takes a few times that. */
const slow: Fault = {
  name: 'slow',
  isAlone: true,
  isSlow: true,
  mayRepeat: true,
  begin: ({ lone }) => lone?.proxy.setFaults({ latencyMs: 400 }, { latencyMs: 400 }),
  end: ({ lone }) => lone?.proxy.setFaults({}, {}),
};

function limitMessages({ brokers, topic }: Place, bytes: string): Promise<void> {
  return setTopics(brokers, [topic], { ...appendTime, 'max.message.bytes': bytes });
}

for (const fault of isLong ? [gone, refusing, frozen, slow] : [gone])
  test(`delays for a topic that is ${fault.name} hold back no other, and follow once it takes them`, {
    skip: skipWithoutKafka(),
  }, async () => {
    const broker = await startKafka({ heapMaxMib: 320 });
    const brokers = broker.address;
    const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers });
    const client = await connectDelay(server);
    const [stuck, peace, well] = ['stuck', 'peace', 'well'].map(uniqueTopic) as [
      string,
      string,
      string,
    ];
    // It joins when the node's own topics are there: none of theirs is on it.
    const lone = fault.isAlone
      ? await startProxiedKafka({ heapMaxMib: 320, joins: broker })
      : undefined;
    await createOn(brokers, [1], [peace, well], appendTime);
    await createOn(brokers, [lone === undefined ? 1 : 2], [stuck], appendTime);
    const place = { brokers, lone, topic: stuck, client };
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
    await fault.begin(place);
    const during = p99(await untilFired(well));
    if (fault.isSlow === true) {
      assert((await client.delayed.stats()).pending > 0, 'all had fired: it was not slow');
    } else {
      const isStuck = async () => (await metric(server, 'mqproxy_delay_stuck_topics')) === 1;
      await until(isStuck, { timeoutMs: patienceMs, what: 'the topic to be told apart' });
    }
    const measured = `p99 of the others: before=${before} ms during=${during} ms`;
    if (cores.wereThere(`${fault.name}: ${measured} ratio=${(during / before).toFixed(2)}`))
      assert(during <= Math.max(2 * before, floorMs), `${before} to ${during} ms`);

    await fault.end(place);
    const isOver = async () => (await client.delayed.stats()).pending === 0;
    await until(isOver, { timeoutMs: patienceMs, everyMs: 200, what: 'the others to follow' });
    const followed = await lateness(brokers, stuck);
    assert.equal(new Set(followed.map(({ id }) => id)).size, stuckCount);
    if (fault.mayRepeat !== true) {
      const dues = followed.map(({ due }) => due);
      assert.equal(dues.length, stuckCount);
      holdOrder(dues, fault.overtakingMax);
    }
    await client.close();
  });
