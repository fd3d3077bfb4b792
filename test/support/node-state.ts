import type { TestServer } from './start-server.ts';
import { until } from './wait.ts';

/** The numbers of a lane in the admin port's /status. */
export interface LaneState {
  readonly state: 'serving' | 'reopening' | 'out' | 'full';
  readonly storeFailures: number;
  readonly storedMessages: number;
  readonly confirmedMessages: number;
  readonly outboxMessages: number;
  readonly duplicateMessages: number;
  readonly undeliverableMessages: number;
  readonly parkedMessages: number;
  readonly parkedTopics: number;
}

/** What the node says of its lanes. */
export async function laneStates(server: TestServer): Promise<readonly LaneState[]> {
  const { host, port } = server.admin;
  const response = await fetch(`http://${host}:${port}/status`);
  return ((await response.json()) as { lanes: LaneState[] }).lanes;
}

/** What the node's metrics say under a name that begins so: the sum over its lanes. */
export async function metric(server: TestServer, name: string): Promise<number> {
  const response = await fetch(`http://${server.admin.host}:${server.admin.port}/metrics`);
  const text = await response.text();
  const values = text.split('\n').filter((line) => line.startsWith(name));
  return values.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

/** Waits until the backend has confirmed everything that the node holds. */
export async function untilDrained(server: TestServer, timeoutMs = 60_000): Promise<void> {
  await until(async () => (await laneStates(server)).every((lane) => lane.outboxMessages === 0), {
    timeoutMs,
    what: 'the outbox to be empty',
  });
}
