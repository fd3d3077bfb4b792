import {
  benchDue,
  type DelayBackend,
  untilPending,
  withDelayedTopic,
  withDelayNode,
} from '../delays.ts';
import { Meter } from '../meter.ts';
import { runNative } from '../programs.ts';
import type { Question, Side } from '../question.ts';
import { loadFlags, proxy } from '../sides.ts';

const size = 100;
/** Until the first is due all are to be scheduled; within the half minute that lies in memory. */
const aheadMs = 15_000;
const hourMs = 3_600_000;

/** So many become due each second: how late they are, by the clock of the log. */
function due(backend: DelayBackend, perSecond: number): Side {
  return {
    name: backend,
    run: (rig, { seconds }) =>
      withDelayedTopic(rig, backend, (topic) =>
        withDelayNode(rig, backend, async (node) => {
          const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
          const found = await benchDue(node, { topic, perSecond, seconds, aheadMs });
          const { p50, p99, p999, max } = found.latenessMs;
          const load = {
            requestsPerSecond: found.firedPerSecond,
            acked: found.count,
            failed: 0,
            latencyMs: { p50, p90: Number.NaN, p99, p999, max },
            cpuSeconds: 0,
          };
          return {
            ...meter.result(load, found.arrived + found.duplicates),
            extra: {
              early: found.early,
              inTime: found.scheduledBeforeFirstDue ? 1 : 0,
              acceptedPerSecond: found.acceptedPerSecond,
              receivedP50: found.atReceiverMs.p50,
              receivedP99: found.atReceiverMs.p99,
            },
          };
        }),
      ),
  };
}

export const delayDue: Question = {
  name: 'delay-due',
  title: '10,000 delayed messages due a second on Kafka, 100 B: how late they are in their topic',
  sides: [due('kafka', 10_000)],
  figures: [
    { measure: 'early', of: 'kafka', atMost: 0 },
    { measure: 'inTime', of: 'kafka', atLeast: 1 },
    { measure: 'rate', of: 'kafka', atLeast: 9_500 },
    { measure: 'p50', of: 'kafka', atMost: 10 },
    { measure: 'p99', of: 'kafka', atMost: 40 },
    { measure: 'max', of: 'kafka', atMost: 300 },
  ],
};

export const delayDueEmbedded: Question = {
  name: 'delay-due-embedded',
  title: '20,000 delayed messages due a second on the embedded log, 100 B: how late they are',
  sides: [due('embedded', 20_000)],
  figures: [
    { measure: 'early', of: 'embedded', atMost: 0 },
    { measure: 'inTime', of: 'embedded', atLeast: 1 },
    { measure: 'rate', of: 'embedded', atLeast: 19_000 },
    { measure: 'p50', of: 'embedded' },
    { measure: 'p99', of: 'embedded', atMost: 40 },
  ],
};

/** The load of `plain`, each message an hour ahead; then until all are in the index. */
const delayed: Side = {
  name: 'delayed',
  run: (rig, span) =>
    rig.withTopic((topic) =>
      withDelayNode(rig, 'kafka', async (node) => {
        const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
        const flags = { ...loadFlags(node.port, topic, { size }, span), delay: hourMs };
        const report = await runNative('mq_load', flags);
        const drainSeconds = await node.drained();
        const indexSeconds = await untilPending(node, report.acked);
        const result = meter.result(report, report.acked, drainSeconds);
        return { ...result, extra: { indexSeconds } };
      }),
    ),
};

export const delayAccept: Question = {
  name: 'delay-accept',
  title: 'accepting delayed messages beside plain ones, 64 connections × 64 in flight, 100 B',
  sides: [proxy({ size }, {}, 'plain'), delayed],
  figures: [
    { measure: 'rate', of: 'delayed', to: 'plain', atLeast: 0.5 },
    { measure: 'indexSeconds', of: 'delayed' },
  ],
};
