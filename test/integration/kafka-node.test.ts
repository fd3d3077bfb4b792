import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDelivery, readKafka, resentIds } from '../support/delivered.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import { metric, untilDrained } from '../support/node-state.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { RawClient } from '../support/raw-client.ts';
import { runCli } from '../support/run-cli.ts';
import { serveRefusal, startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const skip = skipWithoutKafka();

test('SIGTERM under load leaves nothing to wait, and the next start sends nothing again', {
  skip,
}, async () => {
  const kafkaBrokers = await sharedKafka();
  const args = ['--lanes', '2'];
  const server = await startServer({ backend: 'kafka', kafkaBrokers, args });
  const topics = [uniqueTopic('term'), uniqueTopic('term')];
  const address = `${server.mqp.host}:${server.mqp.port}`;
  const crew = await ProducerCrew.start({ server: address, topics, clients: 4, window: 32 });
  await until(() => crew.answered.length > 2_000, { what: 'answers' });
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
  const verified = await runCli(['outbox', 'verify', '--data-dir', server.dataDir]);
  assert.match(verified.stdout, /^lane 0: whole; 0 waiting, .*\nlane 1: whole; 0 waiting, .*\n$/);
  const answered = crew.answered.length;
  await server.restart();
  await until(() => crew.answered.length > answered + 100, { what: 'more' });
  await crew.stop();
  assert.deepEqual(crew.failed, []);
  await untilDrained(server);
  assert.deepEqual([...resentIds(server.dataDir)], []);
  assert.equal(checkDelivery(crew.answered, await readKafka(kafkaBrokers, topics)).size, 0);
});

test('a data folder stays with Kafka, also when nothing waits in it any more', {
  skip,
}, async () => {
  const kafkaBrokers = await sharedKafka();
  const server = await startServer({ backend: 'kafka', kafkaBrokers, args: ['--lanes', '1'] });
  const hello = { producerId: 7n };
  const run = { first: 1, values: ['a'], partition: 0, replicated: true };
  const topic = uniqueTopic('stays');
  const client = await RawClient.connect(server.mqp, hello);
  const { topicId } = await client.open(topic);
  await client.produce({ ...run, topic: topicId });
  await untilDrained(server);
  assert.deepEqual(await server.kill('SIGTERM'), { code: 0, signal: null });
  const verified = await runCli(['outbox', 'verify', '--data-dir', server.dataDir]);
  assert.match(verified.stdout, /^lane 0: whole; 0 waiting, /);
  const { code, stderr } = await serveRefusal({ dataDir: server.dataDir, backend: 'embedded' });
  assert.equal(code, 1);
  assert.match(stderr, /belongs to the kafka backend.*\n.*--data-dir, or .*--backend kafka/);
  // What the embedded log would not have known: this message was answered before.
  await server.restart();
  const again = await RawClient.connect(server.mqp, hello);
  const opened = await again.open(topic);
  const [outcome] = await again.produce({ ...run, topic: opened.topicId });
  assert.equal(outcome?.name, 'OK');
  assert.equal((await readTopic(kafkaBrokers, topic)).length, 1);
});

test('a message above what its topic takes is refused before it is stored', { skip }, async () => {
  const kafkaBrokers = await sharedKafka();
  const topic = uniqueTopic('small');
  const admin = kafkaClient(kafkaBrokers).admin();
  await admin.connect();
  const configEntries = [{ name: 'max.message.bytes', value: '2000' }];
  await admin.createTopics({ topics: [{ topic, numPartitions: 1, configEntries }] });
  const server = await startServer({ backend: 'kafka', kafkaBrokers });
  const client = await RawClient.connect(server.mqp);
  const { topicId } = await client.open(topic);
  const large = { topic: topicId, first: 1, values: ['x'.repeat(5_000)] };
  for (const replicated of [false, true]) {
    const [outcome] = await client.produce({ ...large, replicated });
    assert.equal(outcome?.name, 'MESSAGE_TOO_LARGE');
  }
  assert.equal(await metric(server, 'mqproxy_messages_stored_total'), 0);
  assert.equal(await metric(server, 'mqproxy_outbox_messages'), 0);
  const offsets = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  assert.deepEqual(
    offsets.map(({ high }) => high),
    ['0'],
  );
});

test('without the id header records are bare, and resends are still known', { skip }, async () => {
  const kafkaBrokers = await sharedKafka();
  const topic = uniqueTopic('bare');
  const args = [`--topics.overrides.${topic}.id-header`, 'false', '--lanes', '1'];
  const server = await startServer({ backend: 'kafka', kafkaBrokers, args });
  const hello = { producerId: 9n };
  const run = { first: 1, values: ['a', 'b', 'c'], partition: 0, replicated: true };
  const first = await RawClient.connect(server.mqp, hello);
  const opened = await first.open(topic);
  await first.produce({ ...run, topic: opened.topicId });
  await server.kill('SIGKILL');
  await server.restart();
  const again = await RawClient.connect(server.mqp, hello);
  const { topicId } = await again.open(topic);
  // What was confirmed before is answered as known; not yet noted, it is to come again.
  await until(async () => {
    const outcomes = await again.produce({ ...run, topic: topicId });
    return outcomes.every(({ name }) => name === 'OK');
  });
  const records = await readTopic(kafkaBrokers, topic);
  const found = records.map(({ mq, headers }) => [mq, headers.length]);
  assert(found.every(([mq, headers]) => mq === undefined && headers === 0));
  // What the kill made it send again it has noted, by ids that the records do not carry.
  const noted = resentIds(server.dataDir).size;
  assert.equal(records.length, 3 + noted);
  const read = await again.tail(topicId, 0);
  assert.deepEqual(
    read.records.slice(0, 3).map(({ producerId, value }) => [producerId, `${value}`]),
    [
      [0n, 'a'],
      [0n, 'b'],
      [0n, 'c'],
    ],
  );
});
