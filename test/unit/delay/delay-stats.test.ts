import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DelayStats } from '../../../src/delay/delay-stats.ts';

test('what is handed over before it is due is early, however long its answer takes', () => {
  const stats = new DelayStats();
  stats.fire({ dueMs: 10_000, sentMs: 9_999, doneMs: 10_500 });
  assert.deepEqual([stats.fired, stats.early, stats.late], [1, 1, 0]);
  stats.fire({ dueMs: 10_000, sentMs: 10_000, doneMs: 11_000 });
  assert.deepEqual([stats.fired, stats.early, stats.late], [2, 1, 0]);
  stats.fire({ dueMs: 10_000, sentMs: 10_000, doneMs: 11_001 });
  assert.deepEqual([stats.fired, stats.early, stats.late], [3, 1, 1]);
});

test('what was due when it was handed over is not early, though the clock went back since', () => {
  const stats = new DelayStats();
  stats.fire({ dueMs: 10_000, sentMs: 10_000, doneMs: 5_000 });
  assert.deepEqual([stats.fired, stats.early, stats.late], [1, 0, 0]);
  assert.equal(stats.lateMs.sum, 0);
});
