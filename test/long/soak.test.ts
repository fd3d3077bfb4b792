import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { DelayCrew } from '../fault/delay-crew.ts';
import { CLOCK_AHEAD_MS, drawFault, maySendAgain } from '../fault/drawn-faults.ts';
import { FaultRun } from '../fault/fault-run.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { skipWithoutPreload } from '../support/preload.ts';
import { rssOf } from '../support/process-use.ts';
import { type ProxiedKafka, startProxiedKafka } from '../support/proxied-kafka.ts';
import { countOf, Seeded, seed } from '../support/seeded.ts';
import { uniqueTopic } from '../support/topics.ts';
import { clusterState, sendOne } from '../support/two-clusters.ts';
import { passing } from '../support/wait.ts';

// Mixed faults that leave the process alive, for `MQP_SOAK_MINUTES`: what it holds must not grow.
// With `MQP_SOAK_CLUSTERS=2` there is a backup, and messages go there and back all the time.
const clusters = countOf('MQP_SOAK_CLUSTERS', 1);
const minutes = countOf('MQP_SOAK_MINUTES', 10);
const gentle = [
  'freeze-node',
  'slow-disk',
  'io-error',
  'full-disk',
  'clock-step',
  'cut-clients',
  'bad-client-net',
  'kill-kafka',
  'freeze-kafka',
  'half-open',
  'black-hole',
  'bad-kafka-net',
  'primary-away',
  'backup-away',
  'both-away',
  'kill-backup',
  'use-backup',
];
const mib = 1024 * 1024;
/** What a run may seem to grow by, since garbage is collected when it likes. */
const growthMax = 40 * mib;
const fdsMore = 10;

interface Sample {
  readonly atMs: number;
  readonly rss: number;
}

const fdsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** By how much the samples rise from the first to the last, along their line of least squares. */
function rise(samples: readonly Sample[]): number {
  const n = samples.length;
  const meanAt = samples.reduce((sum, { atMs }) => sum + atMs, 0) / n;
  const meanRss = samples.reduce((sum, { rss }) => sum + rss, 0) / n;
  let over = 0;
  let under = 0;
  for (const { atMs, rss } of samples) {
    over += (atMs - meanAt) * (rss - meanRss);
    under += (atMs - meanAt) ** 2;
  }
  const span = (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0);
  return under === 0 ? 0 : (over / under) * span;
}

/** A second cluster has copies of its own, which this crew's checker does not know. */
async function startDelays(run: FaultRun, { broker }: ProxiedKafka): Promise<DelayCrew> {
  const server = run.proxy?.address ?? run.address;
  const delays = await DelayCrew.start({ server, readFrom: broker.address, seed });
  delays.checker.clockStepped(CLOCK_AHEAD_MS);
  return delays;
}

/** After a fault a cluster takes messages again: answers `stored` alone would not tell. */
async function untilTaken(
  run: FaultRun,
  { broker, proxy }: ProxiedKafka,
  topic: string,
  fault: string,
): Promise<void> {
  try {
    await sendOne(run.server, topic);
  } catch (error) {
    const { open, accepted, mode } = proxy;
    console.log(`after ${fault}: ${JSON.stringify({ pid: broker.pid, open, accepted, mode })}`);
    console.log(`--- log of the broker, its last lines\n${broker.log}`);
    throw error;
  }
}

test(`${minutes} minutes of mixed faults leave memory and descriptors where they were`, {
  skip: skipWithoutPreload() || skipWithoutKafka(),
}, async () => {
  const heap = { heapMaxMib: 512 };
  const kafka = await startProxiedKafka(heap);
  const backup = clusters === 2 ? await startKafka(heap) : undefined;
  const run = await FaultRun.start({
    brokers: kafka.address,
    readFrom: kafka.broker.address,
    ...(backup === undefined ? {} : { backup: { brokers: backup.address } }),
    preload: true,
    proxied: true,
    crew: { ack: 'mixed', ratePerSecond: 1_000 },
  });
  const delays = backup === undefined ? await startDelays(run, kafka) : undefined;
  const draws = new Seeded(seed);
  const topic = uniqueTopic('soak');
  const began = performance.now();
  const untilMs = minutes * 60_000;
  const samples: Sample[] = [];
  let fds = 0;
  let faults = 0;
  for (let atMs = 0; atMs < untilMs; atMs = performance.now() - began) {
    const fault = drawFault(draws, { clusters, only: gentle });
    await fault.happen({ run, random: draws, ...kafka, ...(backup && { backup }) });
    if (maySendAgain(fault.name)) delays?.checker.disturbed(Date.now());
    faults++;
    await run.crew.untilAnswered(200, 120_000);
    await untilTaken(run, kafka, topic, fault.name);
    await passing(1_000);
    // Warm by then: caches, pools and the heap have their sizes.
    if (atMs < untilMs / 3) continue;
    samples.push({ atMs, rss: rssOf(run.server.pid) });
    if (fds === 0) fds = fdsOf(run.server.pid);
  }
  const grown = rise(samples);
  const fdsAfter = fdsOf(run.server.pid);
  const { switches } = await clusterState(run.server);
  console.log(
    `faults=${faults} switches=${switches} samples=${samples.length} riseMiB=${Math.round(grown / mib)} ` +
      `rssMiB=${Math.round((samples.at(-1)?.rss ?? 0) / mib)} fds=${fds}..${fdsAfter}`,
  );
  run.clock.setOffset(0);
  (await delays?.end({ fired: 20 }))?.assertClean();
  await run.endWell({ answered: 1_000 });
  assert(grown < growthMax, `memory rises: ${grown} bytes over ${samples.length} samples`);
  assert(clusters === 1 || switches >= 2, `${switches} changes of the cluster`);
  assert(fdsAfter <= fds + clusters * fdsMore, `descriptors rise from ${fds} to ${fdsAfter}`);
});
