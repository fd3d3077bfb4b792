import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { skipWithoutPreload } from '../support/preload.ts';
import { passing } from '../support/wait.ts';
import { FaultRun } from './fault-run.ts';

const hourMs = 3_600_000;

test('steps of the wall clock by an hour lose nothing and stop nothing', {
  skip: skipWithoutPreload(),
}, async () => {
  const run = await FaultRun.start({ preload: true });
  for (const offsetMs of [hourMs, -hourMs, 0]) {
    run.clock.setOffset(offsetMs);
    run.crew.history.event('clock');
    await run.crew.untilAnswered(200);
  }
  run.clock.setOffset(-hourMs);
  await run.kill();
  await run.endWell({ answered: 600, events: { clock: 3, kill: 1 } });
  assert.deepEqual([...run.crew.failures], []);
});

test('what Kafka refuses for a clock that is hours ahead arrives when it is right again', {
  skip: skipWithoutPreload() || skipWithoutKafka(),
}, async () => {
  const run = await FaultRun.start({ preload: true, brokers: await sharedKafka() });
  // Kafka takes no message that claims to be from more than an hour ahead.
  run.clock.setOffset(5 * hourMs);
  run.crew.history.event('clock');
  await run.crew.untilAnswered(200);
  await passing(1_000);
  run.clock.setOffset(0);
  run.crew.history.event('clock');
  await run.crew.untilAnswered(200);
  await run.endWell({ answered: 400, events: { clock: 2 } });
  assert.deepEqual([...run.crew.failures], []);
});
