import { performance } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { coded } from '../../src/base/errors.ts';
import { schedule } from '../../src/cli/load/delay-bench.ts';
import {
  benchDue,
  connectTo,
  patienceMs,
  readFired,
  secondsSince,
  withDelayedTopic,
  withDelayNode,
} from '../delays.ts';
import { Meter } from '../meter.ts';
import type { BenchNode } from '../node.ts';
import type { Question } from '../question.ts';
import { bareResult } from '../result.ts';
import type { Rig } from '../rig.ts';

/** Due in the same second. */
const count = Number(process.env['MQP_BURST'] ?? 1_000_000);
const size = 100;
const secondMs = 1_000;
/** So many a second at least are scheduled before that second comes. */
const scheduledPerSecond = 15_000;
const marginMs = 20_000;
/** The other topic: so many a second, in peace and from the beginning of the burst on. */
const other = { perSecond: 1_000, seconds: 10 };
const peaceAheadMs = 2_000;
const pollMs = 50;

/** The seconds from the burst's first due time until all of it is in its topic. */
async function untilFired(rig: Rig, topic: string, dueMs: number): Promise<number> {
  await pause(Math.max(0, dueMs - Date.now()));
  const began = performance.now();
  while ((await rig.records(topic)) < count) {
    if (performance.now() - began > patienceMs) throw coded('BENCH_FAILED', 'not all fire');
    await pause(pollMs);
  }
  return secondsSince(began);
}

/** The burst alone in one topic, others in another, which should not feel it. */
async function burst(rig: Rig, node: BenchNode, topic: string, second: string) {
  const peace = await benchDue(node, { ...other, topic: second, aheadMs: peaceAheadMs });
  const dueMs = Date.now() + marginMs + Math.ceil((count * 1000) / scheduledPerSecond);
  const client = await connectTo(node);
  const sinceMs = Date.now();
  await schedule(client, { topic, count, size }, (i) => dueMs + Math.floor((i * secondMs) / count));
  await client.close();
  const leftMs = dueMs - Date.now();
  if (leftMs < 0) throw coded('BENCH_FAILED', 'the burst was due before it was scheduled');
  const [firedSeconds, busy] = await Promise.all([
    untilFired(rig, topic, dueMs),
    benchDue(node, { ...other, topic: second, aheadMs: leftMs }),
  ]);
  const fired = await readFired(node, { topic, count, sinceMs });
  return {
    firedSeconds,
    firedPerSecond: count / firedSeconds,
    peaceP99: peace.latenessMs.p99,
    burstP99: busy.latenessMs.p99,
    burstRatio: busy.latenessMs.p99 / peace.latenessMs.p99,
    early: fired.early + peace.early + busy.early,
    missing: fired.missing + peace.missing + busy.missing,
  };
}

export const delayBurst: Question = {
  name: 'delay-burst',
  title: `${count} delayed messages due in the same second, and what another topic feels of it`,
  pairsMax: 1,
  onlyByName: true,
  sides: [
    {
      name: 'burst',
      run: (rig) =>
        withDelayedTopic(rig, 'kafka', (topic) =>
          withDelayedTopic(rig, 'kafka', (second) =>
            withDelayNode(rig, 'kafka', async (node) => {
              const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
              const extra = await burst(rig, node, topic, second);
              return bareResult(extra, meter.stealPercent);
            }),
          ),
        ),
    },
  ],
  figures: [
    { measure: 'firedSeconds', of: 'burst', atMost: 20 },
    { measure: 'firedPerSecond', of: 'burst' },
    { measure: 'peaceP99', of: 'burst' },
    { measure: 'burstP99', of: 'burst' },
    { measure: 'burstRatio', of: 'burst', atMost: 2 },
    { measure: 'early', of: 'burst', atMost: 0 },
    { measure: 'missing', of: 'burst', atMost: 0 },
  ],
};
