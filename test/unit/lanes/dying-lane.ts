import type { LaneEvent } from '../../../src/lanes/lane-calls.ts';
import { type LaneTask, laneTask } from '../../../src/lanes/worker-lane.ts';

/** How the lane of this worker ends: by an error nobody catches, by its memory, by its own hand. */
export type Death = 'throws' | 'runs out of memory' | 'exits' | 'fails and talks on';

/** A lane that answers calls, and dies at `drain` in the way its options name. */
const lane = laneTask<Death>(async (death, { stats }, _bell, say) => ({
  bell: 0,
  call: async (name) => {
    if (name === 'flush') return true;
    if (name === 'setMarks') return new Promise(() => {});
    if (name === 'drain') setImmediate(() => (death === TALKS ? fail(stats, say) : die(death)));
    return undefined;
  },
}));

export const runLane = (task: LaneTask<Death>): Promise<void> => Promise.race([lane(task), failed]);

const TALKS = 'fails and talks on';
let reject = (_: Error): void => {};
const failed = new Promise<never>((_, no) => {
  reject = no;
});

/** Its task has failed, and its thread goes on: `stats` counts what it says from then on. */
function fail(stats: SharedArrayBuffer, say: (event: LaneEvent) => void): void {
  reject(new RangeError('failed'));
  setInterval(() => {
    say({ kind: 'pressure', pressure: 'soft' });
    Atomics.add(new Int32Array(stats), 0, 1);
  }, 1);
}

function die(death: Death): void {
  if (death === 'exits') process.exit(3);
  // An error that has no code of its own, as a bug of ours has.
  if (death === 'throws') null_().value;
  const hog: number[][] = [];
  for (;;) hog.push(new Array<number>(100_000).fill(hog.length));
}

const null_ = (): { value: number } => JSON.parse('null') as { value: number };
