import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REDRIVE_DEAD } from '../../protocol/src/dead-letters.ts';
import { connect } from '../support/connect.ts';
import { of, produce, textOf } from '../support/dead-letters.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
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
