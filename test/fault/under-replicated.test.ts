import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkDelivery, holdNoted, readKafka } from '../support/delivered.ts';
import { sharedKafka, skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { createOn, setTopics } from '../support/kafka-topics.ts';
import { untilDrained } from '../support/node-state.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import {
  addressOf,
  checkBoth,
  clusterState,
  runTrials,
  sendOne,
  startBetween,
  untilCluster,
} from '../support/two-clusters.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const skip = skipWithoutKafka();
const heap = { heapMaxMib: 320 };
const first = skip === false ? await startKafka(heap) : undefined;
const second = first === undefined ? undefined : await startKafka({ ...heap, joins: first });
const twoInSync = { 'min.insync.replicas': '2' };

// Kafka asks for no more replicas in sync than a topic has: a topic that is to lack one has two.
test('a primary whose topics want more replicas in sync is left within seconds, and used again', {
  skip,
}, async (t) => {
  assert(first !== undefined && second !== undefined);
  const primary = first.address;
  const topics = [1, 2, 3].map(() => uniqueTopic('replicas'));
  await createOn(primary, [1, 2], topics);
  await second.stop();
  t.after(() => second.start());
  await runTrials({
    primary,
    backup: await sharedKafka(),
    label: 'min.insync.replicas',
    trials: countOf('MQP_FAILOVER_TRIALS', isLong ? 20 : 2),
    ratePerSecond: 400,
    topics,
    fault: () => setTopics(primary, topics, twoInSync),
    heal: () => setTopics(primary, topics, {}),
  });
});

test('with too few replicas in sync a topic waits, or goes to the backup, and comes back by itself', {
  skip,
}, async () => {
  assert(first !== undefined && second !== undefined);
  // With one of two topics stuck the cluster itself would count as out of order.
  const [alone, between] = ['alone', 'between'].map((who) => ({
    sick: uniqueTopic(`${who}-sick`),
    well: uniqueTopic(`${who}-well`),
    fit: uniqueTopic(`${who}-fit`),
  })) as [Topics, Topics];
  const primary = first.address;
  const backup = await sharedKafka();
  await createOn(primary, [1, 2], [alone.sick, between.sick], twoInSync);
  await createOn(primary, [1], [alone.well, alone.fit, between.well, between.fit]);
  await createOn(backup, [1], Object.values(between));
  const single = await startServer({ backend: 'kafka', kafkaBrokers: primary });
  const double = await startBetween({ primary, backup });
  const crewOf = (server: typeof single, topics: Topics) => {
    const own = Object.values(topics);
    const work = { topics: own, clients: 1, window: 9, ratePerSecond: 100 };
    return ProducerCrew.start({ server: addressOf(server), ...work });
  };
  const [waiting, switching] = await Promise.all([crewOf(single, alone), crewOf(double, between)]);
  for (const topic of Object.values(alone)) await sendOne(single, topic);
  for (const topic of Object.values(between)) {
    assert.equal((await sendOne(double, topic)).cluster, 'primary');
  }

  // An orderly stop: the replicas leave at once, and not when the broker is missed.
  await second.stop();
  await untilCluster(double, 'a topic to go to the backup', ({ elsewhere, switches }) => {
    assert.equal(switches, 0, 'the cluster works, save for one topic');
    return elsewhere.length > 0;
  });
  const { inUse, elsewhere } = await clusterState(double);
  const expected = [{ topic: between.sick, cluster: 'backup' }];
  assert.deepEqual([inUse, elsewhere], ['primary', expected]);
  assert.equal((await sendOne(double, between.sick)).cluster, 'backup');
  assert.equal((await sendOne(double, between.well)).cluster, 'primary');
  let isAnswered = false;
  const held = sendOne(single, alone.sick).then(() => {
    isAnswered = true;
  });
  const stored = waiting.answered.length;
  await until(() => waiting.answered.length > stored + 50, { what: 'messages to be stored' });
  await sendOne(single, alone.well);
  assert.equal(isAnswered, false, '`replicated` waits for its replicas');

  await second.start();
  await held;
  await untilCluster(double, 'the topic to be back', ({ elsewhere }) => elsewhere.length === 0);
  assert.equal((await sendOne(double, between.sick)).cluster, 'primary');
  await Promise.all([waiting.stop(), switching.stop()]);
  await checkBoth(switching, double, { primary, backup }, Object.values(between));
  await untilDrained(single);
  assert.deepEqual(waiting.failed, []);
  const found = await readKafka(primary, Object.values(alone));
  holdNoted(single, checkDelivery(waiting.answered, found));
});

type Topics = Readonly<Record<'sick' | 'well' | 'fit', string>>;
