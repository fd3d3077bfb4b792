import { coded } from '../../src/base/errors.ts';
import { Meter } from '../meter.ts';
import { withNode } from '../node.ts';
import { runNative } from '../programs.ts';
import type { Question, Side } from '../question.ts';
import { loadFlags, proxy } from '../sides.ts';

const size = 1024;
const drainingRate = 5000;
const settleSeconds = 5;

/**
 * Stored with much waiting and Kafka away; then, while it drains, what a message waits, beside what
 * it waited when nothing did.
 */
const behind = (name: string, backlogBytes: number): Side => ({
  name,
  run: (rig, span) =>
    rig.withTopic((topic) =>
      withNode(rig, {}, async (node) => {
        const flags = loadFlags(node.port, topic, { size }, { seconds: 3600, warmupSeconds: 0 });
        // The topic must be known before Kafka goes.
        const first = await runNative('mq_load', { ...flags, count: 1000 });
        const calm = { size: 100, rate: drainingRate, connections: 8 };
        const quiet = await runNative('mq_load', loadFlags(node.port, topic, calm, span));
        await node.drained();
        if (!rig.pauseKafka()) throw coded('BENCH_FAILED', 'needs a Kafka of its own');
        const count = Math.round(backlogBytes / size);
        const meter = new Meter({ node: node.pid });
        try {
          const filled = await runNative('mq_load', { ...flags, count });
          const load = await runNative('mq_load', loadFlags(node.port, topic, { size }, span));
          // What the fill left the disk to do is not the drain's doing.
          const settle = { seconds: settleSeconds, warmupSeconds: 0 };
          const settled = await runNative('mq_load', loadFlags(node.port, topic, calm, settle));
          const waitingBefore = await node.waiting();
          rig.resumeKafka();
          const began = performance.now();
          const slow = await runNative('mq_load', loadFlags(node.port, topic, calm, span));
          const seconds = (performance.now() - began) / 1000;
          const waiting = await node.waiting();
          const drainedMB = ((waitingBefore + slow.acked - waiting) * size) / 1e6;
          const drainSeconds = await node.drained();
          const others = [first, quiet, filled, settled, slow];
          const before = others.reduce((sum, { acked }) => sum + acked, 0);
          const arrived = (await rig.records(topic)) - before;
          const { p50, p99 } = slow.latencyMs;
          const drainingRatio = p99 / quiet.latencyMs.p99;
          const extra = {
            quietP99: quiet.latencyMs.p99,
            drainingP50: p50,
            drainingP99: p99,
            drainingRatio,
            drainMBPerSecond: drainedMB / seconds,
            stillWaiting: waiting,
          };
          return { ...meter.result(load, arrived, drainSeconds), extra };
        } finally {
          rig.resumeKafka();
        }
      }),
    ),
});

export const backlog: Question = {
  name: 'backlog-5gb',
  title: '1 KiB stored with 5 GB waiting and Kafka away, and latency while that drains',
  pairsMax: 1,
  onlyByName: true,
  sides: [proxy({ size }, {}, 'empty'), behind('behind-5gb', 5 * 2 ** 30)],
  figures: [
    { measure: 'rate', of: 'behind-5gb', to: 'empty', atLeast: 0.7 },
    { measure: 'drainingP50', of: 'behind-5gb', atMost: 3 },
    { measure: 'drainingP99', of: 'behind-5gb' },
    { measure: 'drainingRatio', of: 'behind-5gb', atMost: 2 },
    { measure: 'drainMBPerSecond', of: 'behind-5gb' },
  ],
};

export const drain: Question = {
  name: 'drain',
  title: 'how much longer a stored answer takes while 512 MB drain, at the 99th percentile',
  pairsMax: 1,
  onlyByName: true,
  sides: [behind('behind-512mb', 512 * 2 ** 20)],
  figures: [
    { measure: 'drainingP99', of: 'behind-512mb' },
    { measure: 'drainingRatio', of: 'behind-512mb', atMost: 2 },
    { measure: 'drainMBPerSecond', of: 'behind-512mb' },
    { measure: 'stillWaiting', of: 'behind-512mb', atLeast: 1 },
  ],
};
