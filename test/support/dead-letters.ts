import { LIST_DEAD } from '../../protocol/src/dead-letters.ts';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import type { ConsumedMessage } from '../../sdk/ts/src/consume-types.ts';
import type { TestServer } from './start-server.ts';

/** Whose dead letters the tests look at. */
export const of = { topic: 'orders', group: 'billing' };

/** Waits of 50, 100, 200 ms, exact, so that they can be told. */
export const shortWaits = [
  '--retry.backoff.table',
  '50,100,200',
  '--retry.backoff.jitter-percent',
  '0',
];

export async function produce(
  client: MqpClient,
  topic: string,
  values: readonly string[],
): Promise<void> {
  await Promise.all(values.map((value) => client.produce(topic, { value })));
}

export const textOf = ({ value }: ConsumedMessage): string => Buffer.from(value ?? []).toString();

/** The letters of {@link of}, the first page of them. */
export async function lettersOf(client: MqpClient, topic = of.topic) {
  const { messages } = await client.ask(LIST_DEAD, { ...of, topic, values: true });
  return messages;
}

/** The metrics of a node, as text. */
export async function metricsOf({ admin }: TestServer): Promise<string> {
  return (await fetch(`http://${admin.host}:${admin.port}/metrics`)).text();
}
