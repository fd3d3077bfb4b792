import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { MqpClient } from '../sdk/ts/src/client.ts';
import { systemClock } from '../src/base/clock.ts';
import { coded } from '../src/base/errors.ts';
import { type DelayBenchResult, DelayReceiver } from '../src/cli/load/delay-bench.ts';
import { delayTopic } from '../src/delay/delay-topic.ts';
import { type BenchNode, type NodeOptions, withNode } from './node.ts';
import { runCommand } from './programs.ts';
import type { Rig } from './rig.ts';

/** Where messages wait: on Kafka, or in a node's own log. */
export type DelayBackend = 'kafka' | 'embedded';

/** Longest that anything is waited for, in ms. */
export const patienceMs = 15 * 60_000;

const pollMs = 100;
/** Longest that a topic is read, in ms. */
const readMs = 120_000;

export const secondsSince = (began: number): number => (performance.now() - began) / 1000;

/** A client of the node; the caller closes it. */
export function connectTo(node: BenchNode): Promise<MqpClient> {
  return MqpClient.connect({ servers: [node.address] });
}

/** -1 while the node does not say. */
export async function pendingOf(node: BenchNode): Promise<number> {
  const client = await connectTo(node);
  try {
    if (client.node?.features.includes('delay') !== true) return -1;
    return (await client.delayed.stats()).pending;
  } finally {
    await client.close();
  }
}

/** Waits until the index has so many; the seconds it took. @throws BENCH_FAILED */
export async function untilPending(node: BenchNode, wanted: number): Promise<number> {
  const began = performance.now();
  while (performance.now() - began < patienceMs) {
    if ((await pendingOf(node)) === wanted) return secondsSince(began);
    await pause(pollMs);
  }
  throw coded('BENCH_FAILED', `there are not ${wanted} pending after ${patienceMs / 1000} s`);
}

/** A node where nothing waits and everything may be delayed; what is left goes with it. */
export async function withDelayNode<T>(
  rig: Rig,
  backend: DelayBackend,
  use: (node: BenchNode) => Promise<T>,
  options: Omit<NodeOptions, 'backend'> = {},
): Promise<T> {
  try {
    return await withNode(rig, { ...options, backend }, async (node) => {
      await untilPending(node, 0);
      return use(node);
    });
  } finally {
    if (backend === 'kafka') await rig.dropTopic(delayTopic);
  }
}

/** Topics of such a run: a record's time is the broker's, when it took it. */
const delayedTopic = { config: { 'message.timestamp.type': 'LogAppendTime' } } as const;

/** A topic for delayed messages: the embedded log makes it by itself. */
export function withDelayedTopic<T>(
  rig: Rig,
  backend: DelayBackend,
  use: (topic: string) => Promise<T>,
): Promise<T> {
  return backend === 'kafka' ? rig.withTopic(use, delayedTopic) : use('bench');
}

/** How many are due, over how long, and how long after the beginning. */
export interface DueLoad {
  readonly topic: string;
  readonly perSecond: number;
  readonly seconds: number;
  readonly aheadMs: number;
}

/** `mqproxy bench delay`. @throws CodedError BENCH_FAILED when not all came */
export async function benchDue(node: BenchNode, load: DueLoad): Promise<DelayBenchResult> {
  const { topic, perSecond, seconds, aheadMs } = load;
  const count = Math.round(perSecond * seconds);
  const times = { ahead: `${Math.round(aheadMs)}ms`, over: `${Math.round(seconds * 1000)}ms` };
  const flags = { server: node.address, topic, count, size: 100, ...times };
  return runCommand<DelayBenchResult>(['bench', 'delay'], flags);
}

/**
 * What of a load lies in its topic, once it has fired: how much of it is early by the broker's
 * clock, and how much is not there.
 */
export async function readFired(
  node: BenchNode,
  { topic, count, sinceMs }: { topic: string; count: number; sinceMs: number },
): Promise<{ early: number; missing: number }> {
  const client = await connectTo(node);
  const receiver = new DelayReceiver(systemClock, sinceMs);
  const { partitions } = await client.describeTopic(topic);
  const read = partitions.map(({ partition }) =>
    receiver.read(client, topic, { partition, offset: 0 }),
  );
  const began = performance.now();
  while (receiver.count < count && performance.now() - began < readMs) await pause(pollMs);
  receiver.stop();
  await Promise.all(read);
  await client.close();
  return { early: receiver.early, missing: count - receiver.count };
}
