import assert from 'node:assert';
import { test } from 'node:test';
import { FaultRun } from '../fault/fault-run.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';

// Of each layout of lanes.
const scale = process.env['MQPROXY_TEST_SCALE'] === 'long' ? 36 : 3;
const cycles = Number(process.env['MQP_KILL_CYCLES'] ?? scale);
const enough = { answered: 100 * cycles, events: { kill: cycles } };

for (const host of ['worker', 'inline']) {
  const title = `every message answered over kill -9 is in the embedded log once, ${host}`;
  test(title, async () => {
    const run = await FaultRun.start({ server: { args: ['--lane.host', host] } });
    for (let cycle = 0; cycle < cycles; cycle++) await run.kill();
    const { counts } = await run.endWell(enough);
    assert.deepEqual([counts.duplicates, counts.resends], [0, 0]);
    assert.deepEqual([...run.crew.failures], []);
  });
}

for (const [lanes, host] of [
  ['1', 'worker'],
  ['1', 'inline'],
  ['4', 'worker'],
  ['4', 'inline'],
] as const) {
  const title = `every message answered over kill -9 is in Kafka, with ${lanes} ${host} lane(s)`;
  test(title, { skip: skipWithoutKafka() }, async () => {
    const brokers = await sharedKafka();
    const args = ['--lanes', lanes, '--lane.host', host];
    const run = await FaultRun.start({ brokers, server: { args }, crew: { ack: 'mixed' } });
    for (let cycle = 0; cycle < cycles; cycle++) await run.kill();
    await run.endWell({ ...enough, resends: 1 });
    assert.deepEqual([...run.crew.failures], []);
  });
}
