import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { coded } from '../../src/base/errors.ts';
import { Meter } from '../meter.ts';
import { type BenchNode, withNode } from '../node.ts';
import { probed, readProbe } from '../probes/read-probe.ts';
import { runNative } from '../programs.ts';
import type { Question } from '../question.ts';
import { bareResult } from '../result.ts';
import { withFolder } from '../rig.ts';
import { loadFlags } from '../sides.ts';

const connections = 10_000;
const idleSeconds = 12;
const connectMs = 60_000;

async function untilConnected(node: BenchNode, wanted: number): Promise<void> {
  for (let waited = 0; waited < connectMs; waited += 100) {
    if ((await node.status()).connections >= wanted) return;
    await pause(100);
  }
  throw coded('BENCH_FAILED', `${wanted} connections did not come about`);
}

/** `MemoryUsage` of the node after a collection. */
async function memoryOf(node: BenchNode, file: string): Promise<NodeJS.MemoryUsage> {
  return (await readProbe(node, file)) as NodeJS.MemoryUsage;
}

export const idleConnections: Question = {
  name: 'idle-connections',
  title: `${connections} idle connections with a topic open: bytes of each, after a collection`,
  pairsMax: 1,
  sides: [
    {
      name: 'idle',
      run: (rig) =>
        withFolder((folder) => {
          const file = join(folder, 'memory.json');
          const options = { ...probed('memory', file), backend: 'embedded' } as const;
          return withNode(rig, options, async (node) => {
            const meter = new Meter({ node: node.pid });
            // What the first connections bring into memory is no cost of the later ones.
            await idle(node, 100, 1);
            const before = await memoryOf(node, file);
            const load = idle(node, connections, idleSeconds);
            await untilConnected(node, connections);
            const after = await memoryOf(node, file);
            await load;
            const each = (field: keyof NodeJS.MemoryUsage): number =>
              Math.round((after[field] - before[field]) / connections);
            const heap = each('heapUsed') + each('external');
            const bytes = { rssBytes: each('rss'), heapBytes: heap };
            return bareResult(bytes, meter.stealPercent);
          });
        }),
    },
  ],
  figures: [
    { measure: 'rssBytes', of: 'idle', atMost: 12 * 1024 },
    { measure: 'heapBytes', of: 'idle' },
  ],
};

/** Connections that send next to nothing. */
function idle(node: BenchNode, count: number, seconds: number) {
  const load = { size: 1, connections: count, inFlight: 1, rate: 1 };
  return runNative('mq_load', loadFlags(node.port, 'idle', load, { seconds, warmupSeconds: 0 }));
}

export const allocations: Question = {
  name: 'allocations',
  title: 'bytes the main thread allocates per message, 64 × 64, 100 B (sampling heap profile)',
  pairsMax: 3,
  sides: (['stored', 'replicated'] as const).map((ack) => ({
    name: ack,
    run: (rig, span) =>
      withFolder((folder) =>
        rig.withTopic((topic) => {
          const file = join(folder, 'allocations.json');
          return withNode(rig, probed('allocations', file), async (node) => {
            const load = { size: 100, ack };
            const short = { seconds: span.warmupSeconds, warmupSeconds: 0 };
            const warm = await runNative('mq_load', loadFlags(node.port, topic, load, short));
            await readProbe(node, file);
            const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
            const long = { seconds: span.seconds, warmupSeconds: 0 };
            const report = await runNative('mq_load', loadFlags(node.port, topic, load, long));
            const profile = (await readProbe(node, file)) as Profile;
            for (const [where, bytes] of profile.sites) {
              const each = (bytes / report.acked).toFixed(1).padStart(8);
              process.stderr.write(`      ${each} B  ${where}\n`);
            }
            const drainSeconds = await node.drained();
            const arrived = (await rig.records(topic)) - warm.acked;
            const result = meter.result(report, arrived, drainSeconds);
            return { ...result, extra: { bytesPerMessage: profile.bytes / report.acked } };
          });
        }),
      ),
  })),
  figures: [
    { measure: 'bytesPerMessage', of: 'stored', atMost: 64 },
    { measure: 'bytesPerMessage', of: 'replicated', atMost: 64 },
  ],
};

interface Profile {
  readonly bytes: number;
  readonly sites: readonly (readonly [where: string, bytes: number])[];
}

const growthSeconds = 600;

export const growth: Question = {
  name: 'growth',
  title: 'memory of minute 10 beside minute 3, 50,000/s offered, 100 B',
  pairsMax: 1,
  onlyByName: true,
  sides: [
    {
      name: 'growth',
      run: (rig) =>
        rig.withTopic((topic) =>
          withNode(rig, {}, async (node) => {
            const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
            const load = { size: 100, rate: 50_000, inFlight: 1024 };
            const span = { seconds: growthSeconds, warmupSeconds: 0 };
            const running = runNative('mq_load', loadFlags(node.port, topic, load, span));
            const early = await meanRss(node, 120, 60);
            const late = await meanRss(node, 360, 55);
            const report = await running;
            const drainSeconds = await node.drained();
            const result = meter.result(report, await rig.records(topic), drainSeconds);
            const extra = { rssMinute3: early, rssMinute10: late, rssGrowth: late / early };
            return { ...result, extra };
          }),
        ),
    },
  ],
  figures: [{ measure: 'rssGrowth', of: 'growth', atMost: 1.1 }],
};

/** Mean of the node's memory, looked at every second: waits, then looks, both in seconds. */
async function meanRss(node: BenchNode, waitSeconds: number, lookSeconds: number): Promise<number> {
  await pause(waitSeconds * 1000);
  let sum = 0;
  for (let i = 0; i < lookSeconds; i++) {
    sum += (await node.status()).rssBytes;
    await pause(1000);
  }
  return sum / lookSeconds;
}
