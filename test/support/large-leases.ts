import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { RawClient } from './raw-client.ts';
import { RawConsumer } from './raw-consumer.ts';
import type { Address } from './start-server.ts';

const COUNT = 900;
const BYTES = 10_000;
const WAIT_MS = 60_000;

function textFor(i: number): string {
  const body = createHash('sha256').update(`${i}`).digest('hex');
  return `m${i} ${body.repeat(BYTES / body.length)}`;
}

/**
 * More is leased of one partition than a node keeps the payload of; some of it is acked, the rest
 * given back: it comes again, whole, read from the log once more.
 */
export async function redeliverMuch(at: Address, topic: string, group: string): Promise<void> {
  const client = await RawClient.connect(at);
  const { topicId } = await client.open(topic);
  const values = Array.from({ length: COUNT }, (_, i) => textFor(i));
  for (let from = 0; from < COUNT; from += 50) {
    const run = { topic: topicId, first: from + 1, values: values.slice(from, from + 50) };
    const outcomes = await client.produce({ ...run, partition: 0, batch: true }, WAIT_MS);
    assert(outcomes.every(({ name }) => name === 'OK'));
  }
  client.socket.destroy();
  const much = { creditMessages: 2 * COUNT, creditBytes: 64 << 20, leaseMs: 600_000 };
  const consumer = await RawConsumer.open(at, { group, topics: [topic], ...much });
  const first = await consumer.take(COUNT, WAIT_MS);
  const isDone = (offset: number): boolean => offset % 3 === 0;
  assert.deepEqual(await consumer.ack(first.filter(({ offset }) => isDone(offset))), []);
  const open = first.filter(({ offset }) => !isDone(offset));
  assert.deepEqual(await consumer.nack(open, 0), []);
  const again = await consumer.take(open.length, WAIT_MS);
  again.sort((a, b) => a.offset - b.offset);
  assert.deepEqual(
    again.map(({ offset }) => offset),
    open.map(({ offset }) => offset),
  );
  for (const { offset, attempt, value } of again) {
    assert.equal(attempt, 2);
    assert(value === textFor(offset), `message ${offset} is another one: ${value.slice(0, 20)}`);
  }
  assert.deepEqual(await consumer.ack(again, true), []);
  assert.deepEqual(consumer.got, []);
  consumer.client.cut();
}
