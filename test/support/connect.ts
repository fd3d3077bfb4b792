import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import type { DelayStats } from '../../protocol/src/delayed.ts';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import type { ClientOptions } from '../../sdk/ts/src/types.ts';
import { cleanUp } from './clean-up.ts';
import type { TestServer } from './start-server.ts';
import { uniqueTopic } from './topics.ts';
import { until } from './wait.ts';

const YEAR_MS = 365 * 24 * 3_600_000;

/** A client of a node, or of several; it ends with the test, also with one that fails. */
export async function connect(
  node: TestServer | readonly TestServer[],
  options?: Omit<ClientOptions, 'servers'>,
): Promise<MqpClient> {
  const servers = [node].flat().map(({ mqp }) => `${mqp.host}:${mqp.port}`);
  const client = await MqpClient.connect({ ...options, servers });
  cleanUp(() => client.close({ timeoutMs: 0 }));
  return client;
}

/** What a node says of its delays beyond what SPEC promises. */
interface DelayNumbers extends DelayStats {
  /** Partitions of the delay log that it fires from. */
  readonly ready: number;
  /** Messages that it holds in memory. */
  readonly near: number;
  readonly fired: number;
  readonly seriesFired: number;
}

/** The numbers of a node's delays. */
export async function delayNumbers(client: MqpClient): Promise<DelayNumbers> {
  return (await client.delayed.stats()) as DelayNumbers;
}

/** Waits until a node takes delayed messages, whoever fires them. */
export async function untilDelays(server: TestServer): Promise<void> {
  const hasDelays = async (): Promise<boolean> => {
    const client = await connect(server);
    const has = client.node?.features.includes('delay') === true;
    await client.close();
    return has;
  };
  await until(hasDelays, { timeoutMs: 60_000, everyMs: 200, what: 'the delay role to be open' });
}

/** A client of a node that fires from so many partitions of the delay log; all by default. */
export async function connectDelay(
  server: TestServer,
  { partitions = DELAY_PARTITIONS, timeoutMs = 60_000 } = {},
): Promise<MqpClient> {
  const what = `${partitions} partitions of the delay log to be ready`;
  return until(
    async () => {
      const client = await connect(server);
      const isOpen = client.node?.features.includes('delay') === true;
      if (isOpen && (await delayNumbers(client)).ready === partitions) return client;
      await client.close();
      return undefined;
    },
    { timeoutMs, everyMs: 200, what },
  );
}

/**
 * Schedules so many messages for next year: how long this machine takes for them, in ms. What is to
 * be scheduled before it is due is due later than that.
 */
export async function rehearse(client: MqpClient, count: number): Promise<number> {
  const topic = uniqueTopic('rehearsal');
  const startMs = performance.now();
  const send = () => client.produce(topic, { value: 'x', delayMs: YEAR_MS }, { ack: 'replicated' });
  await Promise.all(Array.from({ length: count }, send));
  return Math.ceil(performance.now() - startMs);
}
