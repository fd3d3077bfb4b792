import { laneOf } from '../../src/server/handlers/hello.ts';
import { laneStates } from '../support/node-state.ts';
import { Seeded, seed } from '../support/seeded.ts';
import type { TestServer } from '../support/start-server.ts';
import { until } from '../support/wait.ts';

const producerIds = Array.from({ length: 20 }, (_, i) => BigInt(i + 1));
/** The lowest producer id of each lane where there are four. */
export const producerOfLane: readonly bigint[] = [0, 1, 2, 3].map(
  (lane) => producerIds.find((id) => laneOf(id, 4) === lane) ?? 0n,
);
/** Producers from 1 on of which each of four lanes has one. */
export const producersOfAllLanes = Math.max(...producerOfLane.map(Number));

/** Every layout of lanes on Kafka, as arguments of `serve`. */
export const layouts: readonly string[][] = [
  ['--lanes', '1', '--lane.host', 'worker'],
  ['--lanes', '1', '--lane.host', 'inline'],
  ['--lanes', '4', '--lane.host', 'worker'],
  ['--lanes', '4', '--lane.host', 'inline'],
];

/**
 * How many lanes a node has on Kafka, and where they run, as the seed has it: arguments of `serve`.
 * Each run of a test has one, and many runs have them all.
 */
export function drawnLayout(): string[] {
  const layout = new Seeded(seed).pick(layouts);
  console.log(`seed=${seed} ${layout.join(' ')}`);
  return layout;
}

/** The layouts that a test runs with: all in the long lane, else the drawn one. */
export function layoutsToRun(isLong: boolean): readonly string[][] {
  return isLong ? layouts : [drawnLayout()];
}

/** Waits until each lane of a node has stored something in this life of the node. */
export async function untilLanesStored(server: TestServer): Promise<void> {
  const isStored = async () => (await laneStates(server)).every((lane) => lane.storedMessages > 0);
  await until(isStored, { what: 'every lane to store something' });
}
