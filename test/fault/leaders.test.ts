import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { checkDelivery } from '../support/delivered.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { MockKafka, skipWithoutMock } from '../support/mock-kafka.ts';
import { untilDrained } from '../support/node-state.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const elections = countOf('MQP_ELECTIONS', isLong ? 100 : 4);
const skip = skipWithoutKafka() || skipWithoutMock();
const PARTITIONS = 4;

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
  const work = { clients: 2, window: 8, ratePerSecond: 400 };
  const crew = await ProducerCrew.start({ server: address, topics: [topic], ...work });
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
  await crew.stop();
  assert.deepEqual(crew.failed, []);
  await untilDrained(server, 120_000);
  const found = await mock.read(topic, PARTITIONS);
  // The mock does not count a producer's messages: what librdkafka sends again it has twice.
  const duplicates = checkDelivery(crew.answered, found);
  const counts = `answered=${crew.answered.length} lost=0 duplicates=${duplicates.size}`;
  console.log(`elections=${elections} ${counts}`);
});
