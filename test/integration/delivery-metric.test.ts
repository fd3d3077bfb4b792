import assert from 'node:assert/strict';
import { test } from 'node:test';
import { writeTopics } from '../support/data-dir.ts';
import { MockKafka, skipWithoutMock } from '../support/mock-kafka.ts';
import { metric, untilDrained } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';

const name = 'mqproxy_delivery_seconds';
const upTo = (bound: string) => `${name}_bucket{lane="0",le="${bound}"}`;

test('the time to the confirmation of Kafka is counted for each message, the wait included', {
  skip: skipWithoutMock(),
}, async () => {
  const mock = await MockKafka.start(1);
  await mock.tell('topic orders 4 1');
  const dataDir = tempDir('mqproxy-data-');
  // The mock answers nothing about settings: the node must know the topic.
  writeTopics(dataDir, ['orders']);
  const kafka = { backend: 'kafka', kafkaBrokers: mock.address, args: ['--lanes', '1'] } as const;
  const server = await startServer({ ...kafka, dataDir });
  const client = await RawClient.connect(server.mqp);
  const { topicId: topic } = await client.open('orders');
  const values = Array.from({ length: 40 }, (_, i) => `${i}`);
  await client.produce({ topic, first: 1, values, replicated: true });
  assert.equal(await metric(server, `${name}_count`), 40);
  const before = await metric(server, `${name}_sum`);
  assert(before > 0 && before < 40 * 10, `${before} s for forty messages at once`);

  await mock.tell('rtt 1 400');
  const soon = await metric(server, upTo('0.25'));
  for (let n = 0; n < 3; n++) {
    await client.produce({ topic, first: 41 + n, values: ['late'], replicated: true });
  }
  await untilDrained(server);
  assert.equal(await metric(server, `${name}_count`), 43);
  assert.equal(await metric(server, upTo('0.25')), soon, 'a late one was counted as a quick one');
  const took = (await metric(server, `${name}_sum`)) - before;
  assert(took >= 3 * 0.4 && took < 30, `${took} s for three messages of 0.4 s each`);
});
