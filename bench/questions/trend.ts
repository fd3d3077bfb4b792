import { coded } from '../../src/base/errors.ts';
import { Meter } from '../meter.ts';
import { withNode } from '../node.ts';
import { runNative } from '../programs.ts';
import type { Question, Side } from '../question.ts';
import { loadFlags, type ProxyLoad } from '../sides.ts';

// The first of the four stretches is seconds 5 to 20, the last is the last 15 s.
const span = { seconds: 60, warmupSeconds: 5 };
const stretchSeconds = 15;

/** How latency of the last stretch stands to that of the first, whatever time was asked for. */
function side(name: string, load: ProxyLoad): Side {
  return {
    name,
    run: (rig) =>
      rig.withTopic((topic) =>
        withNode(rig, {}, async (node) => {
          const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
          const flags = { ...loadFlags(node.port, topic, load, span), window: stretchSeconds };
          const report = await runNative('mq_load', flags);
          const first = report.windows?.[0];
          const last = report.windows?.[span.seconds / stretchSeconds - 1];
          if (!first || !last) throw coded('BENCH_FAILED', `${name}: no answers in a stretch`);
          const drainSeconds = await node.drained();
          const result = meter.result(report, await rig.records(topic), drainSeconds);
          const extra = { p50Trend: last.p50 / first.p50, p99Trend: last.p99 / first.p99 };
          return { ...result, extra };
        }),
      ),
  };
}

export const trend: Question = {
  name: 'trend',
  title: 'latency of the last 15 s beside that of seconds 5 to 20, over a minute, 100 B',
  pairsMax: 3,
  sides: [
    side('stored-50k', { size: 100, rate: 50_000, inFlight: 1024 }),
    side('stored-closed', { size: 100 }),
  ],
  figures: ['stored-50k', 'stored-closed'].flatMap((of) => [
    { measure: 'p50Trend', of, atMost: 1.3 },
    { measure: 'p99Trend', of, atMost: 1.3 },
  ]),
};
