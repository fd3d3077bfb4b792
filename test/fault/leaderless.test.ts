import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cleanUp } from '../support/clean-up.ts';
import { connect } from '../support/connect.ts';
// tidy-allow sleep: a steady load is paced
import { Cores } from '../support/cores.ts';
import { writeTopics } from '../support/data-dir.ts';
import { MockKafka, skipWithoutMock } from '../support/mock-kafka.ts';
import { metric, untilDrained } from '../support/node-state.ts';
import { countOf } from '../support/seeded.ts';
import { spoiltBuild } from '../support/spoilt-build.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { passing, until } from '../support/wait.ts';
import { diskOf, holdDisk, holdOthers, latencies } from './latencies.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const leaderlessMs = countOf('MQP_LEADERLESS_MS', isLong ? 600_000 : 5_000);
const stuck = 'stuck';
const others = Array.from({ length: 7 }, (_, i) => `well-${i}`);
/** From message to message of the stuck topic: the mock cluster keeps 5 MiB of a partition. */
const paceMs = Math.max(4, leaderlessMs / 15_000);
/** The broker that leads the one topic alone, and is stopped. */
const lone = 3;

test('a topic whose only broker is gone is parked, the others flow on, it follows whole', {
  skip: skipWithoutMock(),
}, async () => {
  const mock = await MockKafka.start(lone);
  for (const topic of [stuck, ...others]) await mock.tell(`topic ${topic} 1 1`);
  for (const [i, topic] of others.entries()) await mock.tell(`leader ${topic} 0 ${1 + (i % 2)}`);
  await mock.tell(`leader ${stuck} 0 ${lone}`);
  const dataDir = tempDir('mqproxy-data-');
  // The mock answers nothing about settings: the node must know its topics.
  writeTopics(dataDir, [stuck, ...others], 1);
  const find = /topicStuckMs: 30_?000/;
  const entry = spoiltBuild({ file: 'src/base/limits.js', find, replace: 'topicStuckMs: 1500' });
  const kafka = { backend: 'kafka', kafkaBrokers: mock.address, args: ['--lanes', '1'] } as const;
  const server = await startServer({ ...kafka, dataDir, entry });
  const client = await connect(server, { timeoutMs: 60_000 });
  const feeder = await connect(server, { timeoutMs: 60_000 });
  await client.produce(stuck, { value: 'before' }, { ack: 'replicated' });
  const answered: string[] = [];
  let isOver = false;
  cleanUp(() => {
    isOver = true;
  });
  const feeding = (async () => {
    for (let n = 0; !isOver; n++) {
      await feeder.produce(stuck, { value: `stuck ${n}` });
      answered.push(`stuck ${n}`);
      await passing(paceMs);
    }
  })();
  const cores = new Cores();
  const quiet = await latencies(client, others, Math.min(leaderlessMs / 2, 30_000));
  const diskBefore = diskOf(server);
  await mock.tell(`down ${lone}`);
  await until(async () => (await metric(server, 'mqproxy_deferred_topics')) >= 1, {
    what: 'the topic to be behind',
  });
  const during = await latencies(client, others, leaderlessMs);
  holdOthers(cores, quiet, during);
  const parked = () => metric(server, 'mqproxy_parked_messages');
  await until(async () => (await parked()) > 0, { what: 'parked messages' });
  // From here on what comes to it passes the outbox: that stays as small as it is.
  const [had, fed] = [await parked(), answered.length];
  const bytes = () => metric(server, 'mqproxy_outbox_bytes');
  const bytesBefore = await bytes();
  await until(async () => answered.length > fed + 200, { what: 'two hundred more' });
  await until(async () => (await parked()) >= had + 150, { what: 'them to be parked too' });
  await until(async () => (await metric(server, 'mqproxy_outbox_messages')) < 150, {
    what: 'an outbox without the two hundred',
  });
  // Two hundred messages would be some 20 KB.
  await until(async () => (await bytes()) < bytesBefore + 4_096, { what: 'an outbox as small' });
  console.log(`outboxBytes=${bytesBefore},${await bytes()}`);
  await holdDisk(server, diskBefore);
  isOver = true;
  await feeding;

  await mock.tell(`up ${lone}`);
  await until(async () => (await parked()) === 0, { timeoutMs: 60_000, what: 'none parked' });
  await client.close();
  await feeder.close();
  await untilDrained(server);
  const found = (await mock.read(stuck, 1)).map(({ value }) => value);
  assert.deepEqual([...new Set(found)], ['before', ...answered]);
});
