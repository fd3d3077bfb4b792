import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { RawClient } from '../support/raw-client.ts';
import { RawConsumer, type RawDelivery } from '../support/raw-consumer.ts';
import { type Address, startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const skip = skipWithoutKafka();
const brokers = skip === false ? await sharedKafka() : '';
const timeoutMs = 40_000;

async function produce(address: Address, topic: string, from: number, to: number): Promise<void> {
  const client = await RawClient.connect(address);
  const { topicId } = await client.open(topic);
  const values = Array.from({ length: to - from }, (_, i) => `m${from + i}`);
  // A message a partition at a time: without a key a batch lies in one.
  for (const [i, value] of values.entries()) {
    const [outcome] = await client.produce({ topic: topicId, first: i + 1, values: [value] });
    assert.equal(outcome?.name, 'OK');
  }
  client.socket.destroy();
}

const numberOf = ({ value }: RawDelivery): number => Number(value.slice(1));

/** What consumers of a group saw, and what of it was answered as committed. */
class Seen {
  readonly all = new Set<number>();
  readonly committed = new Set<number>();
  /** Came although the ack of it had been answered. */
  readonly again: number[] = [];

  /** Keeps what comes to a consumer and acks it, committed. */
  follow(consumer: RawConsumer): void {
    consumer.onDelivered = (messages) => {
      for (const number of messages.map(numberOf)) {
        this.all.add(number);
        if (this.committed.has(number)) this.again.push(number);
      }
      void this.ack(consumer, messages);
    };
  }

  private async ack(consumer: RawConsumer, messages: readonly RawDelivery[]): Promise<void> {
    const failed = await consumer.ack(messages, true).catch(() => ['cut']);
    // Which of them failed does not matter: they come again, and are acked alone or together.
    if (failed.length > 0) return;
    for (const message of messages) this.committed.add(numberOf(message));
  }
}

describe('consuming from Kafka', { skip }, () => {
  test('two nodes share a group, and one takes over from the other that is killed', async () => {
    const args = ['--cluster.secret', 'the secret of both nodes, long enough'];
    const kafka = { backend: 'kafka', kafkaBrokers: brokers, args } as const;
    const [first, second] = await Promise.all([startServer(kafka), startServer(kafka)]);
    const topic = uniqueTopic('jobs');
    await produce(first.mqp, topic, 0, 100);
    const asked = { group: uniqueTopic('g'), topics: [topic], creditMessages: 50 };
    const seen = new Seen();
    const a = await RawConsumer.open(first.mqp, asked);
    seen.follow(a);
    await until(() => seen.all.size === 100, { timeoutMs, what: 'the first hundred' });
    const b = await RawConsumer.open(second.mqp, asked);
    seen.follow(b);
    await until(() => b.assigned > 0 && a.assigned + b.assigned === 4, {
      timeoutMs,
      what: 'both have partitions',
    });
    await produce(second.mqp, topic, 100, 200);
    // Not every answer: what is under way at the kill may come again.
    await until(() => seen.all.size === 200, { timeoutMs, what: 'the second hundred' });
    await first.kill();
    await until(() => b.assigned === 4, { timeoutMs, what: 'the take-over' });
    await produce(second.mqp, topic, 200, 300);
    await until(() => seen.all.size === 300, { timeoutMs, what: 'the third hundred' });
    assert.ok(seen.committed.size >= 100, `${seen.committed.size} acks were answered`);
    assert.deepEqual(seen.again, [], 'what was acked committed never comes again');
  });
});
