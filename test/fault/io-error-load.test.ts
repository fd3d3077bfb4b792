import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { skipWithoutPreload } from '../support/preload.ts';
import { countOf } from '../support/seeded.ts';
import { until } from '../support/wait.ts';
import { FaultRun } from './fault-run.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const cycles = countOf('MQP_IO_ERRORS', isLong ? 30 : 2);

/** One sync of the store fails under load; a kill then makes the next one a first one again. */
test('failed syncs under load cost nothing that was answered, and no lane', {
  skip: skipWithoutPreload() || skipWithoutKafka(),
}, async () => {
  const crew = { ack: 'mixed', ratePerSecond: 2_000 } as const;
  const run = await FaultRun.start({ brokers: await sharedKafka(), preload: true, crew });
  const recovered = () => run.server.stderr().match(/was opened again/g)?.length ?? 0;
  for (let cycle = 0; cycle < cycles; cycle++) {
    const before = recovered();
    run.crew.history.event('disk');
    run.disk.set({ on: 'sync', from: 1 + run.random.below(20), does: 'EIO', path: '/store/' });
    const done = () => recovered() > before || /out of service/.test(run.server.stderr());
    await until(done, { timeoutMs: 60_000, what: 'the lane to come back' });
    run.disk.clear();
    assert.doesNotMatch(run.server.stderr(), /out of service/);
    await run.crew.untilAnswered(50);
    await run.kill();
  }
  await run.endWell({ events: { disk: cycles, kill: cycles } });
});
