import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TimingWheel } from '../../../src/wheel/timing-wheel.ts';
import { fc } from '../../support/fast-check.ts';

const seed = Number(process.env['MQP_SEED'] ?? Math.trunc(performance.timeOrigin % 2 ** 31));
console.log(`seed=${seed}`);

const dayMs = 86_400_000;
const yearMs = 365 * dayMs;

/** The naive twin: a map, looked through whole. */
class NaiveWheel {
  readonly waiting = new Map<number, { handle: number; dueMs: number }>();

  /** What is due by `nowMs`, as `value` lists per tick, in the order of the ticks. */
  due(nowMs: number, presentMs: number): { tick: number; values: number[] }[] {
    const byTick = new Map<number, number[]>();
    for (const [value, { dueMs }] of this.waiting) {
      if (dueMs > nowMs) continue;
      const tick = Math.max(dueMs, presentMs);
      byTick.set(tick, [...(byTick.get(tick) ?? []), value]);
      this.waiting.delete(value);
    }
    return [...byTick]
      .sort(([a], [b]) => a - b)
      .map(([tick, values]) => ({ tick, values: values.sort((a, b) => a - b) }));
  }
}

const distance = fc.oneof(
  fc.integer({ min: -5, max: 5 }),
  fc.nat(600),
  fc.nat(200_000),
  fc.constantFrom(255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537, 131_071, 131_072),
  fc.constantFrom(
    2 ** 24,
    2 ** 24 + 1,
    2 ** 25 - 1,
    2 ** 25,
    2 ** 32,
    2 ** 33,
    2 ** 41,
    2 ** 41 - 1,
  ),
  fc.nat(400 * dayMs),
  fc.nat(200 * yearMs),
);
const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('insert' as const), ahead: distance }) },
  fc.record({ kind: fc.constant('cancel' as const), pick: fc.nat() }),
  fc.record({ kind: fc.constant('move' as const), pick: fc.nat(), ahead: distance }),
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('advance' as const), ahead: distance }) },
);

test('it agrees with a map that is looked through whole, whatever the budget', () => {
  const budgets = fc.constantFrom(1, 2, 3, 7, 10_000);
  const starts = fc.oneof(fc.constant(0), fc.nat(2 ** 45));
  fc.assert(
    fc.property(starts, budgets, fc.array(step, { maxLength: 60 }), (startMs, budget, steps) => {
      const naive = new NaiveWheel();
      const wheel = new TimingWheel({ startMs, capacity: 100 });
      let nowMs = startMs;
      let serial = 0;
      for (const s of steps) {
        const picked = [...naive.waiting][('pick' in s ? s.pick : 0) % (naive.waiting.size || 1)];
        if (s.kind === 'insert') {
          const dueMs = nowMs + s.ahead;
          naive.waiting.set(serial, { handle: wheel.insert(serial, dueMs), dueMs });
          serial++;
        } else if (s.kind === 'cancel' && picked) {
          assert(wheel.cancel(picked[1].handle));
          assert(!wheel.cancel(picked[1].handle));
          naive.waiting.delete(picked[0]);
        } else if (s.kind === 'move' && picked) {
          picked[1].dueMs = nowMs + s.ahead;
          wheel.move(picked[1].handle, picked[1].dueMs);
        } else if (s.kind === 'advance') {
          advanceBoth(wheel, naive, nowMs + s.ahead, budget);
          nowMs = Math.max(nowMs, nowMs + s.ahead);
        }
        assert.equal(wheel.size, naive.waiting.size);
        checkWake(wheel, naive);
      }
    }),
    { seed, numRuns: 400 },
  );
});

function advanceBoth(wheel: TimingWheel, naive: NaiveWheel, nowMs: number, budget: number): void {
  const presentMs = wheel.nowMs;
  const dues = new Map([...naive.waiting].map(([value, { dueMs }]) => [value, dueMs]));
  const fired: { tick: number; values: number[] }[] = [];
  let more = true;
  for (let i = 0; more; i++) {
    assert(i < 10_000, 'it comes to an end');
    let calls = 0;
    more = wheel.advance(
      nowMs,
      (value, dueMs) => {
        calls++;
        const given = dues.get(value);
        assert(given !== undefined && dueMs === given);
        const tick = Math.max(given, presentMs);
        const last = fired.at(-1);
        if (last?.tick === tick) last.values.push(value);
        else fired.push({ tick, values: [value] });
      },
      budget,
    );
    assert(calls <= budget);
  }
  for (const { values } of fired) values.sort((a, b) => a - b);
  assert.deepEqual(fired, nowMs < presentMs ? [] : naive.due(nowMs, presentMs));
}

function checkWake(wheel: TimingWheel, naive: NaiveWheel): void {
  const dues = [...naive.waiting.values()].map(({ dueMs }) => dueMs);
  const wake = wheel.nextWakeMs();
  if (dues.length === 0) assert.equal(wake, Number.POSITIVE_INFINITY);
  else {
    assert(wake >= wheel.nowMs);
    assert(wake <= Math.max(Math.min(...dues), wheel.nowMs));
    assert(wake > wheel.nowMs || Math.min(...dues) <= wheel.nowMs);
  }
}

