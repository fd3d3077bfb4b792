import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect } from '../support/connect.ts';
import { lettersOf, produce, textOf } from '../support/dead-letters.ts';
import { startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const table = '--retry.backoff.table';
const policy = ['--retry.in-place-max', '100', '--retry.backoff.jitter-percent', '0'];
const args = [...policy, '--retry.attempts', '4', table, '50,400'];
/** Longer than it takes to kill a node, on any machine. */
const longArgs = [...args.slice(0, -1), '50,5000'];

interface Seen {
  readonly topic: string;
  readonly attempt: number;
  readonly id: string | undefined;
  readonly atMs: number;
}

const lists = (seen: readonly Seen[]) => seen.map(({ topic, attempt }) => [topic, attempt]);

const way = [
  ['orders', 1],
  ['orders', 2],
  ['orders.billing.retry', 3],
  ['orders.billing.retry', 4],
];

test('a long wait leaves the topic, comes back with its attempts and its id, and dies once', async () => {
  const server = await startServer({ args });
  const client = await connect(server);
  await produce(client, 'orders', ['poison', 'good']);
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  const other = await client.subscribe({ group: 'other', prefix: 'ord' });
  const others: string[] = [];
  void other.run((message) => {
    others.push(message.topic);
  });
  const seen: Seen[] = [];
  void consumer.run((message) => {
    if (textOf(message) === 'good') return;
    const { topic, attempt, id } = message;
    seen.push({ topic, attempt, id, atMs: performance.now() });
    throw new TypeError('no customer 7');
  });
  const letters = await until(async () => {
    const found = await lettersOf(client);
    return found.length > 0 && found;
  });
  assert.deepEqual(lists(seen), way);
  assert.equal(new Set(seen.map(({ id }) => id)).size, 1);
  for (const i of [2, 3]) assert.ok((seen[i]?.atMs ?? 0) - (seen[i - 1]?.atMs ?? 0) >= 395);
  const [letter] = letters;
  assert.deepEqual([letters.length, letter?.attempts], [1, 4]);
  assert.equal(letter?.origin.topic, 'orders');
  // The other group looks at its prefix again when a topic of that name comes.
  await produce(client, 'orders-2', ['later']);
  await until(() => others.includes('orders-2'));
  assert.deepEqual(others.sort(), ['orders', 'orders', 'orders-2']);
  await client.close();
});

test('what was put off is counted on after a kill, and to a prefix too', async () => {
  const server = await startServer({ args: longArgs });
  const client = await connect(server);
  await produce(client, 'orders', ['poison']);
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
  const seen: Seen[] = [];
  let isCommitted = false;
  void consumer.run(async (message) => {
    if (textOf(message) === 'good') {
      await message.ack({ wait: 'committed' });
      isCommitted = true;
      return;
    }
    const { topic, attempt, id } = message;
    seen.push({ topic, attempt, id, atMs: performance.now() });
    throw new TypeError('no customer 7');
  });
  const waiting = async () => (await client.delayed.list({ limit: 10 })).delays;
  const [delay] = await until(async () => {
    const found = await waiting();
    return found.length > 0 && found;
  });
  assert.equal(delay?.topic, 'orders.billing.retry');
  // Until a commit says that it has left its place, a kill brings it again from there too.
  await until(async () => {
    const { partitions } = await client.groups.describe('billing');
    return partitions.length > 0 && partitions.every(({ lag }) => lag === 0);
  });
  await produce(client, 'orders', ['good']);
  await until(() => isCommitted);
  await client.close();
  await server.kill();
  await server.restart();
  const after = await connect(server);
  const again = await after.subscribe({ group: 'billing', prefix: 'ord' });
  void again.run(({ topic, attempt, id }) => {
    seen.push({ topic, attempt, id, atMs: performance.now() });
    throw new TypeError('no customer 7');
  });
  const [letter] = await until(async () => {
    const found = await lettersOf(after);
    return found.length > 0 && found;
  });
  assert.equal(letter?.attempts, 4);
  const retried = seen.filter(({ topic }) => topic !== 'orders');
  assert.deepEqual(lists(retried), way.slice(2));
  await after.close();
});

test('in an ordered mode a message stays in its place, however long its wait', async () => {
  const server = await startServer({ args });
  const client = await connect(server);
  await client.produce('orders', { value: 'poison', key: 'k' });
  await client.produce('orders', { value: 'next', key: 'k' });
  const mode = 'key-ordered';
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'], mode });
  const seen: string[] = [];
  void consumer.run((message) => {
    seen.push(`${message.topic} ${textOf(message)} ${message.attempt}`);
    if (textOf(message) === 'poison' && message.attempt < 4) throw new TypeError('not yet');
  });
  await until(() => seen.length === 5);
  const tries = [1, 2, 3, 4].map((n) => `orders poison ${n}`);
  assert.deepEqual(seen, [...tries, 'orders next 1']);
  await client.close();
});
