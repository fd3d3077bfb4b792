import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { secondsSince } from '../delays.ts';
import { Meter } from '../meter.ts';
import { type BenchNode, withNode } from '../node.ts';
import { runNative, runReceiver } from '../programs.ts';
import type { Question } from '../question.ts';
import { loadFlags } from '../sides.ts';

/** Messages that are out at once; at most the credit of all connections, 1,048,576. */
const messages = Number(process.env['MQP_IN_FLIGHT'] ?? 1_000_000);
/** Nobody acks before these have come too. */
const last = 1_000;
const size = 100;
/** A partition has at most 65,536 unfinished messages; keys spread them unevenly. */
const partitions = 24;
const connections = 16;
const credit = { credit: 65_536, window: 65_535 };
const patienceSeconds = 300;
const stuckSeconds = 30;
const leaseMs = 600_000;
const lookMs = 100;
const span = { seconds: patienceSeconds, warmupSeconds: 0 };

function fill(node: BenchNode, topic: string, count: number) {
  const load = loadFlags(node.port, topic, { size, connections, inFlight: 256 }, span);
  return runNative('mq_load', { ...load, count });
}

/** Waits until all are leased, or no more are; how many that is, and how long it took. */
async function untilOut(node: BenchNode, group: string): Promise<{ out: number; seconds: number }> {
  const client = await MqpClient.connect({ servers: [node.address] });
  const began = performance.now();
  let most = 0;
  let changed = began;
  while (most < messages && secondsSince(changed) < stuckSeconds) {
    const found = await client.groups.describe(group).catch(() => undefined);
    const out = (found?.partitions ?? []).reduce((sum, row) => sum + (row.out ?? 0), 0);
    if (out > most) changed = performance.now();
    most = Math.max(most, out);
    await pause(lookMs);
  }
  await client.close();
  return { out: most, seconds: secondsSince(began) };
}

async function allOut(node: BenchNode, topic: string, meter: Meter) {
  const group = `g-${topic}`;
  const rssBefore = (await node.status()).rssBytes;
  const target = { port: node.port, topic, group, connections, lease: leaseMs };
  const count = messages + last;
  const receiving = runReceiver({
    ...target,
    ...credit,
    count,
    duration: patienceSeconds,
    warmup: 0,
  });
  receiving.catch(() => {});
  const { out, seconds } = await untilOut(node, group);
  const { rssBytes } = await node.status();
  const began = performance.now();
  await fill(node, topic, last);
  const report = await receiving;
  const extra = {
    out,
    leasedPerSecond: out / seconds,
    ackedPerSecond: count / secondsSince(began),
    rssMiB: rssBytes / 2 ** 20,
    bytesOfEach: (rssBytes - rssBefore) / messages,
  };
  return { ...meter.result(report, report.acked), extra };
}

export const inFlight: Question = {
  name: 'in-flight',
  title: `${messages} messages leased at once to ${connections} consumers, then acked in random order`,
  pairsMax: 1,
  onlyByName: true,
  sides: [
    {
      name: 'all-out',
      run: (rig) =>
        rig.withTopic(
          (topic) =>
            withNode(rig, {}, async (node) => {
              await fill(node, topic, messages);
              await node.drained();
              return allOut(node, topic, new Meter({ node: node.pid, kafka: rig.kafkaPid }));
            }),
          { partitions },
        ),
    },
  ],
  figures: [
    { measure: 'out', of: 'all-out', atLeast: messages },
    { measure: 'leasedPerSecond', of: 'all-out' },
    { measure: 'ackedPerSecond', of: 'all-out' },
    { measure: 'rssMiB', of: 'all-out' },
    { measure: 'bytesOfEach', of: 'all-out' },
  ],
};
