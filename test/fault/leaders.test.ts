import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { connect } from '../support/connect.ts';
import { writeTopics } from '../support/data-dir.ts';
import { checkDelivery, resentIds } from '../support/delivered.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { MockKafka, skipWithoutMock } from '../support/mock-kafka.ts';
import { metric, untilDrained } from '../support/node-state.ts';
import { type Answered, crewValue, ProducerCrew } from '../support/producer-crew.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { runTrials } from '../support/two-clusters.ts';
import { passing, until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const elections = countOf('MQP_ELECTIONS', isLong ? 100 : 4);
const skip = skipWithoutKafka() || skipWithoutMock();
const PARTITIONS = 4;
/** Beside those of the crew, which count from 1. */
const PRODUCER = 99;
const ratePerSecond = 400;
/** What may be sent between a look at what is on its way and the broker's end, in ms. */
const UNSEEN_MS = 200;

test('leaders that go and are elected late cost no message', { skip }, async () => {
  console.log(`seed=${seed}`);
  const random = new Seeded(seed);
  const topic = uniqueTopic('leaders');
  const brokers = (address: string) => ({ env: { MQPROXY_KAFKA_BROKERS: address } });
  const server = await startServer({ backend: 'kafka', ...brokers(await sharedKafka()) });
  const address = `${server.mqp.host}:${server.mqp.port}`;
  // The mock answers nothing about settings: the node learns the topic from a real cluster.
  const client = await MqpClient.connect({ servers: [address] });
  await client.produce(topic, { value: 'known' }, { ack: 'replicated' });
  await client.close();
  const mock = await MockKafka.start(3);
  await mock.tell(`topic ${topic} ${PARTITIONS} 3`);
  await server.restart(brokers(mock.address));
  const work = { clients: 2, window: 8, ratePerSecond };
  const crew = await ProducerCrew.start({ server: address, topics: [topic], ...work });
  const replicated = await ReplicatedOnes.start(server, topic);
  let onTheirWay = 0;
  const more = (count: number) => {
    const goal = crew.answered.length + count;
    const what = `${count} more answers`;
    return until(() => crew.answered.length >= goal, { timeoutMs: 60_000, what });
  };
  await more(200);
  for (let election = 0; election < elections; election++) {
    // The leader of some partitions is gone, and for a while there is no other.
    const [gone, slow, third] = random.shuffle([1, 2, 3]) as [number, number, number];
    await mock.tell(`rtt ${slow} ${random.below(400)}`);
    // Whatever a broker takes along: it may have had it.
    onTheirWay += await metric(server, 'mqproxy_backend_in_flight_messages');
    onTheirWay += (ratePerSecond * UNSEEN_MS) / 1_000;
    await mock.tell(`down ${gone}`);
    await more(100);
    await passing(random.below(1_000));
    for (let partition = 0; partition < PARTITIONS; partition++) {
      await mock.tell(`leader ${topic} ${partition} ${random.pick([slow, third])}`);
    }
    await more(100);
    await mock.tell(`up ${gone}`);
    await mock.tell(`rtt ${slow} 0`);
    // And now and then a leader changes that is well.
    await mock.tell(`leader ${topic} ${random.below(PARTITIONS)} ${gone}`);
  }
  await Promise.all([crew.stop(), replicated.stop()]);
  assert.deepEqual(crew.failed, []);
  await untilDrained(server, 120_000);
  const found = await mock.read(topic, PARTITIONS);
  const answered = [...crew.answered, ...replicated.answered];
  const duplicates = checkDelivery(answered, found);
  // The mock does not count a producer's messages: what librdkafka sends again it has twice.
  const noted = resentIds(server.dataDir);
  const byLibrdkafka = [...duplicates].filter((id) => !noted.has(id)).length;
  console.log(
    `elections=${elections} answered=${answered.length} lost=0 duplicates=${duplicates.size} ` +
      `notNoted=${byLibrdkafka} inFlightAtDowns=${onTheirWay} longestMs=${replicated.longestMs}`,
  );
  assert(byLibrdkafka <= onTheirWay, `${byLibrdkafka} came twice, ${onTheirWay} were on their way`);
});

test('a primary that loses its leaders is left within seconds, and used again when others are elected', {
  skip,
}, async () => {
  const mock = await MockKafka.start(3);
  const topics = [1, 2, 3].map(() => uniqueTopic('leaderless'));
  let leader = 1;
  const elect = async (): Promise<void> => {
    for (const topic of topics) {
      for (let partition = 0; partition < PARTITIONS; partition++) {
        await mock.tell(`leader ${topic} ${partition} ${leader}`);
      }
    }
  };
  for (const topic of topics) await mock.tell(`topic ${topic} ${PARTITIONS} 3`);
  await elect();
  // The mock answers nothing about settings: the node must know its topics.
  const dataDir = tempDir('mqproxy-data-');
  writeTopics(dataDir, topics, PARTITIONS);
  await runTrials({
    primary: mock.address,
    readPrimary: async (names) => {
      const found = await Promise.all(names.map((name) => mock.read(name, PARTITIONS)));
      return found.flat();
    },
    backup: await sharedKafka(),
    label: 'leaders gone',
    trials: countOf('MQP_FAILOVER_TRIALS', isLong ? 20 : 1),
    ratePerSecond,
    topics,
    server: { dataDir },
    fault: () => mock.tell(`down ${leader}`),
    heal: async () => {
      const gone = leader;
      leader = (leader % 3) + 1;
      await elect();
      await mock.tell(`up ${gone}`);
    },
  });
});

/** Messages one after the other that the cluster has to take: how long the slowest took. */
class ReplicatedOnes {
  readonly answered: Answered[] = [];
  longestMs = 0;
  readonly #loop: Promise<void>;
  #isStopping = false;

  private constructor(client: MqpClient, topic: string) {
    this.#loop = this.#produce(client, topic);
    // Told to whoever stops it.
    this.#loop.catch(() => {});
  }

  static async start(server: TestServer, topic: string): Promise<ReplicatedOnes> {
    return new ReplicatedOnes(await connect(server, { timeoutMs: 120_000 }), topic);
  }

  async stop(): Promise<void> {
    this.#isStopping = true;
    await this.#loop;
  }

  async #produce(client: MqpClient, topic: string): Promise<void> {
    for (let n = 0; !this.#isStopping; n++) {
      const value = crewValue(PRODUCER, n);
      const began = performance.now();
      const { id } = await client.produce(topic, { value, key: `k${n}` }, { ack: 'replicated' });
      this.longestMs = Math.max(this.longestMs, Math.round(performance.now() - began));
      this.answered.push({ id, producer: PRODUCER, n, value });
    }
  }
}
