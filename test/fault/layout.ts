import { Seeded, seed } from '../support/seeded.ts';

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
