import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { readTail } from '../support/delivered.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { untilDrained } from '../support/node-state.ts';
import { startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const login = 'org.apache.kafka.common.security.plain.PlainLoginModule required';

/** A broker that lets nobody in without a user and a password. */
const guarded = {
  'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:SASL_PLAINTEXT',
  'inter.broker.listener.name': 'PLAINTEXT',
  'sasl.mechanism.inter.broker.protocol': 'PLAIN',
  'sasl.enabled.mechanisms': 'PLAIN',
  'listener.name.plaintext.plain.sasl.jaas.config': `${login} username="broker" password="b" user_broker="b" user_node="the-password";`,
};

test('a node logs in to its cluster, and sends compressed batches that linger', {
  skip: skipWithoutKafka(),
}, async () => {
  const broker = await startKafka({ config: guarded, heapMaxMib: 320 });
  const sasl = ['--kafka.sasl.mechanism', 'PLAIN', '--kafka.sasl.username', 'node'];
  const batches = ['--kafka.options.linger.ms', '50ms', '--kafka.options.compression', 'gzip'];
  const args = ['--lanes', '1', ...sasl, ...batches];
  const kafka = { backend: 'kafka', kafkaBrokers: broker.address } as const;
  const password = (text: string) => ({ MQPROXY_KAFKA_SASL_PASSWORD: text });
  const server = await startServer({ ...kafka, args, env: password('the-password') });
  const address = `${server.mqp.host}:${server.mqp.port}`;
  const client = await MqpClient.connect({ servers: [address] });
  const values = Array.from({ length: 500 }, (_, i) => `${i} ${'x'.repeat(1_000)}`);
  const sent = values.map((value) => client.produce('guarded', { value }, { ack: 'replicated' }));
  await Promise.all(sent);
  await client.close();
  await untilDrained(server);
  const found = await readTail(address, ['guarded']);
  assert.deepEqual(found.map(({ value }) => value).sort(), values.toSorted());
  // Half a megabyte of nearly nothing.
  const bytes = broker.logBytes('guarded');
  assert(bytes > 0 && bytes < 250_000, `${bytes} bytes in the log: was it compressed?`);

  const stranger = await startServer({ ...kafka, args, env: password('wrong') });
  const { host, port } = stranger.admin;
  const ready = async () => (await fetch(`http://${host}:${port}/readyz`)).text();
  await until(async () => /"state":"degraded"/.test(await ready()), { what: 'it to be degraded' });
});
