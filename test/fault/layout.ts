import { Seeded, seed } from '../support/seeded.ts';

const layouts = [
  ['1', 'worker'],
  ['1', 'inline'],
  ['4', 'worker'],
  ['4', 'inline'],
] as const;

/**
 * How many lanes a node has on Kafka, and where they run, as the seed has it: arguments of `serve`.
 * Each run of a test has one, and many runs have them all.
 */
export function drawnLayout(): string[] {
  const [lanes, host] = new Seeded(seed).pick(layouts);
  console.log(`seed=${seed} lanes=${lanes} host=${host}`);
  return ['--lanes', lanes, '--lane.host', host];
}
