import type { MqpClient } from '../../sdk/ts/src/client.ts';

/** A record of a topic as TAIL gives it. */
export interface Arrival {
  readonly offset: number;
  readonly id: string;
  readonly value: string;
  /** When the node, or the broker, wrote it, in unix ms. */
  readonly timestampMs: number;
}

/** All that is in a topic of one partition now. */
export async function readAll(client: MqpClient, topic: string): Promise<Arrival[]> {
  const arrivals: Arrival[] = [];
  const { partitions } = await client.describeTopic(topic);
  const { startOffset = 0, endOffset = 0 } = partitions[0] ?? {};
  if (startOffset === endOffset) return arrivals;
  for await (const record of client.tail(topic, { partition: 0, from: 'beginning' })) {
    const { offset, id = '', value, timestampMs } = record;
    arrivals.push({ offset, id, value: Buffer.from(value ?? '').toString(), timestampMs });
    if (offset >= endOffset - 1) break;
  }
  return arrivals;
}
