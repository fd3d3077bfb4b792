import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs } from '../../../../src/consume/retry/backoff.ts';
import type { Backoff } from '../../../../src/consume/retry/retry-policy.ts';
import { fc } from '../../../support/fast-check.ts';
import { seed } from '../../../support/seeded.ts';

const usual: Backoff = { min: 1000, max: 600_000, jitterPercent: 20, table: [] };

function fixed(float: number): { bytes(count: number): Uint8Array; float(): number } {
  return { bytes: (count) => new Uint8Array(count), float: () => float };
}

test('waits double from the first to the longest', () => {
  const waits = Array.from({ length: 12 }, (_, i) => backoffMs(usual, i + 1) / 1000);
  assert.deepEqual(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
});

test('a table gives its waits, and repeats the last', () => {
  const table = { ...usual, table: [10, 500, 20] };
  const waits = Array.from({ length: 5 }, (_, i) => backoffMs(table, i + 1));
  assert.deepEqual(waits, [10, 500, 20, 20, 20]);
});

test('jitter goes a fifth either way, and never beyond the longest wait', () => {
  assert.equal(backoffMs(usual, 2, fixed(0)), 1600);
  assert.equal(backoffMs(usual, 2, fixed(0.5)), 2000);
  assert.equal(backoffMs(usual, 2, fixed(0.999_999)), 2400);
  assert.equal(backoffMs(usual, 16, fixed(0.999_999)), 600_000);
  assert.equal(backoffMs({ ...usual, jitterPercent: 0 }, 2, fixed(0)), 2000);
});

test('any backoff waits whole milliseconds within its jitter and its longest wait', () => {
  const backoff = fc.record({
    min: fc.integer({ min: 1, max: 10_000 }),
    max: fc.integer({ min: 10_000, max: 3_600_000 }),
    jitterPercent: fc.integer({ min: 0, max: 100 }),
    table: fc.array(fc.integer({ min: 1, max: 3_600_000 }), { maxLength: 5 }),
  });
  const attempt = fc.integer({ min: 1, max: 65_535 });
  const float = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const property = fc.property(backoff, attempt, float, (settings, at, draw) => {
    let exact = settings.min;
    for (let i = 1; i < at && exact < settings.max; i++) exact *= 2;
    exact = Math.min(exact, settings.max);
    const { table } = settings;
    if (table.length > 0) exact = table[Math.min(at, table.length) - 1] ?? 0;
    assert.equal(backoffMs(settings, at), exact);
    const wait = backoffMs(settings, at, fixed(draw));
    const spread = (exact * settings.jitterPercent) / 100;
    assert.ok(Number.isInteger(wait) && wait >= 1);
    assert.ok(wait <= (table.length > 0 ? Math.max(...table) : settings.max));
    assert.ok(wait >= Math.floor(exact - spread) && wait <= Math.ceil(exact + spread));
  });
  fc.assert(property, { numRuns: 1000, seed });
});
