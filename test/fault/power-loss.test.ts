import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { skipWithoutPreload } from '../support/preload.ts';
import { countOf } from '../support/seeded.ts';
import { FaultRun } from './fault-run.ts';
import { layoutsToRun } from './layout.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const cycles = countOf('MQP_POWER_CYCLES', isLong ? 50 : 4);
/** Losses that took something of a file. */
const cutMin = cycles / 3;
const enough = { answered: 100 * cycles, events: { power: cycles } };

async function losePower(run: FaultRun): Promise<void> {
  // A loss that finds everything synced, or is drawn to spare what is not, shows nothing: of these
  // there are as many more as it takes, few on a slow disk and many on a quick one.
  const isLittle = (): boolean => run.taken.cut < cutMin;
  for (let cycle = 0; cycle < cycles || (isLittle() && cycle < 10 * cycles); cycle++) {
    await run.losePower();
  }
  const { cut, cutBytes, names } = run.taken;
  console.log(`files=${cut} bytes=${cutBytes} names=${names}`);
  assert(!isLittle(), 'the losses took next to nothing');
}

test('what was answered over losses of power is in the embedded log exactly once', {
  skip: skipWithoutPreload(),
}, async () => {
  const run = await FaultRun.start({ preload: true });
  await losePower(run);
  const { counts } = await run.endWell(enough);
  assert.equal(counts.duplicates, 0);
  assert.deepEqual([...run.crew.failures], []);
});

for (const args of layoutsToRun(isLong)) {
  test(`what was answered over losses of power is in Kafka, ${args.join(' ')}`, {
    skip: skipWithoutPreload() || skipWithoutKafka(),
  }, async () => {
    const brokers = await sharedKafka();
    const node = { preload: true, brokers, server: { args }, everyLane: true };
    const run = await FaultRun.start(node);
    await losePower(run);
    await run.endWell(enough);
    assert.deepEqual([...run.crew.failures], []);
  });
}
