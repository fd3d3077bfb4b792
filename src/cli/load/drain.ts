import type { MqpClient } from '../../../sdk/ts/src/client.ts';
import { type Clock, sleep } from '../../base/clock.ts';

const pollMs = 100;
const quietMs = 3000;

/** The sum of a topic's end offsets: it grows by one for each record. */
export async function endOffsetOf(client: MqpClient, topic: string): Promise<number> {
  const { partitions } = await client.describeTopic(topic);
  return partitions.reduce((sum, { endOffset }) => sum + endOffset, 0);
}

/** What to wait for. */
export interface DrainTarget {
  readonly topic: string;
  /** The end offset at which everything answered has arrived. */
  readonly endOffset: number;
  readonly timeoutMs: number;
}

/** When it ended, and where the log's end stands then. */
export interface Drained {
  readonly seconds: number;
  readonly endOffset: number;
}

/**
 * Waits until everything answered has arrived and nothing more comes, or nothing has come for a
 * while although something is missing.
 */
export async function waitForDrain(
  client: MqpClient,
  target: DrainTarget,
  clock: Clock,
): Promise<Drained> {
  const startMs = clock.monotonic();
  let endOffset = await endOffsetOf(client, target.topic);
  let changedMs = startMs;
  for (;;) {
    const nowMs = clock.monotonic();
    // Once all has arrived, one quiet step shows that no duplicate is still on its way.
    const quietWantedMs = endOffset >= target.endOffset ? 3 * pollMs : quietMs;
    const isOver = nowMs - startMs > target.timeoutMs;
    if (isOver || nowMs - changedMs >= quietWantedMs) {
      return { seconds: Math.round(changedMs - startMs) / 1000, endOffset };
    }
    await sleep(clock, pollMs);
    const next = await endOffsetOf(client, target.topic);
    if (next !== endOffset) changedMs = clock.monotonic();
    endOffset = next;
  }
}
