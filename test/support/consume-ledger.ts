import assert from 'node:assert/strict';
import { RawClient } from './raw-client.ts';
import type { RawConsumer, RawDelivery } from './raw-consumer.ts';
import { type Address, startServer, type TestServer } from './start-server.ts';
import { until } from './wait.ts';

/** How long anything of a group may take on a busy machine, in ms. */
export const WAIT_MS = 60_000;

/** A node on Kafka that shares its groups with the others of the test. */
export function startConsumeNode(brokers: string, ...more: string[]): Promise<TestServer> {
  return startServer({
    backend: 'kafka',
    kafkaBrokers: brokers,
    args: [
      '--cluster.secret',
      'the nodes of this test share it',
      '--topics.replication-factor',
      '1',
      ...more,
    ],
  });
}

/** Messages `m<from>` to `m<to - 1>`, replicated, so that they are in Kafka; in one partition. */
export async function produceNumbers(
  at: Address,
  topic: string,
  from: number,
  to: number,
  partition?: number,
): Promise<void> {
  const client = await RawClient.connect(at);
  const { topicId } = await client.open(topic);
  const values = Array.from({ length: to - from }, (_, i) => `m${from + i}`);
  const where = partition === undefined ? {} : { partition };
  const run = { topic: topicId, first: 1, values, batch: true, replicated: true, ...where };
  const outcomes = await client.produce(run, WAIT_MS);
  assert(outcomes.every(({ name }) => name === 'OK'));
  client.socket.destroy();
}

/** What was delivered and what was acked, over all consumers of a test. */
export class Ledger {
  readonly deliveries = new Map<string, number>();
  readonly acked = new Set<string>();
  /** Delivered after its ack was answered. */
  readonly afterAck: string[] = [];

  /** Acks everything at once and waits for the commit. */
  attach(consumer: RawConsumer, committed = true): void {
    consumer.onDelivered = (messages: RawDelivery[]) => {
      for (const { value } of messages) {
        if (this.acked.has(value)) this.afterAck.push(value);
        this.deliveries.set(value, (this.deliveries.get(value) ?? 0) + 1);
      }
      void consumer.ack(messages, committed).then(
        (failed) => {
          if (failed.length > 0) return;
          for (const { value } of messages) this.acked.add(value);
        },
        () => {},
      );
    };
  }

  ackedAll(count: number, what: string): Promise<unknown> {
    return until(() => this.acked.size >= count, { timeoutMs: WAIT_MS, what });
  }
}