test('it fires at the exact tick, not one before', () => {
  const ahead = [0, 1, 255, 256, 511, 512, 65_536, 131_072, 2 ** 24, 2 ** 32, 400 * dayMs + 1];
  for (const distanceMs of ahead) {
    const startMs = 1_700_000_000_123;
    const wheel = new TimingWheel({ startMs, capacity: 4 });
    const dueMs = startMs + distanceMs;
    wheel.insert(7, dueMs);
    const fired: number[] = [];
    const onDue = (value: number, due: number) => {
      fired.push(value, due);
    };
    assert(!wheel.advance(dueMs - 1, onDue));
    assert.equal(fired.length, 0);
    assert(!wheel.advance(dueMs, onDue));
    assert.deepEqual(fired, [7, dueMs]);
  }
});

test('fractions of a tick are never early', () => {
  const wheel = new TimingWheel({ startMs: 10.9, capacity: 4 });
  wheel.insert(1, 20.1);
  const fired: number[] = [];
  const onDue = (value: number) => {
    fired.push(value);
  };
  wheel.advance(20.99, onDue);
  assert.equal(fired.length, 0);
  wheel.advance(21, onDue);
  assert.deepEqual(fired, [1]);
});

test('a clock that steps back fires nothing until it is where it was', () => {
  const wheel = new TimingWheel({ startMs: 0, capacity: 4 });
  const fired: number[] = [];
  wheel.advance(1_000, () => {});
  wheel.insert(1, 500);
  const onDue = (value: number) => {
    fired.push(value);
  };
  assert(!wheel.advance(999, onDue));
  assert.equal(fired.length, 0);
  wheel.advance(1_000, onDue);
  assert.deepEqual(fired, [1]);
});

test('what is due may insert, cancel and move others', () => {
  const wheel = new TimingWheel({ startMs: 0, capacity: 10 });
  const fired: number[] = [];
  const cancelled = wheel.insert(2, 100);
  const moved = wheel.insert(3, 100);
  wheel.insert(1, 99);
  const onDue = (value: number) => {
    fired.push(value);
    if (value !== 1) return;
    assert(wheel.cancel(cancelled));
    wheel.move(moved, 300);
    wheel.insert(4, 50);
    wheel.insert(5, 150);
  };
  wheel.advance(200, onDue);
  assert.deepEqual(fired, [1, 4, 5]);
  wheel.advance(300, onDue);
  assert.deepEqual(fired, [1, 4, 5, 3]);
  assert.equal(wheel.size, 0);
});

test('a full slot is emptied in slices, before its time comes', () => {
  const count = 100_000;
  const wheel = new TimingWheel({ startMs: 0, capacity: count });
  const firstMs = 3 * 65_536;
  for (let i = 0; i < count; i++) wheel.insert(i, firstMs + 1 + (i % 50));
  let fired = 0;
  const onDue = () => fired++;
  let wakes = 0;
  for (let nowMs = 0; wheel.nextWakeMs() <= firstMs; wakes++) {
    nowMs = wheel.nextWakeMs();
    assert(!wheel.advance(nowMs, onDue, 1_000), 'nothing is urgent');
  }
  assert.equal(fired, 0);
  assert(wakes >= 2 * (count / 1_000) && wakes < 3 * (count / 1_000), `${wakes} wakes`);
  for (let i = 1; i <= 50; i++) {
    wheel.advance(firstMs + i, onDue, count);
    assert.equal(fired, (count / 50) * i);
  }
});

test('a call whose caller names no budget does a thousand things, and says that there are more', () => {
  const count = 2_500;
  const wheel = new TimingWheel({ startMs: 0, capacity: count });
  for (let i = 0; i < count; i++) wheel.insert(i, 5);
  const fired: number[] = [];
  let calls = 0;
  const onDue = () => calls++;
  for (let more = true; more; fired.push(calls)) {
    calls = 0;
    more = wheel.advance(5, onDue);
  }
  assert.equal(
    fired.reduce((sum, n) => sum + n, 0),
    count,
  );
  assert(Math.max(...fired) <= 1_000, `${fired}`);
});

test('its bounds hold, and an entry takes 20 bytes', () => {
  const wheel = new TimingWheel({ startMs: 0, capacity: 200_000 });
  for (let i = 0; i < 200_000; i++) wheel.insert(0xffff_ffff, i * 1_000);
  assert.throws(() => wheel.insert(1, 1), { message: 'the wheel is full' });
  assert.throws(() => wheel.move(0, 1), { message: 'nothing waits under this handle' });
  assert(!wheel.cancel(0) && !wheel.cancel(2_000_000));
  assert(wheel.bytes <= 24 * (200_000 + 65_536));
  let value = 0;
  wheel.advance(0, (v) => {
    value = v;
  });
  assert.equal(value, 0xffff_ffff);
});
