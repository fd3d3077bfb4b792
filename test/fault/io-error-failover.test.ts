import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { laneStates, metric } from '../support/node-state.ts';
import { DiskFaults, preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { startProxiedKafka } from '../support/proxied-kafka.ts';
import { runCli } from '../support/run-cli.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import {
  addressOf,
  checkBoth,
  sendOne,
  startBetween,
  untilCluster,
  untilReady,
} from '../support/two-clusters.ts';
import { until } from '../support/wait.ts';

// What a lane has on its way outlives the opening of its store: its reports came to the lane as it
// was opened again, whose count of what is out then never came to nothing, and the lane stayed.
test('a lane that opened its store again while its cluster was away follows to the other one', {
  skip: skipWithoutKafka() || skipWithoutPreload(),
}, async () => {
  const options = { heapMaxMib: 320 };
  const [first, second] = await Promise.all([startProxiedKafka(options), startKafka(options)]);
  const clusters = { primary: first.address, backup: second.address };
  const dataDir = tempDir('mqproxy-data-');
  const disk = new DiskFaults(tempDir());
  const env = preloadEnv({ pathPrefix: dataDir, faults: disk.file });
  // A partition whose leader has confirmed something takes several at once, of either life.
  const args = ['--lanes', '1', '--topics.partitions', '1'];
  const server = await startBetween(clusters, { dataDir, env, args });
  const use = async (which: string): Promise<void> => {
    const { code, stderr } = await runCli(['cluster', 'use', which, '--server', addressOf(server)]);
    assert.equal(code, 0, stderr);
  };
  const untilOut = () =>
    until(async () => (await metric(server, 'mqproxy_backend_in_flight_messages')) > 0, {
      what: 'messages on their way',
    });
  await untilReady(server);
  const topics = [uniqueTopic('left'), uniqueTopic('left')];
  for (const topic of topics) await sendOne(server, topic);
  await use('primary');
  await first.proxy.setMode('blackhole');
  const work = { topics, clients: 2, window: 8, ratePerSecond: 200 };
  const crew = await ProducerCrew.start({ server: addressOf(server), ...work });
  await untilOut();
  disk.set({ on: 'sync', does: 'EIO', path: 'lanes/0/' });
  const isBack = async () => {
    const [lane] = await laneStates(server);
    return lane?.state === 'serving' && lane.storeFailures > 0;
  };
  await until(isBack, { what: 'the store to be open again' });
  await untilOut();
  await use('backup');
  await untilCluster(server, 'the backup to be used', ({ inUse }) => inUse === 'backup');
  assert.equal((await sendOne(server, topics[0] ?? '')).cluster, 'backup');
  await first.proxy.setMode('pass');
  await crew.stop();
  const { onBackup } = await checkBoth(crew, server, clusters, topics);
  assert.ok(onBackup > 0);
});
