import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDelivery, holdNoted, readKafka } from '../support/delivered.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { laneStates, metric, untilDrained } from '../support/node-state.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';
import { impatientBuild, sumOf } from './impatient-build.ts';

const skip = skipWithoutKafka();

test('a stuck topic is parked, over a kill too, and follows in order', { skip }, async () => {
  const brokers = await sharedKafka();
  const args = ['--lanes', '1'];
  const entry = impatientBuild();
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers, args, entry });
  const topics = [uniqueTopic('stuck'), uniqueTopic('well')] as const;
  const address = `${server.mqp.host}:${server.mqp.port}`;
  const options = { server: address, topics, clients: 2, window: 8, ratePerSecond: 400 };
  const crew = await ProducerCrew.start(options);
  await until(() => crew.answered.length > 100, { what: 'answers' });
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [topics[0]] });
  await untilParked(server, 1);
  // What was on its way to the old topic is gone with it; what comes from here on is not.
  const from = crew.answered.length;
  await untilParked(server, 300);
  await until(async () => (await sumOf(server, 'outboxMessages')) < 200, {
    what: 'an outbox without the stuck ones',
  });
  const ready = await fetch(`http://${server.admin.host}:${server.admin.port}/readyz`);
  assert.equal(ready.status, 200);
  assert.match(await ready.text(), /lane 0 has parked messages of 1 topics/);
  assert.equal(await metric(server, 'mqproxy_parked_topics'), 1);
  await commandsShow(address, topics[0], await sumOf(server, 'parkedMessages'));
  const before = await sumOf(server, 'parkedMessages');
  await server.kill('SIGKILL');
  await server.restart();
  await untilParked(server, before);
  await admin.createTopics({ topics: [{ topic: topics[0], numPartitions: 4 }] });
  await admin.disconnect();
  await untilUnparked(server);
  assert((await metric(server, 'mqproxy_messages_unparked_total')) >= before);
  await crew.stop();
  assert.deepEqual(crew.failed, []);
  await untilDrained(server, 120_000);
  const found = await readKafka(brokers, topics);
  const duplicates = checkDelivery(crew.answered.slice(from), found);
  holdNoted(server, duplicates);
  console.log(`answered=${crew.answered.length} parked>=${before} duplicates=${duplicates.size}`);
});

test('a stuck topic that has its lane to itself is parked, since other lanes see that the cluster is well', {
  skip,
}, async () => {
  const brokers = await sharedKafka();
  const args = ['--lanes', '2'];
  const entry = impatientBuild();
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers, args, entry });
  const [stuck, well] = [uniqueTopic('stuck'), uniqueTopic('well')];
  const one = { server: `${server.mqp.host}:${server.mqp.port}`, clients: 1, window: 8 };
  // Producer 1 is bound to lane 1, and producer 2 to lane 0.
  const stuckCrew = await ProducerCrew.start({ ...one, topics: [stuck], ratePerSecond: 200 });
  const others = { ...one, topics: [well], firstProducer: 2, ratePerSecond: 200 };
  const wellCrew = await ProducerCrew.start(others);
  const crews = [stuckCrew, wellCrew];
  await until(() => crews.every(({ answered }) => answered.length > 50), { what: 'answers' });
  await untilDrained(server);
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [stuck] });
  await untilParked(server, 1);
  const from = stuckCrew.answered.length;
  await untilParked(server, 200);
  assert.deepEqual(
    (await laneStates(server)).map(({ parkedTopics }) => parkedTopics),
    [0, 1],
  );
  await until(async () => (await sumOf(server, 'outboxMessages')) < 100, {
    what: 'an outbox without the stuck ones',
  });
  await admin.createTopics({ topics: [{ topic: stuck, numPartitions: 4 }] });
  await admin.disconnect();
  await untilUnparked(server);
  for (const crew of crews) await crew.stop();
  assert.deepEqual(
    crews.flatMap(({ failed }) => failed),
    [],
  );
  await untilDrained(server, 120_000);
  checkDelivery(stuckCrew.answered.slice(from), await readKafka(brokers, [stuck]));
  checkDelivery(wellCrew.answered, await readKafka(brokers, [well]));
});

async function untilParked(server: TestServer, messages: number): Promise<void> {
  await until(async () => (await sumOf(server, 'parkedMessages')) >= messages, {
    timeoutMs: 60_000,
    what: `${messages} parked messages`,
  });
}

async function untilUnparked(server: TestServer): Promise<void> {
  await until(async () => (await sumOf(server, 'parkedMessages')) === 0, {
    timeoutMs: 120_000,
    what: 'the parked log to be empty',
  });
}

/** `mqproxy parked` shows and gives out what is parked, tries it again, and discards nothing. */
async function commandsShow(address: string, topic: string, atLeast: number): Promise<void> {
  const cli = (...words: string[]) => runCli(['parked', ...words, '--server', address]);
  const well = async (...words: string[]) => {
    const { code, stdout, stderr } = await cli(...words);
    assert.equal(code, 0, stderr);
    return stdout.trim().split('\n');
  };
  const listed = (await well('list', '--json')).map((line) => JSON.parse(line));
  assert.deepEqual(
    listed.map((one) => [one.topic, one.lane, one.messages >= atLeast, one.bytes > 0]),
    [[topic, 0, true, true]],
  );
  const shown = await well('show', '--topic', topic);
  assert.match(shown[1] ?? '', /^00000000000000\d\d-0-\d+ .* PARKED +its topic takes no messages$/);
  const exported = (await well('export', '--topic', topic)).map((line) => JSON.parse(line));
  assert(exported.length >= atLeast);
  assert(exported.every(({ state, value }) => state === 'parked' && /^p\d+-n\d+-/.test(value)));
  const [retried = ''] = await well('retry', '--topic', topic);
  assert(Number(/^([\d,]+) tried again$/.exec(retried)?.[1]?.replaceAll(',', '')) >= atLeast);
  const purge = await cli('purge', '--topic', topic);
  assert.equal(purge.code, 2);
  assert.match(purge.stderr, /parked takes one of list, show, export, retry/);
}
