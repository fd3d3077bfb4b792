import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  formatBytes,
  formatDuration,
  parseBytes,
  parseDuration,
} from '../../../src/config/units.ts';
import { fc } from '../../support/fast-check.ts';

test('a size is bytes, or a number with a binary or decimal unit', () => {
  assert.equal(parseBytes('64MiB'), 64 * 2 ** 20);
  assert.equal(parseBytes('1.5 GiB'), 1.5 * 2 ** 30);
  assert.equal(parseBytes('2kb'), 2000);
  assert.equal(parseBytes('1_000'), 1000);
  for (const wrong of ['', 'MiB', '64 parsecs', '-1', '1e99', '0x10', '1,5GiB']) {
    assert.equal(parseBytes(wrong), undefined, wrong);
  }
});

test('a duration is milliseconds, or a number with a unit', () => {
  assert.equal(parseDuration('20s'), 20_000);
  assert.equal(parseDuration('0.5s'), 500);
  assert.equal(parseDuration('5m'), 300_000);
  assert.equal(parseDuration('7d'), 604_800_000);
  assert.equal(parseDuration('250'), 250);
  for (const wrong of ['', 's', '20 years', '-1s']) assert.equal(parseDuration(wrong), undefined);
});

test('what is written for a size or duration reads back as the same', () => {
  const seed = Number(process.env['MQPROXY_TEST_SEED'] ?? 7);
  console.log(`seed=${seed}`);
  const whole = fc.maxSafeNat();
  fc.assert(
    fc.property(whole, (n) => parseBytes(formatBytes(n)) === n),
    { seed },
  );
  fc.assert(
    fc.property(whole, (n) => parseDuration(formatDuration(n)) === n),
    { seed },
  );
  assert.equal(formatBytes(64 * 2 ** 20), '64MiB');
  assert.equal(formatDuration(300_000), '5m');
});
