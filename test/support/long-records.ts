import assert from 'node:assert/strict';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { of } from './dead-letters.ts';
import { until } from './wait.ts';

/** Short frames: one DELIVER or TAIL answer of usual length would break the limit. */
export const shortFrames = [
  '--limits.frame-bytes-max',
  '64KiB',
  '--limits.message-bytes-max',
  '32KiB',
];

/** The values' lengths of partition 0, read by TAIL; what fits no frame stands as `offset N`. */
export async function tailAll(client: MqpClient, topic: string, count: number): Promise<string[]> {
  const found: string[] = [];
  for (let from = 0; found.length < count; ) {
    try {
      for await (const { offset, value } of client.tail(topic, { partition: 0, from })) {
        found.push(String(value?.length));
        from = offset + 1;
        if (found.length === count) break;
      }
    } catch (error) {
      const { code, message } = error as { code?: unknown; message: string };
      assert.equal(code, 'MESSAGE_TOO_LARGE', message);
      assert.match(
        message,
        new RegExp(`partition 0: the record at offset ${from} .* on from ${from + 1}`),
      );
      found.push(`offset ${from}`);
      from += 1;
    }
  }
  return found;
}

/** The offsets that a group gets of a topic, until so many came, by rising offset. */
export async function consumeAll(
  client: MqpClient,
  topic: string,
  count: number,
): Promise<number[]> {
  const consumer = await client.subscribe({ group: of.group, topics: [topic] });
  const got = new Set<number>();
  void consumer.run(({ offset }) => void got.add(offset));
  await until(() => got.size >= count, { timeoutMs: 60_000, what: `${count} messages` });
  await consumer.close();
  return [...got].sort((a, b) => a - b);
}
