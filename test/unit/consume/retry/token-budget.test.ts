import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TokenBudget } from '../../../../src/consume/retry/token-budget.ts';
import { fc } from '../../../support/fast-check.ts';
import { seed } from '../../../support/seeded.ts';

const usual = { burst: 10, perMinute: 6, perHundredAcks: 10 };

test('a burst goes through at once, then a few a minute', () => {
  const budget = new TokenBudget(usual, 0);
  for (let i = 0; i < 10; i++) assert.ok(budget.take(0));
  assert.ok(!budget.take(0));
  assert.ok(budget.isHolding);
  assert.equal(budget.waitMs(0), 10_000);
  assert.ok(!budget.take(9_999));
  assert.ok(budget.take(10_000));
  assert.ok(!budget.isHolding);
});

test('messages that are handled give tokens back, up to the burst', () => {
  const budget = new TokenBudget({ ...usual, perMinute: 0 }, 0);
  for (let i = 0; i < 10; i++) budget.take(0);
  assert.equal(budget.waitMs(0), Number.POSITIVE_INFINITY);
  budget.acked(9);
  assert.ok(!budget.take(0));
  budget.acked(1);
  assert.ok(budget.take(0));
  budget.acked(1_000_000);
  assert.equal(budget.tokens(0), 10);
});

test('without a burst one token is saved all the same', () => {
  const budget = new TokenBudget({ burst: 0, perMinute: 60, perHundredAcks: 0 }, 0);
  assert.ok(!budget.take(0));
  assert.ok(budget.take(1000));
  assert.ok(!budget.take(1000));
  assert.equal(budget.tokens(1_000_000), 1);
});

test('a clock that stands or goes back makes no tokens', () => {
  const budget = new TokenBudget({ ...usual, burst: 1 }, 1000);
  assert.ok(budget.take(1000));
  assert.ok(!budget.take(0));
  assert.ok(!budget.take(1000));
});

test('a dead downstream can move no more than burst, minutes and acknowledgements allow', () => {
  const settings = fc.record({
    burst: fc.integer({ min: 0, max: 50 }),
    perMinute: fc.integer({ min: 0, max: 120 }),
    perHundredAcks: fc.integer({ min: 0, max: 100 }),
  });
  const step = fc.oneof(
    fc.record({ take: fc.integer({ min: 1, max: 40 }) }),
    fc.record({ ack: fc.integer({ min: 1, max: 200 }) }),
    fc.record({ passMs: fc.integer({ min: 0, max: 30_000 }) }),
  );
  const property = fc.property(settings, fc.array(step, { maxLength: 60 }), (limits, steps) => {
    const budget = new TokenBudget(limits, 0);
    // The naive twin counts in hundredths of a 60,000th, so in whole numbers.
    const unit = 6_000_000;
    const most = Math.max(1, limits.burst) * unit;
    let tokens = limits.burst * unit;
    let now = 0;
    for (const one of steps) {
      if ('passMs' in one) {
        now += one.passMs;
        tokens = Math.min(most, tokens + one.passMs * limits.perMinute * 100);
      } else if ('ack' in one) {
        budget.acked(one.ack);
        tokens = Math.min(most, tokens + (one.ack * limits.perHundredAcks * unit) / 100);
      } else {
        for (let i = 0; i < one.take; i++) {
          // At the very edge a sum of floats may fall to either side.
          if (Math.abs(tokens - unit) < 10) return;
          const taken = budget.take(now);
          assert.equal(taken, tokens >= unit);
          if (taken) tokens -= unit;
        }
      }
    }
  });
  fc.assert(property, { numRuns: 500, seed });
});
