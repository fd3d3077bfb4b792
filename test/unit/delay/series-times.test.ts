import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SeriesEvery } from '../../../protocol/src/series.ts';
import { firstOf, TIMES_END_MS, timesOf } from '../../../src/delay/series-times.ts';
import { fc } from '../../support/fast-check.ts';

const anchorMs = Date.parse('2026-03-28T00:00:00.250Z');
const none = new Set<number>();

/** The first `count` times after a moment, as local readers of the zone would write them down. */
function list(every: SeriesEvery, from: string, count: number): string[] {
  const times = timesOf(every, Date.parse(from));
  const out: string[] = [];
  let firing = firstOf(times, Date.parse(from));
  for (; firing !== undefined && out.length < count; firing = times.after(firing)) {
    assert.equal(firing.number, out.length + 1);
    out.push(new Date(firing.dueMs).toISOString().replace(':00.000Z', 'Z'));
  }
  return out;
}

test('an interval is counted from the anchor, whatever number is asked', () => {
  const times = timesOf({ intervalMs: 1_001 }, anchorMs);
  assert.deepEqual(firstOf(times, anchorMs), { number: 1, dueMs: anchorMs + 1_001 });
  const far = { number: 999_999, dueMs: anchorMs };
  assert.deepEqual(times.after(far), { number: 1_000_000, dueMs: anchorMs + 1_001_000_000 });
});

/** The sums of the first waits, exactly: a factor is a whole number of 2^-52. */
function* sumsOf(firstMs: number, factor: number, maxMs: number | undefined): Generator<number> {
  const bits = 52n * 200n;
  const grow = BigInt(factor * 2 ** 52);
  let wait = BigInt(firstMs) << bits;
  const longest = maxMs === undefined ? undefined : BigInt(maxMs) << bits;
  for (let sum = 0n; ; wait = (wait * grow) >> 52n) {
    sum += longest !== undefined && wait > longest ? longest : wait;
    yield Number(sum >> (bits - 10n)) / 2 ** 10;
  }
}

test('growing waits agree with adding them up one by one, to the millisecond', () => {
  const rules = fc.record({
    firstMs: fc.integer({ min: 1_000, max: 100_000 }),
    factor: fc.oneof(
      fc.constantFrom(1, 1 + Number.EPSILON, 2, 10, 1_000),
      fc.double({ min: 1, max: 3, noNaN: true }),
    ),
    maxMs: fc.option(fc.integer({ min: 100_000, max: 10_000_000 }), { nil: undefined }),
  });
  fc.assert(
    fc.property(rules, ({ maxMs, ...rule }) => {
      const times = timesOf(maxMs === undefined ? rule : { ...rule, maxMs }, anchorMs);
      const sums = sumsOf(rule.firstMs, rule.factor, maxMs);
      let firing = firstOf(times, anchorMs);
      for (let number = 1; number <= 200; number++) {
        const sum = sums.next().value as number;
        if (anchorMs + sum > TIMES_END_MS) {
          assert.equal(firing, undefined, 'it ends before the year 10000');
          return;
        }
        assert(firing !== undefined && Math.abs(firing.dueMs - anchorMs - sum) <= 1);
        assert.equal(firing.number, number);
        firing = times.after(firing);
      }
    }),
  );
});

test('cron in UTC agrees with looking at every minute', () => {
  const field = (max: number) =>
    fc.oneof(
      fc.constant('*'),
      fc.integer({ min: 0, max }).map(String),
      fc.constantFrom(2, 5, 7).map((n) => `*/${n}`),
    );
  const matches = (text: string, value: number) =>
    text === '*' || (text.startsWith('*/') ? value % Number(text.slice(2)) === 0 : +text === value);
  fc.assert(
    fc.property(field(59), field(23), fc.integer({ min: 0, max: 10 ** 9 }), (minute, hour, add) => {
      const times = timesOf({ cron: `${minute} ${hour} * * *` }, 0);
      let firing = firstOf(times, anchorMs + add);
      let at = (Math.floor((anchorMs + add) / 60_000) + 1) * 60_000;
      for (let checked = 0; checked < 3; at += 60_000) {
        const date = new Date(at);
        if (!matches(minute, date.getUTCMinutes()) || !matches(hour, date.getUTCHours())) continue;
        assert.equal(firing?.dueMs, at, `${minute} ${hour} after ${anchorMs + add}`);
        firing = times.after({ number: 0, dueMs: at });
        checked++;
      }
    }),
    { numRuns: 60 },
  );
});

