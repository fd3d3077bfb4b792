import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { coded } from '../../src/base/errors.ts';
import { percentiles, schedule } from '../../src/cli/load/delay-bench.ts';
import { cpuSecondsOf } from '../../src/cli/load/machine-load.ts';
import { delayTopic } from '../../src/delay/delay-topic.ts';
import {
  connectTo,
  type DelayBackend,
  patienceMs,
  secondsSince,
  untilPending,
  withDelayedTopic,
  withDelayNode,
} from '../delays.ts';
import { Meter } from '../meter.ts';
import type { BenchNode } from '../node.ts';
import type { Figure, Question, Side } from '../question.ts';
import { bareResult } from '../result.ts';
import type { Rig } from '../rig.ts';

/** Delayed messages that wait. */
const pending = Number(process.env['MQP_DELAYS'] ?? 10_000_000);
const size = 100;
const dayMs = 24 * 3600 * 1000;
/** They are due over so many days, from the tenth on: none fires. */
const days = 20;
/** Beside them so many a second are accepted, due so much later, and end with a tombstone each. */
const flow = { perSecond: 10_000, aheadMs: 10_000, everyMs: 50 };
const flowSeconds = Number(process.env['MQP_FLOW_SECONDS'] ?? 600);
const pages = 100;
const pollMs = 100;
const restMs = Number(process.env['MQP_REST_MS'] ?? 40_000);
/** The cleaner takes nothing that is younger than a minute. */
const cleanMs = Number(process.env['MQP_CLEAN_MS'] ?? 90_000);

const EARLY = 'mqproxy_delay_fired_early_total';
const LATE = 'mqproxy_delay_fired_late_total';

type Extra = Record<string, number>;

interface Place {
  readonly node: BenchNode;
  readonly rig: Rig;
  readonly topic: string;
  readonly backend: DelayBackend;
}

/** Records in the topic, by who has it. */
function recordsOf({ node, rig, topic, backend }: Place): Promise<number> {
  return backend === 'kafka' ? rig.records(topic) : node.records(topic);
}

/** Schedules them all; how many a second were answered. */
async function scheduleAll({ node, topic }: Place): Promise<number> {
  const client = await connectTo(node);
  const began = performance.now();
  const firstDueMs = Date.now() + 10 * dayMs;
  await schedule(
    client,
    { topic, count: pending, size },
    (i) => firstDueMs + Math.floor((i * days * dayMs) / pending),
  );
  const rate = pending / secondsSince(began);
  await client.close();
  return rate;
}

/** The 99th percentile of the first page of `delay list`, in ms. */
async function firstPageP99({ node, topic }: Place): Promise<number> {
  const client = await connectTo(node);
  const times: number[] = [];
  for (let i = 0; i < pages; i++) {
    const began = performance.now();
    await client.delayed.list({ topic, limit: 100 });
    times.push(performance.now() - began);
  }
  await client.close();
  return percentiles(times).p99;
}

/** A message that becomes due while the node is down; from the start until it is in its topic. */
async function restartToFirstFire(place: Place): Promise<number> {
  const { node, topic } = place;
  const client = await connectTo(node);
  await client.produce(topic, { value: 'first', delayMs: 1_000 });
  await client.close();
  const before = await recordsOf(place);
  await node.stop('SIGKILL');
  await pause(1_500);
  const began = performance.now();
  await node.start();
  while ((await recordsOf(place)) === before) {
    if (performance.now() - began > patienceMs) throw coded('BENCH_FAILED', 'nothing fires');
    await pause(pollMs);
  }
  return secondsSince(began);
}

/** Accepts at an even pace, whatever fires meanwhile; how many there were. */
async function acceptEvenly({ node, topic }: Place): Promise<number> {
  const client = await connectTo(node);
  const count = Math.floor(flow.perSecond * flowSeconds);
  const firstDueMs = Date.now() + flow.aheadMs;
  const began = performance.now();
  let sent = 0;
  while (sent < count) {
    await pause(flow.everyMs);
    const wanted = Math.min(count, Math.floor(secondsSince(began) * flow.perSecond));
    const from = sent;
    await schedule(
      client,
      { topic, count: wanted - from, size },
      (i) => firstDueMs + Math.floor(((from + i) * 1000) / flow.perSecond),
    );
    sent = wanted;
  }
  await client.close();
  return count;
}

/** The log of delayed messages on the broker's disk, at its largest until `end` is called. */
function watchLog(rig: Rig): { readonly maxBytes: number; end(): void } {
  let maxBytes = rig.logBytes(delayTopic);
  const look = (): void => {
    maxBytes = Math.max(maxBytes, rig.logBytes(delayTopic));
  };
  const timer = setInterval(look, 1_000);
  return {
    get maxBytes() {
      return maxBytes;
    },
    end: () => clearInterval(timer),
  };
}

