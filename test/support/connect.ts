import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { cleanUp } from './clean-up.ts';
import type { TestServer } from './start-server.ts';
import { until } from './wait.ts';

/** A client of a node; it ends with the test, also with one that fails. */
export async function connect({ mqp }: TestServer): Promise<MqpClient> {
  const client = await MqpClient.connect({ servers: [`${mqp.host}:${mqp.port}`] });
  cleanUp(() => client.close({ timeoutMs: 0 }));
  return client;
}

/** How many partitions of the delay log a node fires from; 0 before its role is open. */
export async function delaysReady(server: TestServer): Promise<number> {
  const client = await connect(server);
  try {
    if (client.node?.features.includes('delay') !== true) return 0;
    return ((await client.delayed.stats()) as unknown as { ready: number }).ready;
  } finally {
    await client.close();
  }
}

/** A client of a node that fires from all partitions of the delay log. */
export async function connectDelay(server: TestServer): Promise<MqpClient> {
  const ready = async () => (await delaysReady(server)) === DELAY_PARTITIONS;
  // A killed member is missed after its session.
  await until(ready, { timeoutMs: 90_000, everyMs: 200, what: 'all partitions are ready' });
  return connect(server);
}
