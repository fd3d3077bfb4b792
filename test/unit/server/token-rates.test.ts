import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../../src/base/clock.ts';
import { TokenRates } from '../../../src/server/token-rates.ts';

function fakeClock(): Clock & { ms: number } {
  const clock = {
    ms: 0,
    now: () => clock.ms,
    monotonic: () => clock.ms,
    setTimer: () => ({ cancel: () => undefined }),
  };
  return clock;
}

test('a token without limits never waits', () => {
  const limits = { messagesPerSecond: undefined, bytesPerSecond: undefined };
  const rates = new TokenRates(fakeClock(), limits);
  assert.equal(rates.take('a', 1e9, 1e12), 0);
});

test('a second of messages goes at once, and what is above it is paid for by waiting', () => {
  const clock = fakeClock();
  const rates = new TokenRates(clock, { messagesPerSecond: 100, bytesPerSecond: undefined });
  assert.equal(rates.take('a', 100, 1), 0);
  assert.equal(rates.take('a', 50, 1), 500);
  clock.ms = 500;
  assert.equal(rates.take('a', 10, 1), 100);
});

test('over a long time a sender that waits as told gets its rate and no more', () => {
  const clock = fakeClock();
  const rates = new TokenRates(clock, { messagesPerSecond: undefined, bytesPerSecond: 1000 });
  let bytes = 0;
  while (clock.ms < 60_000) {
    clock.ms += rates.take('a', 1, 700);
    bytes += 700;
  }
  assert(Math.abs(bytes - 61_000) < 2_000, `${bytes} bytes in a minute`);
});

test('tokens do not pay for each other', () => {
  const rates = new TokenRates(fakeClock(), { messagesPerSecond: 10, bytesPerSecond: undefined });
  assert(rates.take('a', 1000, 1) > 0);
  assert.equal(rates.take('b', 10, 1), 0);
});
