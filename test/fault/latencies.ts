import type { MqpClient } from '../../sdk/ts/src/client.ts';
// tidy-allow sleep: messages come at a pace
import { passing } from '../support/wait.ts';

/** What messages took to their answer, in ms. */
export interface Latencies {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Produces to all topics at once for so long, `replicated`, each awaited. */
export async function latencies(
  client: MqpClient,
  topics: readonly string[],
  forMs: number,
): Promise<Latencies> {
  const times: number[] = [];
  const until = performance.now() + forMs;
  const loop = async (topic: string): Promise<void> => {
    while (performance.now() < until) {
      const sent = performance.now();
      await client.produce(topic, { value: 'v' }, { ack: 'replicated' });
      times.push(performance.now() - sent);
      await passing(5);
    }
  };
  await Promise.all(topics.map(loop));
  times.sort((a, b) => a - b);
  const at = (share: number) =>
    Math.round((times[Math.floor(times.length * share)] ?? 0) * 10) / 10;
  return { count: times.length, p50: at(0.5), p99: at(0.99), max: at(0.99999) };
}
