import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutKafka } from './kafka.ts';
import { kafkaClient, readTopic } from './kafka-read.ts';
import { startProxiedKafka } from './proxied-kafka.ts';
import { uniqueTopic } from './topics.ts';

test('every connection to a proxied broker goes through the proxy', {
  skip: skipWithoutKafka(),
}, async () => {
  const { broker, proxy, address } = await startProxiedKafka({ heapMaxMib: 320 });
  const topic = uniqueTopic('proxied');
  // The bootstrap goes around the proxy, what the broker advertises does not.
  const producer = kafkaClient(broker.address).producer();
  await producer.connect();
  await producer.send({ topic, messages: [] }).catch(() => {});
  const admin = kafkaClient(broker.address).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  const value = 'v'.repeat(10_000);
  await producer.send({ topic, messages: [{ value }] });
  await producer.disconnect();
  await admin.disconnect();
  assert(proxy.bytesUp > value.length, `${proxy.bytesUp} bytes went by the proxy`);
  assert.equal((await readTopic(address, topic)).length, 1);
});
