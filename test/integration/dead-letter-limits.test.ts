import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { lettersOf, metricsOf, produce, shortWaits, textOf } from '../support/dead-letters.ts';
import { startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

test('a blocked key waits for the operator, and others of its group go on', async () => {
  const args = [...shortWaits, '--retry.attempts', '2', '--retry.on-exhausted', 'block'];
  const server = await startServer({ args });
  const client = await connect(server);
  for (const [key, value] of [
    ['a', 'a1'],
    ['a', 'a2'],
    ['b', 'b1'],
    ['c', 'c1'],
  ] as const) {
    await client.produce('orders', { key, value });
  }
  const consumer = await client.subscribe({
    group: 'billing',
    topics: ['orders'],
    mode: 'key-ordered',
  });
  const done: string[] = [];
  let failed = 0;
  let isWell = false;
  void consumer.run((message) => {
    if (textOf(message) === 'a1' && !isWell) {
      failed += 1;
      throw new TypeError('not yet');
    }
    done.push(textOf(message));
  });
  await until(() => done.length === 2 && failed === 2);
  const metrics = await until(async () => {
    const text = await metricsOf(server);
    return /mqproxy_messages_blocked_total 1/.test(text) && text;
  });
  assert.match(metrics, /mqproxy_retries_total\{cause="nack"\} 1/);
  assert.deepEqual(done.sort(), ['b1', 'c1']);
  isWell = true;
  assert.deepEqual(await lettersOf(client), []);
  await client.groups.resume('billing');
  await until(() => done.length === 4);
  assert.deepEqual(done.slice(2), ['a1', 'a2']);
  await client.close();
});

test('a message older than its time to live is dropped, counted, and not delivered', async () => {
  const server = await startServer({ args: ['--retry.policies.orders/*.ttl', '1s'] });
  const client = await connect(server);
  await produce(client, 'orders', ['old']);
  const since = Date.now();
  await until(() => Date.now() - since > 1_200);
  await produce(client, 'orders', ['young']);
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  for await (const message of consumer) {
    assert.equal(textOf(message), 'young');
    await message.ack();
    break;
  }
  await until(async () => /mqproxy_messages_expired_total 1\n/.test(await metricsOf(server)));
  await client.close();
});

test('a dead downstream moves no more than its budget, and other groups go on', async () => {
  const args = [
    ...shortWaits,
    '--retry.attempts=1',
    '--retry.budget.burst=5',
    '--retry.budget.per-minute=0',
  ];
  const server = await startServer({ args });
  const client = await connect(server);
  const values = Array.from({ length: 200 }, (_, i) => `m${i}`);
  await produce(client, 'orders', values);
  const dead = await client.subscribe({ group: 'billing', topics: ['orders'] });
  let failed = 0;
  void dead.run(() => {
    failed += 1;
    throw new TypeError('the database is away');
  });
  const other = await client.subscribe({ group: 'shipping', topics: ['orders'] });
  const done = new Set<string>();
  void other.run((message) => void done.add(textOf(message)));
  await until(() => failed === 200 && done.size === 200);
  const text = await until(async () => {
    const seen = await metricsOf(server);
    return /mqproxy_dead_letters_total\{cause="nack"\} 5/.test(seen) && seen;
  });
  assert.match(text, /mqproxy_dead_letter_budgets_holding 1/);
  assert.equal((await lettersOf(client)).length, 5);
  assert.equal(failed, 200);
  await client.close();
});
