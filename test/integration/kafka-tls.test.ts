import assert from 'node:assert/strict';
import { copyFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { KAFKA_CODE, openKafkaTail } from '../../src/native/kafka.ts';
import { Authority } from '../support/certificates.ts';
import { connect } from '../support/connect.ts';
import { readTail } from '../support/delivered.ts';
import { type KafkaBroker, skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { untilDrained } from '../support/node-state.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { GIVE_UP_MS, until, within } from '../support/wait.ts';

const login = 'org.apache.kafka.common.security.plain.PlainLoginModule required';
const authority = new Authority();
const stranger = new Authority();
const own = authority.issue('node');

/** A broker that wants a certificate and a password, and is `127.0.0.1` by its own. */
function startGuarded(): Promise<KafkaBroker> {
  const config = {
    'listener.security.protocol.map': 'CONTROLLER:PLAINTEXT,PLAINTEXT:SASL_SSL',
    'inter.broker.listener.name': 'PLAINTEXT',
    'sasl.mechanism.inter.broker.protocol': 'PLAIN',
    'sasl.enabled.mechanisms': 'PLAIN',
    'listener.name.plaintext.plain.sasl.jaas.config': `${login} username="broker" password="b" user_broker="b" user_node="the-password";`,
    'listener.name.plaintext.ssl.client.auth': 'required',
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': authority.issue('broker', 'IP:127.0.0.1').both,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': authority.cert,
  };
  return startKafka({ config, heapMaxMib: 320 });
}

/** What a node is told, to trust this authority and to show who it is. */
function trusting(ca: string): string[] {
  const sasl = ['--kafka.sasl.mechanism', 'PLAIN', '--kafka.sasl.username', 'node'];
  const certificate = ['--kafka.tls.cert', own.cert, '--kafka.tls.key', own.key];
  const tls = ['--kafka.tls.enabled', 'true', '--kafka.tls.ca', ca, ...certificate];
  return [...sasl, '--kafka.sasl.password', 'the-password', ...tls];
}

const addressOf = ({ mqp }: TestServer): string => `${mqp.host}:${mqp.port}`;

async function readiness({ admin }: TestServer): Promise<string> {
  return (await fetch(`http://${admin.host}:${admin.port}/readyz`)).text();
}

test('over TLS with a certificate and a password of its own a node sends, reads and consumes', {
  skip: skipWithoutKafka(),
}, async (t) => {
  const broker = await startGuarded();
  const args = ['--lanes', '1', ...trusting(authority.cert)];
  const server = await startServer({ backend: 'kafka', kafkaBrokers: broker.address, args });
  const at = ['--server', addressOf(server)];
  const doctor = (brokers: string, ca: string) => {
    const cluster = ['--backend', 'kafka', '--kafka.brokers', brokers, ...trusting(ca)];
    const ports = ['--listen', '127.0.0.1:0', '--admin.listen', '127.0.0.1:0'];
    return runCli(['doctor', ...cluster, ...ports, '--data-dir', server.dataDir, ...at]);
  };

  await t.test('messages go there and come back', async () => {
    const values = Array.from({ length: 200 }, (_, i) => `${i}`);
    const client = await connect(server);
    await Promise.all(
      values.map((value) => client.produce('tls', { value }, { ack: 'replicated' })),
    );
    await client.close();
    await untilDrained(server);
    const found = await readTail(addressOf(server), ['tls']);
    assert.deepEqual(found.map(({ value }) => value).sort(), values.toSorted());
    const consume = ['consume', 'tls', '--group', 'readers', '--count', '200', ...at];
    const { code, stdout, stderr } = await runCli(consume);
    assert.equal(code, 0, stderr);
    assert.deepEqual(stdout.trim().split('\n').sort(), values.toSorted());
  });

  await t.test(
    'why no consumer can be made is said, and is no matter of too many reads',
    async () => {
      const ca = join(tempDir(), 'ca.pem');
      copyFileSync(authority.cert, ca);
      const tail = openKafkaTail({
        config: {
          'bootstrap.servers': broker.address,
          'security.protocol': 'sasl_ssl',
          'sasl.mechanism': 'PLAIN',
          'sasl.username': 'node',
          'sasl.password': 'the-password',
          'ssl.ca.location': ca,
          'ssl.certificate.location': own.cert,
          'ssl.key.location': own.key,
        },
      });
      rmSync(ca);
      const at = { topic: 'tls', partition: 0, from: 1, position: 0, bytesMax: 1, waitMs: 1_000 };
      const read = within(tail.read(at), GIVE_UP_MS, 'an answer');
      await assert.rejects(read, (error: Error & { kafkaCode?: number }) => {
        assert.match(error.message, /ssl\.ca\.location/);
        assert.notEqual(error.kafkaCode, KAFKA_CODE._QUEUE_FULL);
        return true;
      });
      await tail.close();
    },
  );

  await t.test('doctor finds it well, and says nothing beside', async () => {
    const { code, stdout, stderr } = await doctor(broker.address, authority.cert);
    assert.deepEqual([code, stderr], [0, ''], stdout);
    assert.match(stdout, /answers, Kafka 4\.1 or newer/);
  });

  await t.test(
    'a wrong authority and a wrong name are told by doctor, /readyz and to clients',
    async () => {
      const byName = `localhost:${broker.port}`;
      await Promise.all([
        isTold(broker.address, stranger.cert, /by kafka\.tls\.ca/),
        isTold(byName, authority.cert, /as its certificate does/),
      ]);
    },
  );

  async function isTold(brokers: string, ca: string, advice: RegExp): Promise<void> {
    const told = await doctor(brokers, ca);
    assert.equal(told.code, 1);
    assert.match(told.stdout, advice);
    const args = ['--lanes', '1', ...trusting(ca)];
    const distrustful = await startServer({ backend: 'kafka', kafkaBrokers: brokers, args });
    const words = /"state":"degraded".*certificate verify failed/;
    await until(async () => words.test(await readiness(distrustful)), { what: 'the reason' });
    const produce = ['produce', 'tls', '--timeout', '5s', '--server', addressOf(distrustful)];
    const { code, stderr } = await runCli(produce, 'x\n');
    assert.equal(code, 1);
    assert.match(stderr, /TOPIC_UNCONFIRMED: .*certificate verify failed/);
    await distrustful.kill();
  }
});
