import { test } from 'node:test';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { runTrials } from '../support/two-clusters.ts';

const skip = skipWithoutKafka();

test('a primary that is killed under load is left within seconds, and used again', {
  skip,
}, async () => {
  const options = { heapMaxMib: 320 };
  const [first, second] = await Promise.all([startKafka(options), startKafka(options)]);
  await runTrials({
    label: 'kill',
    trials: 2,
    primary: first.address,
    backup: second.address,
    fault: () => first.kill(),
    heal: () => first.start(),
  });
});
