import assert from 'node:assert/strict';
import { test } from 'node:test';
import { REDRIVE_DEAD } from '../../protocol/src/dead-letters.ts';
import { connect } from '../support/connect.ts';
import { lettersOf, of, produce, shortWaits, textOf } from '../support/dead-letters.ts';
import { startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

test('a poison message is tried with growing waits, then it is dead once, and holds nobody', async () => {
  const server = await startServer({ args: [...shortWaits, '--retry.attempts', '4'] });
  const client = await connect(server);
  await produce(client, 'orders', ['poison', ...Array.from({ length: 50 }, (_, i) => `m${i}`)]);
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  const done = new Set<string>();
  const failedAtMs: number[] = [];
  const attempts: number[] = [];
  void consumer.run((message) => {
    const text = textOf(message);
    if (text !== 'poison') {
      done.add(text);
      return;
    }
    failedAtMs.push(performance.now());
    attempts.push(message.attempt);
    throw new TypeError('no customer 7');
  });
  const [letter, ...more] = await until(async () => {
    const letters = await lettersOf(client);
    return letters.length > 0 && done.size === 50 && letters;
  });
  assert.deepEqual(more, []);
  assert.deepEqual(attempts, [1, 2, 3, 4]);
  const waits = failedAtMs.slice(1).map((ms, i) => ms - (failedAtMs[i] ?? 0));
  for (const [i, least] of [50, 100, 200].entries()) assert.ok((waits[i] ?? 0) >= least - 2);
  assert.equal(letter?.attempts, 4);
  assert.equal(letter?.cause, 'nack');
  assert.match(letter?.reason ?? '', /no customer 7/);
  assert.equal(Buffer.from(letter?.value ?? []).toString(), 'poison');
  assert.equal(letter?.origin.topic, 'orders');
  await client.close();
  // The move was committed: after a restart nothing of it comes again.
  await server.restart();
  const after = await connect(server);
  const again = await after.subscribe({ group: 'billing', topics: ['orders'] });
  await produce(after, 'orders', ['last']);
  for await (const message of again) {
    assert.equal(textOf(message), 'last');
    await message.ack({ wait: 'committed' });
    break;
  }
  assert.equal((await lettersOf(after)).length, 1);
  await after.close();
});

test('the word dead takes a message to the dead letters at its first attempt', async () => {
  const server = await startServer();
  const client = await connect(server);
  await produce(client, 'orders', ['a']);
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  for await (const message of consumer) {
    await message.nack({ dead: true, reason: 'malformed' });
    break;
  }
  const [letter] = await until(async () => {
    const letters = await lettersOf(client);
    return letters.length > 0 && letters;
  });
  assert.deepEqual([letter?.cause, letter?.attempts, letter?.reason], ['dead', 1, 'malformed']);
  await client.close();
});

test('a redrive puts the letters back, to be consumed with new attempts, each once', async () => {
  const server = await startServer();
  const client = await connect(server);
  const values = Array.from({ length: 2_000 }, (_, i) => `m${i}`);
  await produce(client, 'orders', values);
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  let isWell = false;
  const done: string[] = [];
  void consumer.run((message) => {
    if (!isWell) return message.nack({ dead: true, reason: 'down' });
    assert.equal(message.attempt, 1);
    done.push(textOf(message));
    return undefined;
  });
  const count = () => client.ask(REDRIVE_DEAD, { ...of, dryRun: true });
  await until(async () => (await count()).matched === values.length);
  isWell = true;
  const startedMs = performance.now();
  const { job = '' } = await client.ask(REDRIVE_DEAD, { ...of, ratePerSecond: 1_000 });
  await until(async () => (await client.ask(REDRIVE_DEAD, { job })).state === 'done', {});
  assert.ok(performance.now() - startedMs >= 1_800);
  await until(() => done.length >= values.length);
  assert.deepEqual(done.sort(), values.sort());
  assert.equal((await count()).matched, 0);
  await client.close();
});

test('a prefix does not bring a group its own dead letters, which can be read by name', async () => {
  const server = await startServer();
  const client = await connect(server);
  await produce(client, 'orders', ['a']);
  const consumer = await client.subscribe({ group: 'billing', prefix: 'ord' });
  const seen: string[] = [];
  void consumer.run((message) => {
    seen.push(message.topic);
    return message.nack({ dead: true, reason: 'no' });
  });
  await until(async () => (await lettersOf(client)).length === 1);
  // A topic that comes later shows that the prefix was looked at again.
  await produce(client, 'orders-2', ['b']);
  await until(() => seen.includes('orders-2'));
  assert.deepEqual(seen, ['orders', 'orders-2']);
  const reader = await client.subscribe({ group: 'repair', topics: ['orders.billing.dlq'] });
  for await (const message of reader) {
    assert.equal(textOf(message), 'a');
    await message.ack();
    break;
  }
  await client.close();
});
