import { laneTask } from '../../../src/lanes/worker-lane.ts';

/** How the lane of this worker ends: by an error nobody catches, by its memory, by its own hand. */
export type Death = 'throws' | 'runs out of memory' | 'exits';

/** A lane that answers calls, and dies at `drain` in the way its options name. */
export const runLane = laneTask<Death>(async (death) => ({
  bell: 0,
  call: async (name) => {
    if (name === 'flush') return true;
    if (name === 'setMarks') return new Promise(() => {});
    if (name === 'drain') setImmediate(() => die(death));
    return undefined;
  },
}));

function die(death: Death): void {
  if (death === 'exits') process.exit(3);
  // An error that has no code of its own, as a bug of ours has.
  if (death === 'throws') null_().value;
  const hog: number[][] = [];
  for (;;) hog.push(new Array<number>(100_000).fill(hog.length));
}

const null_ = (): { value: number } => JSON.parse('null') as { value: number };
