import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sharedKafka, skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { preloadEnv, skipWithoutPreload } from '../support/preload.ts';
import { countOf } from '../support/seeded.ts';
import { untilReady } from '../support/two-clusters.ts';
import { within } from '../support/wait.ts';
import { FaultRun } from './fault-run.ts';
import { killPointEnv, nativePoints, renewPoints } from './kill-points.ts';

// `npm test` draws two of the points, the larger counts hit each of them three times.
const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const rounds = countOf('MQP_KILL_POINT_ROUNDS', isLong ? 3 : 1);
const drawn = isLong ? nativePoints.length : 2;
const skip = skipWithoutPreload() || skipWithoutKafka();
const onlyLong = isLong ? false : 'with MQPROXY_TEST_SCALE=long';

/** Brings the node up with a point at which it dies. */
async function arm(run: FaultRun, name: string, passing: number): Promise<void> {
  await run.server.kill('SIGKILL');
  run.server.spawn([], { ...preloadEnv({}), ...killPointEnv({ name }, passing) });
}

async function dies(run: FaultRun, name: string): Promise<void> {
  const { signal, code } = await within(run.server.exited, 60_000, `${name} to be reached`);
  assert.equal(signal, 'SIGKILL', `${name}: the node ended by itself with ${code}`);
}

test('a node that dies between two native calls loses nothing that it answered', {
  skip,
}, async () => {
  const run = await FaultRun.start({ brokers: await sharedKafka(), crew: { ack: 'mixed' } });
  let hits = 0;
  for (let round = 0; round < rounds; round++) {
    for (const name of run.random.shuffle(nativePoints).slice(0, drawn)) {
      await arm(run, name, 1 + run.random.below(100));
      await dies(run, name);
      await run.back('kill');
      hits++;
    }
  }
  console.log(`points=${drawn} of ${nativePoints.length} hits=${hits}`);
  await run.endWell({ answered: 100 * hits, events: { kill: hits } });
});

test('a node that dies while it gives a producer up loses nothing that it answered', {
  skip: skip || onlyLong,
}, async () => {
  const options = { heapMaxMib: 320 };
  const [first, second] = await Promise.all([startKafka(options), startKafka(options)]);
  const backup = { brokers: second.address };
  const run = await FaultRun.start({ brokers: first.address, backup, crew: { ack: 'mixed' } });
  for (let round = 0; round < rounds; round++) {
    for (const name of renewPoints) {
      await untilReady(run.server);
      await arm(run, name, 1);
      await run.crew.untilAnswered(200);
      run.crew.history.event('outage');
      first.pause();
      await dies(run, name);
      first.resume();
      await run.back('kill');
    }
  }
  const hits = rounds * renewPoints.length;
  console.log(`points=${renewPoints.length} hits=${hits}`);
  await run.endWell({ answered: 100 * hits, events: { kill: hits, outage: hits } });
});
