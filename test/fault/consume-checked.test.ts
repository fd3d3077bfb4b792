import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { countOf, seed } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { ConsumeRun, consumeArgs } from './consume-run.ts';
import { FaultRun } from './fault-run.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const KILLS = countOf('MQP_CHECKED_KILLS', isLong ? 20 : 2);
const crew = { clients: 2, window: 8, ratePerSecond: 200 };

/** Kills, each behind some work; the last one leaves work too. */
async function killed(run: FaultRun, consuming: ConsumeRun): Promise<void> {
  consuming.disturb(500);
  run.onKill = () => consuming.killed(run.server);
  for (let kill = 0; kill < KILLS; kill++) {
    await consuming.untilAcked();
    await run.kill();
  }
  await consuming.untilAcked();
}

test('consumers that die and freeze, and a node that is killed, never make two leases of a message count', async () => {
  const run = await FaultRun.start({ crew, server: { args: [...consumeArgs] } });
  const consuming = new ConsumeRun({ topics: run.topics, nodes: [run.server], seed });
  await killed(run, consuming);
  await run.endWell({ events: { kill: KILLS } });
  await consuming.endWell({ acked: 300, kills: KILLS, again: 10, letters: 1 });
});

test('the same with a second node that takes over from the one that is killed, on Kafka', {
  skip: skipWithoutKafka(),
}, async () => {
  const brokers = await sharedKafka();
  const other = await startServer({
    backend: 'kafka',
    kafkaBrokers: brokers,
    args: [...consumeArgs],
  });
  const run = await FaultRun.start({ brokers, crew, server: { args: [...consumeArgs] } });
  const nodes = [other, run.server];
  const consuming = new ConsumeRun({ topics: run.topics, nodes, brokers: [brokers], seed });
  await killed(run, consuming);
  await run.endWell({ events: { kill: KILLS } });
  await consuming.endWell({ acked: 300, kills: KILLS, again: 10, letters: 1 });
});