/** A tombstone for each that fires, over the keys that stay: what that costs node and broker. */
async function flowThrough(place: Place): Promise<Extra> {
  const { node, rig } = place;
  const logBefore = rig.logBytes(delayTopic);
  const [earlyBefore, lateBefore] = [await node.metric(EARLY), await node.metric(LATE)];
  const firedBefore = await recordsOf(place);
  const cpu = { kafka: cpuSecondsOf(rig.kafkaPid) ?? 0, node: cpuSecondsOf(node.pid) ?? 0 };
  const log = watchLog(rig);
  const began = performance.now();
  try {
    const count = await acceptEvenly(place);
    await pause(flow.aheadMs);
    while ((await recordsOf(place)) < firedBefore + count) {
      if (secondsSince(began) * 1000 > flowSeconds * 1000 + patienceMs) {
        throw coded('BENCH_FAILED', 'not all fire');
      }
      await pause(pollMs);
    }
    const seconds = secondsSince(began);
    const cores = {
      kafkaCores: ((cpuSecondsOf(rig.kafkaPid) ?? 0) - cpu.kafka) / seconds,
      nodeCores: ((cpuSecondsOf(node.pid) ?? 0) - cpu.node) / seconds,
    };
    const settledSeconds = await untilPending(node, pending);
    const rssFlowMiB = (await node.status()).rssBytes / 2 ** 20;
    await pause(cleanMs);
    return {
      firedPerSecond: count / (seconds - flow.aheadMs / 1000),
      settledSeconds,
      early: (await node.metric(EARLY)) - earlyBefore,
      overASecondLate: (await node.metric(LATE)) - lateBefore,
      ...cores,
      rssFlowMiB,
      logMiBBefore: logBefore / 2 ** 20,
      logMiBMax: log.maxBytes / 2 ** 20,
      logMiBAfter: rig.logBytes(delayTopic) / 2 ** 20,
    };
  } finally {
    log.end();
  }
}

/** Makes the index anew from the log; the seconds that took. */
async function rebuild({ node }: Place): Promise<number> {
  await node.stop('SIGTERM');
  rmSync(join(node.dataDir, 'delay'), { recursive: true });
  await node.start();
  return untilPending(node, pending);
}

/** The same after the flow: the log has been cleaned meanwhile, and has tombstones in it. */
async function replay(place: Place): Promise<Extra> {
  const logMiB = place.rig.logBytes(delayTopic) / 2 ** 20;
  const seconds = await rebuild(place);
  return {
    replaySeconds: seconds,
    replayedPerSecond: pending / seconds,
    replayMiBPerSecond: logMiB / seconds,
  };
}

const say = (what: string, value: number): void => {
  process.stderr.write(`    ${what} ${Math.round(value * 10) / 10}\n`);
};

async function createTopic(node: BenchNode, topic: string): Promise<void> {
  const client = await connectTo(node);
  await client.createTopic(topic);
  await client.close();
}

async function measured(place: Place): Promise<Extra> {
  const { node } = place;
  const acceptedPerSecond = await scheduleAll(place);
  say('accepted a second', acceptedPerSecond);
  say('seconds more until all are in the index', await untilPending(node, pending));
  // What was freed is given back within half a minute.
  await pause(restMs);
  const rssMiB = (await node.status()).rssBytes / 2 ** 20;
  say('MiB of the node', rssMiB);
  const pageP99 = await firstPageP99(place);
  const firstFireSeconds = await restartToFirstFire(place);
  say('seconds from a start to the first fire', firstFireSeconds);
  await untilPending(node, pending);
  await pause(restMs);
  const rssRestartedMiB = (await node.status()).rssBytes / 2 ** 20;
  const rebuildSeconds = await rebuild(place);
  say('seconds to make a lost index anew', rebuildSeconds);
  return {
    acceptedPerSecond,
    rssMiB,
    rssRestartedMiB,
    pageP99,
    firstFireSeconds,
    rebuiltPerSecond: pending / rebuildSeconds,
    ...(await flowThrough(place)),
    ...(await replay(place)),
  };
}

function side(backend: DelayBackend): Side {
  return {
    name: backend,
    run: (rig) =>
      withDelayedTopic(rig, backend, (topic) =>
        withDelayNode(rig, backend, async (node) => {
          if (backend === 'embedded') await createTopic(node, topic);
          const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
          const extra = await measured({ node, rig, topic, backend });
          return bareResult(extra, meter.stealPercent);
        }),
      ),
  };
}

const shared = { pairsMax: 1, onlyByName: true } as const;
const what = `${pending} pending delayed messages of ${size} B`;

const figuresOf = (of: DelayBackend): Figure[] => [
  { measure: 'acceptedPerSecond', of },
  { measure: 'rssMiB', of, atMost: 600 },
  { measure: 'rssRestartedMiB', of, atMost: 600 },
  { measure: 'pageP99', of, atMost: 100 },
  { measure: 'firstFireSeconds', of, atMost: 10 },
  { measure: 'rebuiltPerSecond', of },
  { measure: 'firedPerSecond', of, atLeast: 9_500 },
  { measure: 'early', of, atMost: 0 },
  { measure: 'overASecondLate', of },
  { measure: 'rssFlowMiB', of, atMost: 600 },
  { measure: 'nodeCores', of },
  { measure: 'replayedPerSecond', of },
];

export const delayPending: Question = {
  ...shared,
  name: 'delay-pending',
  title: `${what}: memory, restart, rebuild, tombstones, replay`,
  sides: [side('kafka')],
  figures: [
    ...figuresOf('kafka'),
    { measure: 'kafkaCores', of: 'kafka' },
    { measure: 'logMiBMax', of: 'kafka' },
    { measure: 'logMiBAfter', of: 'kafka' },
    { measure: 'replayMiBPerSecond', of: 'kafka' },
  ],
};

export const delayPendingEmbedded: Question = {
  ...shared,
  name: 'delay-pending-embedded',
  title: `${what} on the embedded log: memory, restart, rebuild`,
  sides: [side('embedded')],
  figures: figuresOf('embedded'),
};
