import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import kafkajs from 'kafkajs';
import { LIST_DEAD, PURGE_DEAD, REDRIVE_DEAD } from '../../protocol/src/dead-letters.ts';
import { connect } from '../support/connect.ts';
import { metricsOf, produce, shortWaits, textOf } from '../support/dead-letters.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const skip = skipWithoutKafka();
const brokers = skip === false ? await sharedKafka() : '';
const timeoutMs = 60_000;

describe('dead letters on Kafka', { skip }, () => {
  test('poison is tried, moved, listed, put back once with new attempts, and purged', async () => {
    const args = [...shortWaits, '--retry.attempts', '3'];
    const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers, args });
    const client = await connect(server);
    const of = { topic: uniqueTopic('orders'), group: uniqueTopic('billing') };
    const good = Array.from({ length: 40 }, (_, i) => `m${i}`);
    const poison = Array.from({ length: 20 }, (_, i) => `poison${i}`);
    await produce(client, of.topic, [...good, ...poison]);
    const consumer = await client.subscribe({ group: of.group, topics: [of.topic] });
    const done: string[] = [];
    const attempts = new Map<string, number[]>();
    let isWell = false;
    void consumer.run((message) => {
      const text = textOf(message);
      attempts.set(text, [...(attempts.get(text) ?? []), message.attempt]);
      if (text.startsWith('poison') && !isWell) throw new TypeError(`no customer ${text}`);
      done.push(text);
    });
    const count = async (): Promise<number> =>
      (await client.ask(REDRIVE_DEAD, { ...of, dryRun: true })).matched;
    const dead = { timeoutMs, everyMs: 200, what: 'all poison is dead' };
    await until(async () => (await count()) === poison.length, dead);
    for (const text of poison) assert.deepEqual(attempts.get(text), [1, 2, 3]);
    const { messages } = await client.ask(LIST_DEAD, of);
    assert.equal(new Set(messages.map(({ fingerprint }) => fingerprint)).size, 1);

    // Kafka's own view of the topic: made with explicit settings.
    const admin = new kafkajs.Kafka({
      brokers: [brokers],
      logLevel: kafkajs.logLevel.NOTHING,
    }).admin();
    await admin.connect();
    const dlq = `${of.topic}.${of.group}.dlq`;
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: 2, name: dlq }],
    });
    const settings = new Map(
      resources[0]?.configEntries.map(({ configName, configValue }) => [configName, configValue]),
    );
    assert.equal(settings.get('retention.ms'), String(30 * 24 * 3_600_000));
    assert.equal(settings.get('cleanup.policy'), 'delete');

    isWell = true;
    const { job = '' } = await client.ask(REDRIVE_DEAD, of);
    const ended = async () => (await client.ask(REDRIVE_DEAD, { job })).state === 'done';
    await until(ended, { timeoutMs, what: 'the redrive' });
    await until(() => done.length >= good.length + poison.length, { timeoutMs, what: 'all done' });
    assert.deepEqual(done.sort(), [...good, ...poison].sort());
    for (const text of poison) assert.deepEqual(attempts.get(text), [1, 2, 3, 1]);
    assert.equal(await count(), 0);

    await client.ask(PURGE_DEAD, of);
    const offsets = await admin.fetchTopicOffsets(dlq);
    await admin.disconnect();
    assert.deepEqual(
      offsets.map(({ low, high }) => [low, high]),
      [['20', '20']],
    );
    assert.match(await metricsOf(server), /mqproxy_dead_letters_total\{cause="nack"\} 20/);
    await client.close();
  });

  test('a topic of dead letters that keeps too little is refused in words, and nothing is lost', async () => {
    const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers });
    const client = await connect(server);
    const of = { topic: uniqueTopic('orders'), group: uniqueTopic('billing') };
    const dlq = `${of.topic}.${of.group}.dlq`;
    await client.createTopic(dlq, { partitions: 3, config: { 'retention.ms': '60000' } });
    await produce(client, of.topic, ['a']);
    const consumer = await client.subscribe({ group: of.group, topics: [of.topic] });
    void consumer.run((message) => message.nack({ dead: true, reason: 'no' }));
    const said = () => /retention\.ms is 60000, and must be 2592000000/.test(server.stderr());
    await until(said, { timeoutMs, what: 'the refusal' });
    const kafkaFlags = ['--backend', 'kafka', '--kafka.brokers', brokers];
    const doctor = await runCli(['doctor', ...kafkaFlags, '--data-dir', server.dataDir]);
    const fault = `FAIL  topics    internal topic ${dlq}: retention.ms is 60000, and must be 2592000000`;
    assert(doctor.stdout.includes(fault), doctor.stdout);
    const kafka = new kafkajs.Kafka({ brokers: [brokers], logLevel: kafkajs.logLevel.NOTHING });
    const admin = kafka.admin();
    await admin.connect();
    await admin.alterConfigs({
      validateOnly: false,
      resources: [
        {
          type: 2,
          name: dlq,
          configEntries: [
            { name: 'retention.ms', value: '-1' },
            { name: 'retention.bytes', value: '-1' },
            { name: 'max.message.bytes', value: '4000000' },
          ],
        },
      ],
    });
    await admin.disconnect();
    const listed = async () => (await client.ask(LIST_DEAD, of)).messages.length === 1;
    await until(listed, { timeoutMs, what: 'the move' });
    await client.close();
  });
});
