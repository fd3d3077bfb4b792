import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { Cores } from '../support/cores.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { metric } from '../support/node-state.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing } from '../support/wait.ts';
import { holdOthers, latencies } from './latencies.ts';

const skip = skipWithoutKafka();
test('one topic of eight is deleted: the others flow on', { skip }, async () => {
  const brokers = await sharedKafka();
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers });
  const topics = Array.from({ length: 8 }, () => uniqueTopic('eight'));
  const client = await connect(server, { timeoutMs: 60_000 });
  for (const topic of topics) await client.produce(topic, { value: 'first' });
  const [lost = '', ...others] = topics;
  const cores = new Cores();
  const quiet = await latencies(client, others, 3_000);
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [lost] });
  await admin.disconnect();
  const stuck = await connect(server, { timeoutMs: 60_000 });
  let stopped = false;
  const feeding = (async () => {
    for (let n = 0; !stopped; n++) {
      await stuck.produce(lost, { value: `stuck ${n}` }).catch(() => undefined);
      await passing(2);
    }
  })();
  const during = await latencies(client, others, 6_000);
  const deferred = await metric(server, 'mqproxy_deferred_topics');
  const waiting = await metric(server, 'mqproxy_outbox_messages');
  stopped = true;
  await client.close();
  await stuck.close({ timeoutMs: 500 }).catch(() => undefined);
  await feeding;
  console.log(`before=${JSON.stringify(quiet)} during=${JSON.stringify(during)}`);
  // Else the others would have been measured beside nothing.
  assert(deferred >= 1, 'the deleted topic was not behind while the others were measured');
  assert(waiting > 100, `only ${waiting} messages of it waited`);
  holdOthers(cores, quiet, during);
});
