import { Meter } from '../meter.ts';
import { type BenchNode, withNode } from '../node.ts';
import { runNative, runReceiver } from '../programs.ts';
import type { Question, Side, Span } from '../question.ts';
import { loadFlags } from '../sides.ts';

export interface ConsumeLoad {
  readonly name: string;
  readonly size: number;
  readonly consumers: number;
  readonly wait: 'recorded' | 'committed';
  /** Messages for each second of the run: the topic is filled with them before. */
  readonly perSecond: number;
}

/** Longest a receiver waits for what it is to count, in seconds. */
const waitSeconds = 120;
/** Time for the group to get its partitions, before latency counts, in seconds. */
const joinSeconds = 5;

/** A topic that was filled, read and acked message by message, in random order. */
export function consume({ name, size, consumers, wait, perSecond }: ConsumeLoad): Side {
  return {
    name,
    run: (rig, span) =>
      rig.withTopic((topic) =>
        withNode(rig, {}, async (node) => {
          const count = perSecond * span.seconds;
          await fill(node, topic, { size, count }, span);
          const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
          const shape = { group: `g-${topic}`, connections: consumers, wait, count };
          const credit = { credit: wait === 'committed' ? 1_200 : 1_000, window: 200 };
          const target = { port: node.port, topic, duration: waitSeconds };
          const report = await runReceiver({ ...target, ...shape, ...credit, warmup: 0 });
          return meter.result(report, report.acked);
        }),
      ),
  };
}

async function fill(
  node: BenchNode,
  topic: string,
  { size, count }: { size: number; count: number },
  span: Span,
): Promise<void> {
  const flags = loadFlags(node.port, topic, { size, connections: 16, inFlight: 256 }, span);
  await runNative('mq_load', { ...flags, warmup: 0, duration: waitSeconds, count });
  await node.drained();
}

/**
 * From a producer to consumers, in an open loop: latency from the intended send time.
 * @param secondsMin how long it counts at least: a slow rate has few messages in a short run
 */
function pipe(rate: number, secondsMin = 0): Side {
  return {
    name: 'pipe',
    run: (rig, span) =>
      rig.withTopic((topic) =>
        withNode(rig, {}, async (node) => {
          const count = rate * (Math.max(span.seconds, secondsMin) + joinSeconds);
          const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
          const target = { port: node.port, topic, duration: waitSeconds };
          const receiving = runReceiver({
            ...target,
            group: `g-${topic}`,
            connections: Math.min(16, rate),
            count,
            latency: 'stamp',
            warmup: joinSeconds,
          });
          const load = loadFlags(
            node.port,
            topic,
            { size: 1024, connections: 16, inFlight: 1_024, rate },
            { seconds: waitSeconds, warmupSeconds: 0 },
          );
          const [report] = await Promise.all([
            receiving,
            runNative('mq_load', { ...load, count, stamp: 'on' }),
          ]);
          return meter.result(report, report.acked);
        }),
      ),
  };
}

export const consume1k: Question = {
  name: 'consume-1k',
  title: '16 consumers on 4 partitions, each message acked by its token in random order, 1 KiB',
  sides: [
    consume({ name: 'recorded', size: 1024, consumers: 16, wait: 'recorded', perSecond: 100_000 }),
    consume({ name: 'committed', size: 1024, consumers: 16, wait: 'committed', perSecond: 50_000 }),
    consume({ name: 'one', size: 1024, consumers: 1, wait: 'recorded', perSecond: 100_000 }),
  ],
  figures: [
    { measure: 'rate', of: 'recorded', atLeast: 350_000 },
    { measure: 'rate', of: 'committed', atLeast: 100_000 },
    { measure: 'rate', of: 'one', atLeast: 250_000 },
  ],
};

export const consume100: Question = {
  name: 'consume-100',
  title: '16 consumers on 4 partitions, each message acked by its token in random order, 100 B',
  sides: [
    consume({ name: 'recorded', size: 100, consumers: 16, wait: 'recorded', perSecond: 300_000 }),
  ],
  figures: [{ measure: 'rate', of: 'recorded', atLeast: 800_000 }],
};

export const pipe1: Question = {
  name: 'pipe-1',
  title: 'producer to consumer, stored, one message a second, 1 KiB',
  sides: [pipe(1, 30)],
  figures: [
    { measure: 'p50', of: 'pipe', atMost: 5 },
    { measure: 'p99', of: 'pipe' },
  ],
};

export const pipe20k: Question = {
  name: 'pipe-20k',
  title: 'producer to consumer, stored, 20,000 messages a second offered, 1 KiB',
  sides: [pipe(20_000)],
  figures: [
    { measure: 'p50', of: 'pipe', atMost: 3 },
    { measure: 'p99', of: 'pipe', atMost: 20 },
  ],
};
