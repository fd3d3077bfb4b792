import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MissedFirings, SeriesEvery } from '../../../protocol/src/series.ts';
import { MISSED_AFTER_MS, SeriesRule, type Turn } from '../../../src/delay/series-rule.ts';
import { type Firing, firstOf, timesOf } from '../../../src/delay/series-times.ts';
import { fc } from '../../support/fast-check.ts';

const anchorMs = Date.parse('2026-05-01T00:00:10Z');

interface Asked {
  readonly every: SeriesEvery;
  readonly missed: MissedFirings;
  readonly count?: number | undefined;
  readonly untilMs?: number | undefined;
  readonly cancelled: readonly number[];
  readonly stands: number;
  readonly lateMs: number;
}

/** The firings up to a time, and as many after it as can be cancelled, one by one. */
function allOf({ every, count, untilMs }: Asked, endMs: number): Firing[] {
  const times = timesOf(every, anchorMs);
  const all: Firing[] = [];
  let behind = 0;
  for (let at = firstOf(times, anchorMs); at !== undefined; at = times.after(at)) {
    if (at.number > (count ?? 1e9) || at.dueMs > (untilMs ?? 1e15)) break;
    all.push(at);
    if (at.dueMs > endMs && ++behind > 42) break;
  }
  return all;
}

/** What the rule must say, by looking at each firing. */
function naive(asked: Asked, all: readonly Firing[], stands: Firing, nowMs: number) {
  const fires = (number: number) => !asked.cancelled.includes(number);
  const late = all.filter(({ number, dueMs }) => number >= stands.number && dueMs <= nowMs);
  const wanted = late.filter(({ number }) => fires(number));
  const after = (number: number) => all.find((it) => it.number > number && fires(it.number));
  if (asked.missed === 'all') return { fires: wanted[0], next: after(stands.number) };
  const isMissed = ({ number, dueMs }: Firing) => {
    const follower = all.find((it) => it.number === number + 1);
    return nowMs > dueMs + MISSED_AFTER_MS || (follower !== undefined && follower.dueMs <= nowMs);
  };
  const inTime = wanted.find((it) => !isMissed(it));
  const next = after(late.at(-1)?.number ?? 0);
  return { fires: asked.missed === 'skip' ? inTime : (inTime ?? wanted.at(-1)), next };
}

const optional = <T>(it: fc.Arbitrary<T>) => fc.option(it, { nil: undefined });
const asked: fc.Arbitrary<Asked> = fc.record({
  every: fc.constantFrom<SeriesEvery>(
    { intervalMs: 1_000 },
    { intervalMs: 59_000 },
    { intervalMs: 3_600_000 },
    { firstMs: 1_000, factor: 2, maxMs: 40_000 },
    { firstMs: 5_000, factor: 1.3 },
    { cron: '*/2 * * * *' },
    { cron: '30 0,1 * * *', timeZone: 'Asia/Kolkata' },
  ),
  missed: fc.constantFrom<MissedFirings>('skip', 'once', 'all'),
  count: optional(fc.integer({ min: 1, max: 40 })),
  untilMs: optional(fc.integer({ min: 1_000, max: 7_200_000 }).map((ms) => anchorMs + ms)),
  cancelled: fc.uniqueArray(fc.integer({ min: 2, max: 40 }), { maxLength: 10 }),
  stands: fc.integer({ min: 1, max: 20 }),
  lateMs: fc.oneof(
    fc.constant(0),
    fc.integer({ max: 200_000, min: 0 }),
    fc.integer({ max: 8_000_000, min: 0 }),
  ),
});

test('turns agree with a twin that looks at each firing', () => {
  let fired = 0;
  let skipped = 0;
  fc.assert(
    fc.property(asked, (it) => {
      const { count, untilMs, stands: number, lateMs } = it;
      const rule = new SeriesRule(
        {
          ...it,
          ...{ count: undefined, untilMs: undefined },
          ...(count === undefined ? {} : { count }),
          ...(untilMs === undefined ? {} : { untilMs }),
        } as ConstructorParameters<typeof SeriesRule>[0],
        anchorMs,
      );
      const start = allOf(it, anchorMs);
      const stands = start[Math.min(number, start.length) - 1];
      if (stands === undefined || it.cancelled.includes(stands.number)) return;
      const nowMs = stands.dueMs + lateMs;
      const turn: Turn = rule.turn(stands, nowMs);
      const { fires, next } = naive(it, allOf(it, nowMs), stands, nowMs);
      assert.deepEqual(turn.fires, fires);
      assert.deepEqual(turn.next, next);
      if (turn.fires !== undefined) assert(turn.fires.dueMs <= nowMs, 'never early');
      fires === undefined ? skipped++ : fired++;
    }),
    { numRuns: 1_000 },
  );
  assert(fired > 200 && skipped > 20, `${fired} fired, ${skipped} skipped: the draw is too narrow`);
});

test('every number fires once and in order when every turn is in time', () => {
  const rule = new SeriesRule({ every: { intervalMs: 1_000 }, missed: 'once', count: 5 }, anchorMs);
  const numbers: number[] = [];
  for (let at = rule.first(); at !== undefined; ) {
    const { fires, passed, next } = rule.turn(at, at.dueMs + 900);
    assert.equal(passed, 0);
    numbers.push(fires?.number ?? 0);
    at = next;
  }
  assert.deepEqual(numbers, [1, 2, 3, 4, 5]);
});

test('a year that was missed costs no look at each of its firings', () => {
  const year = 366 * 86_400_000;
  for (const every of [{ intervalMs: 1_000 }, { firstMs: 1_000, factor: 1 + 1e-9 }]) {
    const rule = new SeriesRule({ every, missed: 'once', count: 10 }, anchorMs);
    const stands = rule.first() as Firing;
    const turn = rule.turn(stands, anchorMs + year);
    assert.deepEqual([turn.fires?.number, turn.passed, turn.next], [10, 9, undefined]);
  }
});
