import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { SendPlan } from '../../src/lanes/lane-calls.ts';
import { ForwarderBench, settle } from '../unit/produce/support.ts';

const well: SendPlan = { main: 0, isOpen: [false, false], elsewhere: [] };
const onBackup: SendPlan = { main: 1, isOpen: [true, false], elsewhere: [] };

// A node with a backup makes its plan while it starts. It set the walk over the backlog going,
// before the topics were told and before what passed was noted in resends.jsonl: after a kill,
// messages were in Kafka twice without a word.
test('a plan that comes before the start sends nothing of a former run, and each is noted after it', async () => {
  const bench = new ForwarderBench(({ store }) => {
    for (let i = 0; i < 3; i++) store.append([1]);
  }).know(1);
  for (const plan of [well, onBackup]) {
    bench.forwarder.setPlan(plan);
    await settle();
  }
  bench.producer.ready(1);
  await settle();
  assert.deepEqual([bench.producer.waiting, bench.backup.waiting], [[], []]);
  bench.forwarder.start();
  await settle();
  await bench.drain();
  assert.deepEqual(bench.backupLog.topics.get(1), [1, 2, 3]);
  assert.deepEqual(bench.resends, ['start 1', 'start 2', 'start 3']);
});
