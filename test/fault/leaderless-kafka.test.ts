import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { Cores } from '../support/cores.ts';
import { checkDelivery, holdNoted, readKafka } from '../support/delivered.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { createOn, createSpread } from '../support/kafka-topics.ts';
import { metric, untilDrained } from '../support/node-state.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { addressOf } from '../support/two-clusters.ts';
import { until } from '../support/wait.ts';
import { impatientBuild } from './impatient-build.ts';
import { diskOf, holdDisk, holdOthers, latencies } from './latencies.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const leaderlessMs = countOf('MQP_LEADERLESS_MS', isLong ? 600_000 : 5_000);
const stuck = 'stuck';
const others = Array.from({ length: 7 }, (_, i) => `well-${i}`);

test('on a real cluster a topic of which one partition has no broker is parked, the rest flows on, it follows', {
  skip: skipWithoutKafka(),
}, async () => {
  const first = await startKafka({ heapMaxMib: 320 });
  const lone = await startKafka({ heapMaxMib: 320, joins: first });
  await createOn(first.address, [1], others);
  await createSpread(first.address, [1, 2, 1], stuck);
  const kafka = { backend: 'kafka', kafkaBrokers: first.address, args: ['--lanes', '1'] } as const;
  const server = await startServer({ ...kafka, entry: impatientBuild() });
  const client = await connect(server, { timeoutMs: 60_000 });
  // The others too: a topic is parked while the rest of its cluster is confirmed.
  const work = { topics: [stuck, ...others], clients: 1, window: 16, ratePerSecond: 400 };
  const crew = await ProducerCrew.start({ server: addressOf(server), ...work });
  const parked = () => metric(server, 'mqproxy_parked_messages');
  const parks = (count: number) =>
    until(async () => (await parked()) >= count, { what: `${count} parked messages` });

  const cores = new Cores();
  const quiet = await latencies(client, others, Math.min(leaderlessMs / 2, 30_000));
  const diskBefore = diskOf(server);
  await lone.kill();
  await parks(1);
  const during = await latencies(client, others, leaderlessMs);
  holdOthers(cores, quiet, during);
  // What comes to it now passes the outbox, which stays as small as it is.
  const bytes = () => metric(server, 'mqproxy_outbox_bytes');
  const bytesBefore = await bytes();
  await parks((await parked()) + 150);
  // Batches that wait for those of the one topic would hold 70 KB more each second.
  await until(async () => (await bytes()) < 65_536, { what: 'an outbox that stays small' });
  console.log(`outboxBytes=${bytesBefore},${await bytes()}`);
  const waiting = await metric(server, 'mqproxy_outbox_messages');
  assert(waiting < 150, `${waiting} messages wait in the outbox`);

  await holdDisk(server, diskBefore);
  await lone.start();
  await until(async () => (await parked()) === 0, { what: 'none parked' });
  await client.close();
  await crew.stop();
  assert.deepEqual(crew.failed, []);
  await untilDrained(server);
  const found = await readKafka(first.address, work.topics);
  const ofCrew = found.filter(({ value }) => value !== 'v');
  holdNoted(server, checkDelivery(crew.answered, ofCrew));
});
