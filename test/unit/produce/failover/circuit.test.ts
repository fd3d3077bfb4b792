import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type CircuitEvent,
  newCircuit,
  stepCircuit,
} from '../../../../src/produce/failover/circuit.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

const times = { openAfterMs: 3_000, closeAfterMs: 10_000, closeAfterMsMax: 40_000 };
const good: CircuitEvent = { kind: 'good' };
const bad = (forMs: number): CircuitEvent => ({ kind: 'bad', forMs });

test('it opens when something is bad for long enough, and not before', () => {
  const closed = newCircuit(0, times);
  assert.equal(stepCircuit(closed, bad(2_999), 5_000, times).isOpen, false);
  assert.equal(stepCircuit(closed, bad(3_000), 5_000, times).isOpen, true);
});

test('it closes when all was good for long enough; one bad look begins anew', () => {
  let state = stepCircuit(newCircuit(0, times), bad(3_000), 0, times);
  state = stepCircuit(state, good, 1_000, times);
  state = stepCircuit(state, bad(0), 9_000, times);
  state = stepCircuit(state, good, 10_000, times);
  assert.equal(stepCircuit(state, good, 19_999, times).isOpen, true);
  assert.equal(stepCircuit(state, good, 20_000, times).isOpen, false);
});

test('what flaps is left alone twice as long each time, up to a bound, and forgiven in the end', () => {
  let now = 0;
  let state = newCircuit(now, times);
  const waits: number[] = [];
  for (let i = 0; i < 4; i++) {
    state = stepCircuit(state, bad(3_000), now, times);
    waits.push(state.closeAfterMs);
    const from = now;
    for (; state.isOpen; now += 500) state = stepCircuit(state, good, now + 500, times);
    assert.ok(now - from >= state.closeAfterMs);
  }
  assert.deepEqual(waits, [10_000, 20_000, 40_000, 40_000]);
  state = stepCircuit(state, bad(3_000), now + 40_000, times);
  assert.equal(state.closeAfterMs, 10_000);
});

test('whatever is seen, it does what a list of all that was seen says', async () => {
  const event = fc.oneof(
    fc.record({ kind: fc.constant('good' as const), after: fc.integer({ min: 0, max: 4_000 }) }),
    fc.record({
      kind: fc.constant('bad' as const),
      after: fc.integer({ min: 0, max: 4_000 }),
      forMs: fc.integer({ min: 0, max: 6_000 }),
    }),
  );
  const property = fc.property(fc.array(event, { maxLength: 80 }), (events) => {
    let now = 0;
    let state = newCircuit(now, times);
    /** The naive twin: everything since the last change. */
    let seen: { now: number; kind: string }[] = [];
    let wait = times.closeAfterMs;
    let isOpen = false;
    let closedAt: number | undefined;
    for (const one of events) {
      now += one.after;
      state = stepCircuit(state, one, now, times);
      seen.push({ now, kind: one.kind });
      const lastBad = seen.findLastIndex(({ kind }) => kind === 'bad');
      const goodFrom = seen[lastBad + 1]?.now;
      if (!isOpen && one.kind === 'bad' && one.forMs >= times.openAfterMs) {
        const isSoon = closedAt !== undefined && now - closedAt < wait;
        wait = isSoon ? Math.min(2 * wait, times.closeAfterMsMax) : times.closeAfterMs;
        isOpen = true;
        seen = [];
      } else if (isOpen && goodFrom !== undefined && now - goodFrom >= wait) {
        isOpen = false;
        closedAt = now;
        seen = [];
      }
      assert.equal(state.isOpen, isOpen);
      assert.equal(state.closeAfterMs, wait);
    }
  });
  await check(property, 500);
});
