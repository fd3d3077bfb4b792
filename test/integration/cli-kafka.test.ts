import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';

test('doctor and outbox speak of a Kafka that is there, and of one that went away', {
  skip: skipWithoutKafka(),
}, async () => {
  const kafka = await startKafka();
  const server = await startServer({ backend: 'kafka', kafkaBrokers: kafka.address });
  const at = ['--server', `${server.mqp.host}:${server.mqp.port}`];
  const data = ['--data-dir', server.dataDir];
  const brokers = ['--backend', 'kafka', '--kafka.brokers', kafka.address];
  const before = await runCli(['produce', 'orders', ...at, '--ack', 'replicated', '--json'], 'a\n');
  assert.equal(before.code, 0, before.stderr + before.stdout);
  assert.equal(JSON.parse(before.stdout).ack, 'replicated');
  const well = await runCli(['doctor', ...brokers, ...data, '--listen', '127.0.0.1:0', ...at]);
  assert.equal(well.code, 0, well.stdout);
  assert.match(well.stdout, /answers, Kafka 4\.1 or newer/);
  assert.match(well.stdout, /the cluster has one broker/);

  await kafka.kill();
  const input = Array.from({ length: 50 }, (_, i) => `m${i}\n`).join('');
  const sent = await runCli(['produce', 'orders', ...at, '--header', 'h=1', '--json'], input);
  assert.equal(sent.code, 0, sent.stderr + sent.stdout);
  const ids = sent.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).id as string);
  const ill = await runCli(['doctor', ...brokers, ...data, '--listen', '127.0.0.1:0', ...at]);
  assert.equal(ill.code, 1);
  assert.match(ill.stdout, /cannot be used: .*ECONNREFUSED/);
  await server.kill();

  const exported = async () => {
    const { code, stdout, stderr } = await runCli(['outbox', 'export', ...data]);
    assert.equal(code, 0, stderr);
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  };
  const waiting = await exported();
  assert.deepEqual(
    waiting.map(({ id }) => id),
    ids,
  );
  assert.deepEqual(
    waiting.map(({ value }) => value),
    input.trim().split('\n'),
  );
  assert.deepEqual(waiting[0]?.['headers'], { h: '1' });
  assert.equal(waiting[0]?.['state'], 'waiting');
  assert.match((await runCli(['outbox', 'verify', ...data])).stdout, /50 waiting/);

  const moved = await runCli(['outbox', 'relane', '3', ...data]);
  assert.equal(moved.code, 0, moved.stderr);
  assert.deepEqual(
    (await exported()).map(({ id }) => id),
    ids,
  );
  await kafka.start();
  await server.start(['--lanes', '3']);
  const tail = ['tail', 'orders', '--from', 'beginning', '--count', '51', '--json'];
  const records = await runCli([...tail, '--server', `${server.mqp.host}:${server.mqp.port}`]);
  const arrived = records.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line).id as string);
  assert.deepEqual(arrived.filter((id) => ids.includes(id)).sort(), [...ids].sort());
});
