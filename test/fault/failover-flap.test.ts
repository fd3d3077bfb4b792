import assert from 'node:assert/strict';
import { test } from 'node:test';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { processUse, skipWithoutProc } from '../support/process-use.ts';
import { startProxiedKafka } from '../support/proxied-kafka.ts';
import { countOf, type Seeded } from '../support/seeded.ts';
import { uniqueTopic } from '../support/topics.ts';
import { clusterState, untilCluster, untilReady } from '../support/two-clusters.ts';
import { passing, until } from '../support/wait.ts';
import { FaultRun } from './fault-run.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const seconds = countOf('MQP_FLAP_SECONDS', isLong ? 600 : 60);
const skip = skipWithoutKafka() || skipWithoutProc();
/** What comes and goes with connections of its own accord. */
const DESCRIPTORS_MORE = 20;
const MIB = 1024 * 1024;
/** What waited on a cluster that was away was in memory too, and garbage is collected later. */
const RSS_MORE = 200 * MIB;
/** How long it stays away, and with us again, at least and at most, in ms. */
const SPAN_MS = { least: 1_000, most: 30_000 };

/** From the least to the most, as many of a second as of half a minute: there are several. */
function span(random: Seeded, leftMs = SPAN_MS.most): Promise<void> {
  const { least, most } = SPAN_MS;
  return passing(Math.min(least * (most / least) ** random.float(), Math.max(least, leftMs)));
}

test('a primary that comes and goes costs no message, and nothing is left of its producers', {
  skip,
}, async () => {
  const options = { heapMaxMib: 320 };
  const [first, second] = await Promise.all([startProxiedKafka(options), startKafka(options)]);
  const topics = [1, 2, 3].map(() => uniqueTopic('flap'));
  const run = await FaultRun.start({
    brokers: first.address,
    readFrom: first.broker.address,
    backup: { brokers: second.address },
    server: { args: ['--lanes', '4'] },
    crew: { topics, ack: 'mixed', ratePerSecond: isLong ? 600 : 300 },
  });
  const { server, random, crew } = run;
  await untilReady(server);
  await crew.untilAnswered(500);
  const before = processUse(server.pid);
  const endMs = performance.now() + seconds * 1000;
  let flaps = 0;
  for (; performance.now() < endMs; flaps++) {
    crew.history.event('outage');
    const [fault, heal] = random.pick([
      [() => first.broker.pause(), () => first.broker.resume()],
      [() => first.proxy.setMode('half-open'), () => first.proxy.setMode('pass')],
      [() => first.proxy.setMode('refuse'), () => first.proxy.setMode('pass')],
    ]);
    await fault();
    // The first lasts long enough for a switch, or the run would show nothing.
    if (flaps === 0) await untilCluster(server, 'a switch', ({ inUse }) => inUse === 'backup');
    else await span(random);
    await heal();
    await span(random, endMs - performance.now());
  }
  // What flaps is trusted again after twice as long as it was well before, at most.
  const settleMs = 60_000 + 2 * SPAN_MS.most;
  const isBack = async () => {
    const { inUse, elsewhere } = await clusterState(server);
    return inUse === 'primary' && elsewhere.length === 0;
  };
  await until(isBack, { timeoutMs: settleMs, what: 'the primary to be used', everyMs: 100 });
  const { switches } = await clusterState(server);
  await crew.untilAnswered(500);
  let after = processUse(server.pid);
  const isGivenBack = () => {
    after = processUse(server.pid);
    const { producers, descriptors } = after;
    return producers <= before.producers && descriptors <= before.descriptors + DESCRIPTORS_MORE;
  };
  const what = `what was held to be given back: ${JSON.stringify(before)}`;
  await until(isGivenBack, { timeoutMs: 60_000, what, everyMs: 100 }).catch((error: Error) =>
    assert.fail(`${error.message}, now ${JSON.stringify(after)}`),
  );
  const { counts } = await run.endWell({ answered: 1_000, resends: 1, events: { outage: flaps } });
  console.log(
    `seconds=${seconds} flaps=${flaps} switches=${switches} resent=${counts.resends} ` +
      `producers=${before.producers},${after.producers} ` +
      `descriptors=${before.descriptors},${after.descriptors} ` +
      `rssMiB=${Math.round(before.rss / MIB)},${Math.round(after.rss / MIB)}`,
  );
  assert.ok(after.rss - before.rss < RSS_MORE, 'memory that is not given back');
  assert.ok(switches >= 2, `${switches} switches prove nothing`);
});
