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
  pendingOf,
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
/** This share becomes due one after the other, so many a second, from so long after the start. */
const dueShare = Number(process.env['MQP_DUE_SHARE'] ?? 0.6);
const soon = Math.floor(pending * dueShare);
const duePerSecond = 10_000;
/** The others are due over so many days, from the tenth on. */
const days = 20;
const dueAfterMs = Number(process.env['MQP_DUE_AFTER_MS'] ?? 400_000);
const pages = 100;
const pollMs = 100;
const restMs = Number(process.env['MQP_REST_MS'] ?? 40_000);
/** The cleaner takes nothing that is younger than a minute. */
const cleanMs = Number(process.env['MQP_CLEAN_MS'] ?? 90_000);

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
async function scheduleAll({ node, topic }: Place, firstDueMs: number): Promise<number> {
  const client = await connectTo(node);
  const began = performance.now();
  await schedule(client, { topic, count: pending, size }, (i) =>
    i < soon
      ? firstDueMs + Math.floor((i * 1000) / duePerSecond)
      : firstDueMs + 10 * dayMs + Math.floor((i * days * dayMs) / pending),
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

/** Those that become due fire and are ended by tombstones: what that costs node and broker. */
async function fireSome({ node, rig }: Place, firstDueMs: number): Promise<Extra> {
  await pause(Math.max(0, firstDueMs - Date.now()));
  const logBefore = rig.logBytes(delayTopic);
  const cpu = { kafka: cpuSecondsOf(rig.kafkaPid) ?? 0, node: cpuSecondsOf(node.pid) ?? 0 };
  const began = performance.now();
  const left = pending - soon;
  const mostMs = (soon * 1000) / duePerSecond + patienceMs;
  let logMax = logBefore;
  while ((await pendingOf(node)) > left) {
    if (performance.now() - began > mostMs) throw coded('BENCH_FAILED', 'not all fire');
    logMax = Math.max(logMax, rig.logBytes(delayTopic));
    await pause(1_000);
  }
  const seconds = secondsSince(began);
  const cores = {
    kafkaCores: ((cpuSecondsOf(rig.kafkaPid) ?? 0) - cpu.kafka) / seconds,
    nodeCores: ((cpuSecondsOf(node.pid) ?? 0) - cpu.node) / seconds,
  };
  await pause(cleanMs);
  return {
    firedPerSecond: (pending - left) / seconds,
    ...cores,
    logMiBBefore: logBefore / 2 ** 20,
    logMiBMax: Math.max(logMax, rig.logBytes(delayTopic)) / 2 ** 20,
    logMiBAfter: rig.logBytes(delayTopic) / 2 ** 20,
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
  const firstDueMs = Date.now() + dueAfterMs;
  const acceptedPerSecond = await scheduleAll(place, firstDueMs);
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
  await node.stop('SIGTERM');
  rmSync(join(node.dataDir, 'delay'), { recursive: true });
  await node.start();
  const rebuildSeconds = await untilPending(node, pending);
  say('seconds to make a lost index anew', rebuildSeconds);
  return {
    acceptedPerSecond,
    rssMiB,
    rssRestartedMiB,
    pageP99,
    firstFireSeconds,
    rebuiltPerSecond: pending / rebuildSeconds,
    ...(await fireSome(place, firstDueMs)),
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
  { measure: 'firedPerSecond', of },
  { measure: 'nodeCores', of },
];

export const delayPending: Question = {
  ...shared,
  name: 'delay-pending',
  title: `${what}: memory, restart, rebuild, tombstones`,
  sides: [side('kafka')],
  figures: [
    ...figuresOf('kafka'),
    { measure: 'kafkaCores', of: 'kafka' },
    { measure: 'logMiBMax', of: 'kafka' },
    { measure: 'logMiBAfter', of: 'kafka' },
  ],
};

export const delayPendingEmbedded: Question = {
  ...shared,
  name: 'delay-pending-embedded',
  title: `${what} on the embedded log: memory, restart, rebuild`,
  sides: [side('embedded')],
  figures: figuresOf('embedded'),
};
