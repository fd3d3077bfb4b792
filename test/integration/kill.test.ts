import assert from 'node:assert';
import { test } from 'node:test';
import { FaultRun } from '../fault/fault-run.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { countOf } from '../support/seeded.ts';

// Of each layout of lanes: of those of a backend in sum 8 or more, and 50 in the long lane.
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const cyclesOf = {
  embedded: countOf('MQP_KILL_CYCLES', isLong ? 36 : 4),
  kafka: countOf('MQP_KILL_CYCLES', isLong ? 36 : 3),
};
const enough = (cycles: number) => ({ answered: 100 * cycles, events: { kill: cycles } });

for (const host of ['worker', 'inline']) {
  const title = `every message answered over kill -9 is in the embedded log once, ${host}`;
  test(title, async () => {
    const run = await FaultRun.start({ server: { args: ['--lane.host', host] } });
    for (let cycle = 0; cycle < cyclesOf.embedded; cycle++) await run.kill();
    const { counts } = await run.endWell(enough(cyclesOf.embedded));
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
    const crew = { ack: 'mixed' } as const;
    const run = await FaultRun.start({ brokers, server: { args }, crew, everyLane: true });
    for (let cycle = 0; cycle < cyclesOf.kafka; cycle++) await run.kill();
    await run.endWell({ ...enough(cyclesOf.kafka), resends: 1 });
    assert.deepEqual([...run.crew.failures], []);
  });
}
