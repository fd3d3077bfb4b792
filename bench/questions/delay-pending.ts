import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { coded } from '../../src/base/errors.ts';
import { percentiles, schedule } from '../../src/cli/load/delay-bench.ts';
import { cpuSecondsOf } from '../../src/cli/load/machine-load.ts';
import { delayTopic } from '../../src/delay/delay-topic.ts';
import { Meter } from '../meter.ts';
import { type BenchNode, withNode } from '../node.ts';
import type { Question } from '../question.ts';
import { bareResult } from '../result.ts';
import type { Rig } from '../rig.ts';

/** Delayed messages that wait. */
const pending = Number(process.env['MQP_DELAYS'] ?? 10_000_000);
const size = 100;
const dayMs = 24 * 3600 * 1000;
/** Four in ten are due over so many days, from the tenth on. */
const days = 20;
/** The others become due one after the other, so many a second, from so long after the start. */
const dueShare = 0.6;
const duePerSecond = 10_000;
const dueAfterMs = Number(process.env['MQP_DUE_AFTER_MS'] ?? 400_000);
const pages = 100;
const pollMs = 100;
const restMs = 40_000;
const patienceMs = 15 * 60_000;

type Extra = Record<string, number>;

interface Place {
  readonly node: BenchNode;
  readonly rig: Rig;
  readonly topic: string;
}

const secondsSince = (began: number): number => (performance.now() - began) / 1000;

async function connect(node: BenchNode): Promise<MqpClient> {
  return MqpClient.connect({ servers: [node.address] });
}

/** -1 while the node does not say. */
async function pendingOf(node: BenchNode): Promise<number> {
  const client = await connect(node);
  try {
    if (client.node?.features.includes('delay') !== true) return -1;
    return (await client.delayed.stats()).pending;
  } finally {
    await client.close();
  }
}

/** Waits until the index has so many; the seconds it took. @throws BENCH_FAILED */
async function untilPending(node: BenchNode, wanted: number): Promise<number> {
  const began = performance.now();
  while (performance.now() - began < patienceMs) {
    if ((await pendingOf(node)) === wanted) return secondsSince(began);
    await pause(pollMs);
  }
  throw coded('BENCH_FAILED', `there are not ${wanted} pending after ${patienceMs / 1000} s`);
}

/** Schedules them all; how many a second were answered. */
async function scheduleAll({ node, topic }: Place, firstDueMs: number): Promise<number> {
  const client = await connect(node);
  const began = performance.now();
  const soon = Math.floor(pending * dueShare);
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
  const client = await connect(node);
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
async function restartToFirstFire({ node, rig, topic }: Place): Promise<number> {
  const client = await connect(node);
  await client.produce(topic, { value: 'first', delayMs: 1_000 });
  await client.close();
  const before = await rig.records(topic);
  await node.stop('SIGKILL');
  await pause(1_500);
  const began = performance.now();
  await node.start();
  while ((await rig.records(topic)) === before) {
    if (performance.now() - began > patienceMs) throw coded('BENCH_FAILED', 'nothing fires');
    await pause(pollMs);
  }
  return secondsSince(began);
}

/** Six in ten fire and are ended by tombstones: what that costs node and broker. */
async function fireSome({ node, rig }: Place, firstDueMs: number): Promise<Extra> {
  await pause(Math.max(0, firstDueMs - Date.now()));
  const logBefore = rig.logBytes(delayTopic);
  const cpu = { kafka: cpuSecondsOf(rig.kafkaPid) ?? 0, node: cpuSecondsOf(node.pid) ?? 0 };
  const began = performance.now();
  const left = pending - Math.floor(pending * dueShare);
  let logMax = logBefore;
  while ((await pendingOf(node)) > left) {
    if (performance.now() - began > patienceMs) throw coded('BENCH_FAILED', 'not all fire');
    logMax = Math.max(logMax, rig.logBytes(delayTopic));
    await pause(1_000);
  }
  const seconds = secondsSince(began);
  const cores = {
    kafkaCores: ((cpuSecondsOf(rig.kafkaPid) ?? 0) - cpu.kafka) / seconds,
    nodeCores: ((cpuSecondsOf(node.pid) ?? 0) - cpu.node) / seconds,
  };
  // The cleaner takes nothing that is younger than a minute.
  await pause(90_000);
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

export const delayPending: Question = {
  name: 'delay-pending',
  title: `${pending} pending delayed messages of ${size} B: memory, restart, rebuild, tombstones`,
  pairsMax: 1,
  onlyByName: true,
  sides: [
    {
      name: 'pending',
      run: (rig) =>
        rig.withTopic((topic) =>
          withNode(rig, {}, async (node) => {
            const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
            const place = { node, rig, topic };
            const firstDueMs = Date.now() + dueAfterMs;
            await untilPending(node, 0);
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
            const extra = {
              acceptedPerSecond,
              rssMiB,
              rssRestartedMiB,
              pageP99,
              firstFireSeconds,
              rebuiltPerSecond: pending / rebuildSeconds,
              ...(await fireSome(place, firstDueMs)),
            };
            return bareResult(extra, meter.stealPercent);
          }),
        ),
    },
  ],
  figures: [
    { measure: 'acceptedPerSecond', of: 'pending' },
    { measure: 'rssMiB', of: 'pending', atMost: 600 },
    { measure: 'rssRestartedMiB', of: 'pending', atMost: 600 },
    { measure: 'pageP99', of: 'pending', atMost: 100 },
    { measure: 'firstFireSeconds', of: 'pending', atMost: 10 },
    { measure: 'rebuiltPerSecond', of: 'pending' },
    { measure: 'firedPerSecond', of: 'pending' },
    { measure: 'kafkaCores', of: 'pending' },
    { measure: 'nodeCores', of: 'pending' },
    { measure: 'logMiBMax', of: 'pending' },
    { measure: 'logMiBAfter', of: 'pending' },
  ],
};
