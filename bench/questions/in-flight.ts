import { setTimeout as pause } from 'node:timers/promises';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { Meter } from '../meter.ts';
import { type BenchNode, withNode } from '../node.ts';
import { runNative, runReceiver } from '../programs.ts';
import type { Question } from '../question.ts';
import { loadFlags } from '../sides.ts';

/** Messages that are out at once. */
const messages = Number(process.env['MQP_IN_FLIGHT'] ?? 1_000_000);
const size = 100;
/** A partition has at most 65,536 unfinished messages; keys spread them unevenly. */
const partitions = 24;
const connections = 16;
const patienceSeconds = 300;
const leaseMs = 600_000;
const lookMs = 250;
/** Above an even share, so that nobody acks before all are out. */
const window = Math.min(65_535, Math.ceil((messages / connections) * 1.04));

interface Watched {
  outMax: number;
  rssMax: number;
}

/** Looks until `over` at what is leased, and at the memory of the node. */
async function watch(node: BenchNode, group: string, over: AbortSignal): Promise<Watched> {
  const client = await MqpClient.connect({ servers: [node.address] });
  const seen = { outMax: 0, rssMax: 0 };
  while (!over.aborted) {
    const { partitions: rows = [] } = await client.groups
      .describe(group)
      .catch(() => ({}) as never);
    const out = rows.reduce((sum: number, row: { out?: number }) => sum + (row.out ?? 0), 0);
    seen.outMax = Math.max(seen.outMax, out);
    seen.rssMax = Math.max(seen.rssMax, (await node.status()).rssBytes);
    await pause(lookMs);
  }
  await client.close();
  return seen;
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
              const span = { seconds: patienceSeconds, warmupSeconds: 0 };
              const load = loadFlags(node.port, topic, { size, connections, inFlight: 256 }, span);
              await runNative('mq_load', { ...load, count: messages });
              await node.drained();
              const rssBefore = (await node.status()).rssBytes;
              const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
              const group = `g-${topic}`;
              const over = new AbortController();
              const watching = watch(node, group, over.signal);
              const target = { port: node.port, topic, group, connections, lease: leaseMs };
              const credit = { credit: window + 1, window, count: messages };
              const report = await runReceiver({
                ...target,
                ...credit,
                duration: patienceSeconds,
                warmup: 0,
              }).finally(() => over.abort());
              const { outMax, rssMax } = await watching;
              const extra = {
                outMax,
                rssMiB: rssMax / 2 ** 20,
                bytesOfEach: (rssMax - rssBefore) / messages,
              };
              return { ...meter.result(report, report.acked), extra };
            }),
          { partitions },
        ),
    },
  ],
  figures: [
    { measure: 'outMax', of: 'all-out', atLeast: messages * 0.99 },
    { measure: 'rate', of: 'all-out' },
    { measure: 'rssMiB', of: 'all-out' },
    { measure: 'bytesOfEach', of: 'all-out' },
  ],
};
