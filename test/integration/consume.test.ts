import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { redeliverMuch } from '../support/large-leases.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { type Address, startServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

async function produce(address: Address, topic: string, from: number, to: number): Promise<void> {
  const client = await RawClient.connect(address);
  const { topicId } = await client.open(topic);
  const values = Array.from({ length: to - from }, (_, i) => `m${from + i}`);
  const outcomes = await client.produce({ topic: topicId, first: 1, values, batch: true });
  assert(outcomes.every(({ name }) => name === 'OK'));
  client.socket.destroy();
}

const numberOf = ({ value }: RawDelivery): number => Number(value.slice(1));

test('what is produced is delivered to consumers over a socket, acked, and not delivered again', async () => {
  const server = await startServer();
  await produce(server.mqp, 'jobs', 0, 300);
  const consumer = await RawConsumer.open(server.mqp, { group: 'g', topics: ['jobs'] });
  await consumer.client.when(() => consumer.got.length >= 256, 'its credit');
  const seen = new Set<number>();
  while (seen.size < 300) {
    const came = await consumer.take(1);
    came.push(...consumer.got.splice(0));
    for (const message of came) {
      assert.equal(message.attempt, 1);
      assert(!seen.has(numberOf(message)), 'twice');
      seen.add(numberOf(message));
    }
    // In random order, as handlers finish.
    came.sort((a, b) => (numberOf(a) % 7) - (numberOf(b) % 7));
    assert.deepEqual(await consumer.ack(came, seen.size === 300), []);
  }
  assert.equal(consumer.assigned, 4);
  await server.restart();
  await produce(server.mqp, 'jobs', 300, 310);
  const again = await RawConsumer.open(server.mqp, { group: 'g', topics: ['jobs'] });
  const more = await again.take(10);
  assert.deepEqual(
    more.map(numberOf).sort((a, b) => a - b),
    [300, 301, 302, 303, 304, 305, 306, 307, 308, 309],
  );
});

test('an ack that was answered committed survives kill -9, whatever is unfinished before it', async () => {
  const server = await startServer();
  await produce(server.mqp, 'jobs', 0, 200);
  const asked = { group: 'g', topics: ['jobs'], creditMessages: 1_000 };
  const consumer = await RawConsumer.open(server.mqp, asked);
  const got = await consumer.take(200);
  const acked = got.filter((message) => numberOf(message) % 3 !== 0);
  assert.deepEqual(await consumer.ack(acked, true), []);
  await server.kill();
  await server.restart();
  const again = await RawConsumer.open(server.mqp, asked);
  const left = await again.take(got.length - acked.length);
  assert.deepEqual(
    left.map(numberOf).sort((a, b) => a - b),
    got
      .filter((message) => numberOf(message) % 3 === 0)
      .map(numberOf)
      .sort((a, b) => a - b),
  );
  assert.deepEqual(again.got, []);
});

test('a lease that runs out goes to another consumer, and a lost connection does not wait for it', async () => {
  const server = await startServer();
  await produce(server.mqp, 'jobs', 0, 4);
  const asked = { group: 'g', topics: ['jobs'], leaseMs: 500 };
  const frozen = await RawConsumer.open(server.mqp, asked);
  const held = await frozen.take(4);
  await frozen.credit(0);
  const other = await RawConsumer.open(server.mqp, { ...asked, leaseMs: 60_000 });
  const again = await other.take(4);
  assert(again.every(({ attempt }) => attempt >= 2));
  const lost = held.map(({ index }, i) => `${i}/${index}/${ErrorCode.LEASE_LOST}`);
  assert.deepEqual(await frozen.ack(held), lost);
  frozen.client.cut();
  other.client.cut();
  const third = await RawConsumer.open(server.mqp, { ...asked, leaseMs: 60_000 });
  const last = await third.take(4);
  assert(last.every(({ attempt }) => attempt >= 3));
  assert.deepEqual(await third.ack(last, true), []);
});

test('after kill -9 the deliveries of a message that failed are counted on', async () => {
  const server = await startServer();
  await produce(server.mqp, 'jobs', 0, 5);
  const asked = { group: 'g', topics: ['jobs'] };
  for (const attempt of [1, 2, 3]) {
    const consumer = await RawConsumer.open(server.mqp, asked);
    const [poison, other] = (await consumer.take(6 - attempt)) as [RawDelivery, RawDelivery];
    assert.deepEqual([poison.value, poison.attempt], ['m0', attempt]);
    assert.deepEqual(await consumer.nack([poison], 0), []);
    const [again] = await consumer.take(1);
    assert.deepEqual([again?.value, again?.attempt], ['m0', attempt + 1]);
    // Its commit carries the failure too.
    assert.deepEqual(await consumer.ack([other], true), []);
    consumer.client.cut();
    await server.kill();
    await server.restart();
  }
});

test('a planned stop hands open leases on: the ack of a long handler counts after the restart', async () => {
  const server = await startServer();
  await produce(server.mqp, 'jobs', 0, 3);
  const asked = { group: 'g', topics: ['jobs'], leaseMs: 120_000 };
  const consumer = await RawConsumer.open(server.mqp, asked);
  const held = await consumer.take(3);
  await server.restart();
  const again = await RawConsumer.open(server.mqp, asked);
  await until(() => again.assigned === 4 || again.client.isClosed, { what: 'the partitions' });
  assert.deepEqual(await again.ack(held, true), []);
  await produce(server.mqp, 'jobs', 3, 4);
  const [next] = await again.take(1);
  assert.equal(next?.value, 'm3');
});

test('more than is kept in memory comes again whole', async () => {
  const server = await startServer();
  await redeliverMuch(server.mqp, 'jobs', 'g');
});