test('where the clock is put forward, a single time comes at the end of the gap, steps and lists do not', () => {
  const berlin = (cron: string) => ({ cron, timeZone: 'Europe/Berlin' });
  // On 2026-03-29 02:00 is followed by 03:00.
  assert.deepEqual(list(berlin('30 2 * * *'), '2026-03-28T00:00:00Z', 3), [
    '2026-03-28T01:30Z',
    '2026-03-29T01:00Z',
    '2026-03-30T00:30Z',
  ]);
  assert.deepEqual(list(berlin('*/30 2 * * *'), '2026-03-28T12:00:00Z', 2), [
    '2026-03-30T00:00Z',
    '2026-03-30T00:30Z',
  ]);
  assert.deepEqual(list(berlin('*/30 * * * *'), '2026-03-29T00:20:00Z', 3), [
    '2026-03-29T00:30Z',
    '2026-03-29T01:00Z',
    '2026-03-29T01:30Z',
  ]);
  assert.equal(list(berlin('0,30 2 * * *'), '2026-03-28T12:00:00Z', 1)[0], '2026-03-30T00:00Z');
  const york = { cron: '30 2 * * *', timeZone: 'America/New_York' };
  assert.equal(list(york, '2026-03-07T12:00:00Z', 1)[0], '2026-03-08T07:00Z');
});

test('where the clock is put back, a single time comes once, steps and lists in both hours', () => {
  const berlin = (cron: string) => ({ cron, timeZone: 'Europe/Berlin' });
  // On 2026-10-25 02:00 to 03:00 comes twice.
  assert.deepEqual(list(berlin('30 2 * * *'), '2026-10-24T12:00:00Z', 2), [
    '2026-10-25T00:30Z',
    '2026-10-26T01:30Z',
  ]);
  assert.deepEqual(list(berlin('0,30 2 * * *'), '2026-10-24T12:00:00Z', 4), [
    '2026-10-25T00:00Z',
    '2026-10-25T00:30Z',
    '2026-10-25T01:00Z',
    '2026-10-25T01:30Z',
  ]);
  assert.deepEqual(list(berlin('*/30 * * * *'), '2026-10-25T00:10:00Z', 4), [
    '2026-10-25T00:30Z',
    '2026-10-25T01:00Z',
    '2026-10-25T01:30Z',
    '2026-10-25T02:00Z',
  ]);
});

test('the last time before a moment is found however many were missed', () => {
  const lastOf = (every: SeriesEvery, nowMs: number) => {
    const times = timesOf(every, anchorMs);
    const first = firstOf(times, anchorMs);
    assert(first !== undefined);
    const bounds = { numberMax: Number.POSITIVE_INFINITY, cancelled: none };
    return times.lastUpTo(nowMs, first, bounds);
  };
  const year = 366 * 86_400_000;
  assert.deepEqual(lastOf({ intervalMs: 1_000 }, anchorMs + year), {
    number: year / 1_000,
    dueMs: anchorMs + year,
  });
  const minutely = lastOf({ cron: '* * * * *' }, anchorMs + year);
  assert.equal(minutely.dueMs, Math.floor((anchorMs + year) / 60_000) * 60_000);
  const leap = lastOf({ cron: '0 0 29 2 *' }, Date.parse('2045-01-01'));
  assert.deepEqual(leap, { number: 5, dueMs: Date.parse('2044-02-29') });
  const rare = timesOf({ cron: '*/2 * 1 1 *' }, anchorMs);
  const first = firstOf(rare, anchorMs);
  assert(first !== undefined);
  const now = Date.parse('2030-06-01');
  const bounds = { numberMax: Number.POSITIVE_INFINITY, cancelled: none };
  assert.equal(rare.lastUpTo(now, first, bounds).dueMs, Date.parse('2030-01-01T23:58Z'));
});

test('what cannot be read is refused in words', () => {
  const refused = (every: SeriesEvery, words: RegExp) =>
    assert.throws(() => timesOf(every, anchorMs), { code: 'INVALID_ARGUMENT', message: words });
  refused({ cron: 'hello' }, /"hello" has 1 fields; it takes 5: minute hour day month weekday/);
  refused({ cron: '* * * * * *' }, /6 fields/);
  refused({ cron: '61 * * * *' }, /"61 \* \* \* \*" cannot be read: Invalid value for minute/);
  refused({ cron: `* * * * ${'1,'.repeat(200)}1` }, /takes 5/);
  refused({ cron: '* * * * *', timeZone: 'Mars/Olympus' }, /no time zone "Mars\/Olympus"/);
  assert.equal(firstOf(timesOf({ cron: '0 0 30 2 *' }, anchorMs), anchorMs), undefined);
});
