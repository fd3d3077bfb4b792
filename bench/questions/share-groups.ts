import { Meter } from '../meter.ts';
import { runJava, runNative } from '../programs.ts';
import type { Question, Side } from '../question.ts';
import { consume } from './consume.ts';

const size = 1024;
const consumers = 16;
const fillSeconds = 120;

/** Share groups of Kafka 4.1 without a node: each record is accepted by itself. */
function share(commit: 'poll' | 'record', perSecond: number): Side {
  return {
    name: `share-${commit}`,
    run: (rig, { seconds, warmupSeconds }) =>
      rig.withTopic(async (topic) => {
        const target = { brokers: rig.brokers, topic };
        const span = { duration: Math.ceil(seconds), warmup: Math.ceil(warmupSeconds) };
        const count = perSecond * (span.duration + span.warmup);
        const fill = { size, count, duration: fillSeconds, warmup: 0 };
        await runNative('mq_direct', { ...target, ...fill, 'in-flight': 10_000 });
        const meter = new Meter({ kafka: rig.kafkaPid });
        const shape = { group: `g-${topic}`, consumers, commit, count };
        const report = await runJava('ShareConsumers', { ...target, ...span, ...shape });
        return meter.result(report, report.acked);
      }),
  };
}

export const shareGroups: Question = {
  name: 'share-groups',
  title: "16 consumers on 4 partitions beside Kafka 4.1's share groups, 1 KiB, acked one by one",
  onlyByName: true,
  sides: [
    consume({ name: 'recorded', size, consumers, wait: 'recorded', perSecond: 100_000 }),
    consume({ name: 'committed', size, consumers, wait: 'committed', perSecond: 50_000 }),
    share('poll', 150_000),
    share('record', 20_000),
  ],
  figures: [
    { measure: 'rate', of: 'recorded', to: 'share-poll', atLeast: 3 },
    { measure: 'rate', of: 'committed', to: 'share-record', atLeast: 20 },
    { measure: 'rate', of: 'committed', to: 'share-poll' },
  ],
};
