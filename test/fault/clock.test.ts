import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { metric } from '../support/node-state.ts';
import { skipWithoutPreload } from '../support/preload.ts';
import { until } from '../support/wait.ts';
import { FaultRun } from './fault-run.ts';

const hourMs = 3_600_000;

for (const backend of ['embedded', 'kafka'] as const) {
  test(`steps of the wall clock by an hour lose nothing and stop nothing, backend=${backend}`, {
    skip: skipWithoutPreload() || (backend === 'kafka' && skipWithoutKafka()),
  }, async () => {
    const kafka = backend === 'kafka' ? { brokers: await sharedKafka() } : {};
    const run = await FaultRun.start({ preload: true, ...kafka });
    const confirmed = () => metric(run.server, 'mqproxy_messages_confirmed_total');
    for (const offsetMs of [hourMs, -hourMs, 0]) {
      run.clock.setOffset(offsetMs);
      run.crew.history.event('clock');
      const before = await confirmed();
      await run.crew.untilAnswered(200);
      await until(async () => (await confirmed()) > before + 100, { what: 'more to be delivered' });
    }
    run.clock.setOffset(-hourMs);
    await run.kill();
    await run.endWell({ answered: 600, events: { clock: 3, kill: 1 } });
    assert.deepEqual([...run.crew.failures], []);
  });
}

test('what Kafka refuses for a clock that is hours ahead arrives when it is right again', {
  skip: skipWithoutPreload() || skipWithoutKafka(),
}, async () => {
  const run = await FaultRun.start({ preload: true, brokers: await sharedKafka() });
  // Kafka takes no message that claims to be from more than an hour ahead.
  run.clock.setOffset(5 * hourMs);
  run.crew.history.event('clock');
  await run.crew.untilAnswered(200);
  const refusals = (): number => {
    run.ledger.update(run.server.dataDir);
    return run.ledger.causes.get('INVALID_TIMESTAMP') ?? 0;
  };
  await until(() => refusals() > 0, { what: 'Kafka to refuse for the clock' });
  const confirmed = () => metric(run.server, 'mqproxy_messages_confirmed_total');
  const before = await confirmed();
  await run.crew.untilAnswered(200);
  assert.equal(await confirmed(), before, 'nothing is taken with such a time');
  run.clock.setOffset(0);
  run.crew.history.event('clock');
  await run.crew.untilAnswered(200);
  const { counts } = await run.endWell({ answered: 600, resends: 1, events: { clock: 2 } });
  assert.deepEqual([...run.crew.failures], []);
  console.log(`refusedForTheClock=${refusals()} delivered=${counts.delivered}`);
});
