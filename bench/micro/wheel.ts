import { TimingWheel } from '../../src/wheel/timing-wheel.ts';
import type { Micro } from './micro.ts';

const dayMs = 86_400_000;
const turn = 1_000;

/** A wheel with `pending` entries over 400 days, and their handles. */
function filled(pending: number): {
  wheel: TimingWheel;
  handles: Float64Array;
  dues: Float64Array;
} {
  const wheel = new TimingWheel({ startMs: 0, capacity: pending + turn });
  const handles = new Float64Array(pending);
  const dues = new Float64Array(1 << 16);
  // A spread that repeats, without a random number per call.
  for (let i = 0; i < dues.length; i++) dues[i] = (i * 0x9e37_79b1) % (400 * dayMs);
  for (let i = 0; i < pending; i++) handles[i] = wheel.insert(i, dues[i & 0xffff] as number);
  return { wheel, handles, dues };
}

function insertAndCancel(pending: number): Micro {
  const { wheel, handles, dues } = filled(pending);
  let at = 0;
  return {
    name: `wheel of ${pending / 1e6} M: cancel one, insert one`,
    perCall: turn,
    unit: 'pairs',
    call() {
      for (let i = 0; i < turn; i++) {
        // Far apart in memory, as a caller would.
        at = (at + 7_919) % pending;
        wheel.cancel(handles[at] as number);
        handles[at] = wheel.insert(at, dues[(at + i) & 0xffff] as number);
      }
    },
  };
}

function move(pending: number): Micro {
  const { wheel, handles, dues } = filled(pending);
  let at = 0;
  return {
    name: `wheel of ${pending / 1e6} M: move`,
    perCall: turn,
    unit: 'moves',
    call() {
      for (let i = 0; i < turn; i++) {
        at = (at + 7_919) % pending;
        wheel.move(handles[at] as number, dues[(at + i) & 0xffff] as number);
      }
    },
  };
}

function insertAndFire(): Micro {
  const wheel = new TimingWheel({ startMs: 0, capacity: 100_000 });
  let nowMs = 0;
  let fired = 0;
  const onDue = () => {
    fired++;
  };
  return {
    name: 'wheel: insert up to 30 s ahead, and fire',
    perCall: turn,
    unit: 'entries',
    call() {
      for (let i = 0; i < turn; i++) wheel.insert(fired, nowMs + ((i * 7_919) % 30_000));
      nowMs += 500;
      while (wheel.advance(nowMs, onDue));
    },
  };
}

/** The timing wheel by itself. */
export function wheelMicros(): Micro[] {
  return [
    insertAndCancel(1_000_000),
    insertAndCancel(10_000_000),
    move(1_000_000),
    insertAndFire(),
  ];
}
