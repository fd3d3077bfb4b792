import assert from 'node:assert/strict';
import { test } from 'node:test';
import { freePort, sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { readTopic } from '../support/kafka-read.ts';
import { laneStates, untilDrained } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const at = (brokers: string) => ({ MQPROXY_KAFKA_BROKERS: brokers });

// A node that came back after a crash took a stored message that Kafka had never seen for a
// confirmed one, and answered its resend with `replicated`.
test('a resend after a crash is `replicated` only once Kafka has the message', {
  skip: skipWithoutKafka(),
}, async () => {
  const brokers = await sharedKafka();
  const topic = uniqueTopic('after-crash');
  const server = await startServer({ backend: 'kafka', env: at(brokers) });
  const first = await RawClient.connect(server.mqp, { producerId: 7n });
  await first.open(topic);
  first.cut();
  await server.kill('SIGTERM');

  const nobody = at(`127.0.0.1:${await freePort()}`);
  await server.restart({ env: nobody });
  const stored = await RawClient.connect(server.mqp, { producerId: 7n });
  const { topicId } = await stored.open(topic);
  const message = { topic: topicId, first: 1, values: ['once'], replicated: true };
  stored.send(message);
  await until(async () => (await laneStates(server))[0]?.outboxMessages === 1, {
    what: 'the message to be stored',
  });
  await server.kill('SIGKILL');

  await server.restart({ env: nobody });
  const resent = await RawClient.connect(server.mqp, { producerId: 7n });
  assert.equal((await resent.open(topic)).topicId, topicId);
  const [refused] = await resent.produce(message);
  assert.equal(refused?.name, 'RETRY_LATER');
  await server.kill('SIGKILL');

  await server.restart({ env: at(brokers) });
  await untilDrained(server);
  const back = await RawClient.connect(server.mqp, { producerId: 7n });
  await back.open(topic);
  const [known] = await back.produce(message);
  assert.equal(known?.name, 'OK');
  const values = (await readTopic(brokers, topic)).map(({ value }) => value?.toString());
  assert.deepEqual(values, ['once']);
});
