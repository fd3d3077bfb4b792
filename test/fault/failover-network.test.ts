import { test } from 'node:test';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { startProxiedKafka } from '../support/proxied-kafka.ts';
import { runTrials } from '../support/two-clusters.ts';

const skip = skipWithoutKafka();

test('a primary behind half-open connections is left within seconds, and used again', {
  skip,
}, async () => {
  const options = { heapMaxMib: 320 };
  const [first, second] = await Promise.all([startProxiedKafka(options), startKafka(options)]);
  await runTrials({
    label: 'half-open',
    trials: 2,
    primary: first.address,
    backup: second.address,
    fault: () => first.proxy.setMode('half-open'),
    heal: () => first.proxy.setMode('pass'),
  });
});
