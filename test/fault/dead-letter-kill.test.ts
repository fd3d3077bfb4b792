import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REDRIVE_DEAD } from '../../protocol/src/dead-letters.ts';
import type { ConsumedMessage } from '../../sdk/ts/src/consume-types.ts';
import { connect } from '../support/connect.ts';
import { of, produce, textOf } from '../support/dead-letters.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { readAll } from '../support/read-all.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until, within } from '../support/wait.ts';
import { killPointBuild, killPointEnv } from './kill-points.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const patient = { timeoutMs: 60_000 };
const KILLS = countOf('MQP_DEAD_KILLS', isLong ? 6 : 2);

test('kill -9 in moves and redrives loses no message, and copies have one id', async () => {
  console.log(`seed=${seed}`);
  const random = new Seeded(seed);
  const server = await startServer();
  let client = await connect(server);
  const values = Array.from({ length: 3_000 }, (_, i) => `m${i}`);
  await produce(client, 'orders', values);
  const refuse = async (): Promise<{ failed: number }> => {
    const counted = { failed: 0 };
    const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
    const handle = consumer.run(async (message) => {
      counted.failed += 1;
      await message.nack({ dead: true, reason: 'down' }).catch(() => {});
    });
    handle.catch(() => {});
    return counted;
  };
  for (let kill = 0; kill < KILLS; kill++) {
    const counted = await refuse();
    const enough = 200 + random.below(400);
    await until(() => counted.failed >= enough);
    await server.kill();
    await client.close({ timeoutMs: 0 });
    await server.restart();
    client = await connect(server);
  }
  await refuse();
  const count = async () => (await client.ask(REDRIVE_DEAD, { ...of, dryRun: true })).matched;
  // Every message is a dead letter, and each counts once, whatever copies the kills have left.
  await until(async () => (await count()) === values.length, { timeoutMs: 60_000, everyMs: 200 });
  await client.close();
  client = await connect(server);

  // Killed in a redrive, and asked again: what was put back twice has one id.
  await client.ask(REDRIVE_DEAD, { ...of, ratePerSecond: 1_000 });
  await until(async () => (await count()) < values.length - random.below(1_000));
  await server.kill();
  await client.close({ timeoutMs: 0 });
  await server.restart();
  client = await connect(server);
  const { job = '' } = await client.ask(REDRIVE_DEAD, of);
  await until(async () => (await client.ask(REDRIVE_DEAD, { job })).state === 'done');
  const ids = new Map<string, Set<string>>();
  const consumer = await client.subscribe({ group: 'audit', topics: ['orders'], dedupe: false });
  let copies = 0;
  void consumer.run((message) => {
    const text = textOf(message);
    const known = ids.get(text) ?? new Set();
    if (known.has(message.id ?? '')) copies += 1;
    ids.set(text, known.add(message.id ?? ''));
  });
  // The first id is the producer's, the second the redrive's: no third one may appear.
  await until(() => [...ids.values()].filter(({ size }) => size === 2).length === values.length, {
    timeoutMs: 60_000,
  });
  assert.ok([...ids.values()].every(({ size }) => size <= 2));
  assert.ok(copies <= 500, `${copies} copies`);
  await client.close();
});

const afterMove = {
  name: 'dead-letters.moved',
  file: 'src/consume/dead-letters/dead-letter-mover.js',
  statement: 'const results = await publisher.publish(records);',
  at: 'after',
} as const;

/** On the embedded log, or on a real Kafka. */
interface On {
  readonly words: string;
  readonly kafka: boolean;
  /** Batches of letters in each life before the one that the node dies behind. */
  readonly passings: readonly number[];
}

const places: readonly On[] = [
  { words: 'on the embedded log', kafka: false, passings: [2, 2] },
  // A killed member is missed for its session.
  { words: 'on Kafka', kafka: true, passings: [2] },
];

for (const { words, kafka, passings } of places) {
  test(`a node that dies between moves and their acks writes no letter a second time, ${words}`, {
    skip: kafka && skipWithoutKafka(),
  }, async () => {
    const entry = killPointBuild([afterMove]);
    const server = await startServer({
      entry,
      ...(kafka ? { backend: 'kafka', kafkaBrokers: await sharedKafka() } : {}),
      args: ['--topics.replication-factor', '1'],
    });
    const topic = uniqueTopic('orders');
    const group = uniqueTopic('billing');
    const asked = { group, topics: [topic] };
    const values = Array.from({ length: 2_000 }, (_, i) => `m${i}`);
    let client = await connect(server);
    await produce(client, topic, values);
    for (const passing of passings) {
      await client.close();
      await server.kill();
      server.spawn([], killPointEnv(afterMove, passing));
      const dying = await until(() => connect(server).catch(() => undefined), patient);
      const consumer = await dying.subscribe(asked);
      const handle = (message: ConsumedMessage) => message.nack({ dead: true }).catch(() => {});
      consumer.run(handle).catch(() => {});
      const { signal } = await within(server.exited, patient.timeoutMs, 'the node to die');
      assert.equal(signal, 'SIGKILL');
      await dying.close({ timeoutMs: 0 });
      await server.restart();
      client = await connect(server);
    }
    const consumer = await client.subscribe(asked);
    consumer.run((message) => message.nack({ dead: true })).catch(() => {});
    const isDone = async () => {
      const { partitions } = await client.groups.describe(group);
      const read = partitions.filter((one) => one.topic === topic);
      return read.length > 0 && read.every(({ lag }) => lag === 0);
    };
    await until(isDone, { ...patient, everyMs: 100, what: 'all to be dead' });
    const letters = (await readAll(client, `${topic}.${group}.dlq`)).map(({ value }) => value);
    await client.close();
    const twice = letters.flatMap((value, at) => {
      const first = letters.indexOf(value);
      return first === at ? [] : [`${value}: ${first} and ${at}`];
    });
    assert.deepEqual(twice, [], 'letters were written twice');
    assert.deepEqual(new Set(letters), new Set(values));
  });
}
