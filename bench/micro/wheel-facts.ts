import { TimingWheel } from '../../src/wheel/timing-wheel.ts';
import { type Fact, Longest, middle, perSecond } from './fact.ts';

const pending = 10_000_000;
const some = 200_000;
const rounds = 7;
const dayMs = 86_400_000;
const yearMs = 365 * dayMs;
const advanceMsMax = 5;
const wantedPerSecond = 5e6;

/** Due times over 400 days, the same at every run. */
function dueOf(i: number): number {
  return (i * 0x9e37_79b1) % (400 * dayMs);
}

/** How many go in and out a second, each by itself, while 10 M wait. */
function inAndOut(): Fact[] {
  const wheel = new TimingWheel({ startMs: 0, capacity: pending + some });
  const handles = new Int32Array(pending + some);
  const fill = perSecond(pending, () => {
    for (let i = 0; i < pending; i++) handles[i] = wheel.insert(i, dueOf(i));
  });
  const inserts: number[] = [];
  const cancels: number[] = [];
  let at = 0;
  for (let round = 0; round < rounds; round++) {
    // The first round takes new memory, the others what was given back: both are what a node does.
    const insert = perSecond(some, () => {
      for (let i = 0; i < some; i++) handles[pending + i] = wheel.insert(i, dueOf(at + i * 7));
    });
    inserts.push(insert);
    const cancel = perSecond(some, () => {
      for (let i = 0; i < some; i++) {
        // Far apart in memory, as a caller would.
        at = (at + 7_919) % pending;
        wheel.cancel(handles[at] as number);
        handles[at] = handles[pending + i] as number;
      }
    });
    cancels.push(cancel);
  }
  const each = { unit: 'a second', atLeast: wantedPerSecond };
  return [
    { name: 'wheel: fill with 10 M over 400 days', value: fill, ...each },
    { name: 'wheel of 10 M: insert', value: middle(inserts), ...each },
    { name: 'wheel of 10 M: cancel, anywhere', value: middle(cancels), ...each },
  ];
}

interface Crowd {
  readonly name: string;
  dueOf(i: number): number;
  /** Where time is taken, moment after moment. */
  readonly moments: readonly number[];
}

/** Every `stepMs` from one time to another. */
function steps(fromMs: number, toMs: number, stepMs: number): number[] {
  const length = Math.floor((toMs - fromMs) / stepMs) + 1;
  return Array.from({ length }, (_, i) => fromMs + i * stepMs);
}

const crowds: readonly Crowd[] = [
  {
    name: 'all due in one millisecond of the next hour',
    dueOf: () => 3_600_000,
    moments: [...steps(0, 3_590_000, 1_000), ...steps(3_590_010, 3_600_000, 10)],
  },
  {
    name: 'all due in one second of the tenth day',
    dueOf: (i) => 10 * dayMs + (i % 1_000),
    moments: [...steps(0, 10 * dayMs, 60_000), ...steps(10 * dayMs, 10 * dayMs + 1_000, 10)],
  },
  {
    name: 'over 400 days, and time that jumps by a day',
    dueOf,
    moments: steps(0, 400 * dayMs, dayMs),
  },
  {
    name: 'all beyond the top ring, and time that goes by in steps of 10 days',
    dueOf: (i) => 72 * yearMs + (i % 1_000) * dayMs,
    moments: steps(0, 75 * yearMs, 10 * dayMs),
  },
];

/** The longest call of `advance` while 10 M wait, cascade or fire. */
function longestAdvance({ name, dueOf: due, moments }: Crowd): Fact[] {
  const wheel = new TimingWheel({ startMs: 0, capacity: pending });
  for (let i = 0; i < pending; i++) wheel.insert(i, due(i));
  let fired = 0;
  let nowMs = 0;
  const onDue = () => {
    fired++;
  };
  const once = () => wheel.advance(nowMs, onDue);
  const longest = new Longest();
  for (const moment of moments) {
    nowMs = moment;
    while (longest.time(once));
  }
  const where = `wheel of 10 M, ${name}: longest advance`;
  return [
    { name: where, unit: 'ms', value: longest.ownMs, atMost: advanceMsMax },
    { name: `${where}, but for one in a thousand`, unit: 'ms', value: longest.p999Ms },
    { name: `${where}, with the wait for a core`, unit: 'ms', value: longest.wallMs },
    { name: `${where}: fired of ${longest.calls} calls`, unit: 'entries', value: fired },
  ];
}

/** What is asked of the timing wheel with 10 M entries. */
export function wheelFacts(): Fact[] {
  return [...inAndOut(), ...crowds.flatMap(longestAdvance)];
}
