import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { startProxiedKafka } from '../support/proxied-kafka.ts';
import { countOf } from '../support/seeded.ts';
import { runTrials } from '../support/two-clusters.ts';
import { drawnLayout } from './layout.ts';

const skip = skipWithoutKafka();
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
// Of each kind.
const trials = countOf('MQP_FAILOVER_TRIALS', isLong ? 20 : 5);
const ratePerSecond = isLong ? 1_000 : 400;
// All lanes follow one plan, however many there are.
const server = { args: drawnLayout() };
const options = { heapMaxMib: 320 };
const [first, second] =
  skip === false ? await Promise.all([startProxiedKafka(options), startKafka(options)]) : [];
const clusters = { primary: first?.address ?? '', backup: second?.address ?? '' };

test('a primary that freezes under load is left within seconds, and used again', {
  skip,
}, async () => {
  assert(first !== undefined);
  const { broker } = first;
  await runTrials({
    ...clusters,
    label: 'freeze',
    trials,
    ratePerSecond,
    server,
    fault: () => broker.pause(),
    heal: () => broker.resume(),
  });
});

test('a primary that is killed under load is left within seconds, and used again', {
  skip,
}, async () => {
  assert(first !== undefined);
  const { broker } = first;
  await runTrials({
    ...clusters,
    label: 'kill',
    trials,
    ratePerSecond,
    server,
    fault: () => broker.kill(),
    heal: () => broker.start(),
  });
});

test('a primary behind half-open connections is left within seconds, and used again', {
  skip,
}, async () => {
  assert(first !== undefined);
  const { proxy } = first;
  await runTrials({
    ...clusters,
    label: 'half-open',
    trials,
    ratePerSecond,
    server,
    fault: () => proxy.setMode('half-open'),
    heal: () => proxy.setMode('pass'),
  });
});
