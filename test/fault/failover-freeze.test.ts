import { test } from 'node:test';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { runTrials } from '../support/two-clusters.ts';

const skip = skipWithoutKafka();

test('a primary that freezes under load is left within seconds, and used again', {
  skip,
}, async () => {
  const options = { heapMaxMib: 320 };
  const [first, second] = await Promise.all([startKafka(options), startKafka(options)]);
  await runTrials({
    label: 'freeze',
    trials: 3,
    primary: first.address,
    backup: second.address,
    fault: () => first.pause(),
    heal: () => first.resume(),
  });
});
