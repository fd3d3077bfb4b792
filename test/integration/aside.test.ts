import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { readTopic } from '../support/kafka-read.ts';
import { createOn, limitMessages, setTopics } from '../support/kafka-topics.ts';
import { laneStates, metric, untilDrained } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

test('what was refused for good is shown, survives a kill, and is tried again', {
  skip: skipWithoutKafka(),
}, async () => {
  const brokers = await sharedKafka();
  const topic = uniqueTopic('refused');
  await createOn(brokers, [1], [topic]);
  const small = () => limitMessages(brokers, topic, 2_000);
  const args = ['--lanes', '1'];
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers, args });
  const client = await RawClient.connect(server.mqp, { producerId: 77n });
  const { topicId } = await client.open(topic);
  // The node asks for the limit now and then only, so it stores what Kafka does not take any more.
  await small();
  const large = 'x'.repeat(1_950);
  const run = { topic: topicId, first: 1, values: [large, 'small'], replicated: true };
  const outcomes = await client.produce(run, 60_000);
  assert.deepEqual(
    outcomes.map(({ code }) => code),
    [ErrorCode.MESSAGE_TOO_LARGE, ErrorCode.OK],
  );
  // A kill right behind the refusal: its tombstone was durable before the answer.
  await server.kill('SIGKILL');
  const inspected = await runCli(['outbox', 'inspect', '--data-dir', server.dataDir]);
  const row = new RegExp(`^000000000000004d-0-1 +${topic} +MESSAGE_TOO_LARGE `, 'm');
  assert.match(inspected.stdout, row);
  // The topic would take it now, if it were sent again.
  await setTopics(brokers, [topic], {});
  await server.restart();
  await untilDrained(server);
  const [lane] = await laneStates(server);
  assert.equal(lane?.undeliverableMessages, 1);
  const values = (await readTopic(brokers, topic)).map(({ value }) => value?.toString());
  assert.deepEqual(new Set(values), new Set(['small']), 'what was refused is never delivered');
  const address = ['--server', `${server.mqp.host}:${server.mqp.port}`];
  const cli = async (...words: string[]) => {
    const { stdout, stderr, code } = await runCli(['undeliverable', ...words, ...address]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  assert.match(await cli('list'), new RegExp(`${topic} +0 +1 `));
  assert.match(await cli('show'), /000000000000004d-0-1 .*MESSAGE_TOO_LARGE/);
  const exported = JSON.parse(await cli('export', '--topic', topic)) as { value: string };
  assert.equal(exported.value, large);
  // Sent again to a topic that takes no more than before it is refused again, and comes back.
  await small();
  assert.match(await cli('retry', '--topic', topic), /^1 tried again/);
  await until(
    async () => {
      const [now] = await laneStates(server);
      return now?.parkedMessages === 0 && now.undeliverableMessages === 1;
    },
    { timeoutMs: 60_000, what: 'it to be refused again' },
  );
  assert.match(await cli('purge', '--topic', topic), /^1 discarded/);
  assert.equal((await cli('list')).split('\n').filter((line) => line.includes(topic)).length, 0);
});

test('a full undeliverable log says so, drops nothing, and holds up no other topic', {
  skip: skipWithoutKafka(),
}, async () => {
  const brokers = await sharedKafka();
  const [refusing, well] = [uniqueTopic('refusing'), uniqueTopic('well')];
  await createOn(brokers, [1], [refusing]);
  const config = join(tempDir(), 'mqproxy.yaml');
  const quota = (bytes: string) =>
    writeFileSync(config, `outbox: { undeliverableBytesMax: ${bytes} }\n`);
  quota('5KiB');
  const args = ['--lanes', '1', '--config', config];
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers, args });
  const client = await RawClient.connect(server.mqp, { producerId: 78n });
  const { topicId } = await client.open(refusing);
  // Behind the node's back.
  await limitMessages(brokers, refusing, 2_000);
  const values = Array.from({ length: 8 }, (_, n) => `${n}`.repeat(1_950));
  // More than its quota; what is refused while these are written would pass it too.
  const fill = 3;
  const produce = async (from: number, to?: number) => {
    const run = { topic: topicId, first: from + 1, values: values.slice(from, to) };
    const outcomes = await client.produce(run);
    assert(outcomes.every(({ name }) => name === 'OK'));
  };
  await produce(0, fill);
  const fullIs = (wanted: number) =>
    until(async () => (await metric(server, 'mqproxy_aside_full')) === wanted, {
      timeoutMs: 60_000,
      what: `aside_full ${wanted}`,
    });
  await fullIs(1);
  const held = async () => {
    const [lane] = await laneStates(server);
    return [lane?.undeliverableMessages ?? 0, lane?.outboxMessages ?? 0] as const;
  };
  const heldIs = (undeliverable: number, waiting: number) =>
    until(async () => (await held()).join() === `${undeliverable},${waiting}`, {
      timeoutMs: 60_000,
      what: `${undeliverable} to be undeliverable and ${waiting} to wait`,
    });
  await heldIs(fill, 0);
  await produce(fill);
  const kept = [fill, values.length - fill] as const;
  await heldIs(...kept);
  const ready = await fetch(`http://${server.admin.host}:${server.admin.port}/readyz`);
  assert.match(await ready.text(), /the undeliverable log of lane 0 is full/);
  const { topicId: other } = await client.open(well);
  const run = { topic: other, first: 9, values: ['well'], replicated: true };
  assert.equal((await client.produce(run, 30_000))[0]?.name, 'OK');
  assert.deepEqual(await held(), kept, 'nothing was dropped meanwhile');
  quota('1MiB');
  server.signal('SIGHUP');
  await heldIs(values.length, 0);
  await fullIs(0);
});
