import { Meter } from '../meter.ts';
import { withNode } from '../node.ts';
import { runClient, runNative } from '../programs.ts';
import type { Question, Side } from '../question.ts';
import { loadFlags } from '../sides.ts';

const size = 100;
const fillSeconds = 120;
const consumers = 64;
/** What 64 handlers of 5 ms can do at most. */
const handledPerSecond = 12_800;
/** Until V8 has compiled what 64 handlers keep doing, in seconds. */
const warmupSecondsMin = 5;
/** What consumers hold ahead of their handlers when the time is over. */
const ahead = 64 * 256;

interface Reading {
  readonly name: string;
  /** The program of bench/clients, and how it is to read. */
  readonly client: string;
  readonly mode: string;
  readonly partitions: number;
  /** Messages for each second of the run, and those beyond. */
  readonly perSecond: number;
  readonly more: number;
}

/** A topic filled with as many as a run can handle, and a client that reads it by sdk/ts. */
function fromNode({ name, client, mode, partitions, perSecond, more }: Reading): Side {
  return {
    name,
    run: (rig, { seconds, warmupSeconds }) =>
      rig.withTopic(
        (topic) =>
          withNode(rig, {}, async (node) => {
            const span = { seconds: fillSeconds, warmupSeconds: 0 };
            const warmup = Math.max(warmupSeconds, warmupSecondsMin);
            const count = Math.round(perSecond * (seconds + warmup)) + more;
            const load = { size, connections: 16, inFlight: 256 };
            await runNative('mq_load', { ...loadFlags(node.port, topic, load, span), count });
            await node.drained();
            const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
            const shape = { brokers: node.address, topic, consumers, count, mode };
            const times = { duration: seconds, warmup };
            const report = await runClient(client, { ...shape, ...times });
            return meter.result(report, report.acked);
          }),
        { partitions },
      ),
  };
}

const fromMemory: Side = {
  name: 'memory',
  run: async (_rig, { seconds, warmupSeconds }) => {
    const meter = new Meter({});
    const times = { duration: seconds, warmup: warmupSeconds };
    const report = await runClient('handlers', { consumers, mode: 'memory', ...times });
    return meter.result(report, report.acked);
  },
};

function handlers(partitions: number): Question {
  const where = partitions === 1 ? 'one partition' : `${partitions} partitions`;
  const load = { perSecond: handledPerSecond, more: ahead };
  const reading = { client: 'handlers', partitions, ...load };
  return {
    name: `handlers-${partitions}`,
    title: `64 consumers of sdk/ts with 5 ms of work each, ${where}, beside the work alone`,
    sides: [
      fromNode({ ...reading, name: 'node', mode: 'shared' }),
      fromNode({ ...reading, name: 'node-64-connections', mode: 'apart' }),
      fromMemory,
    ],
    figures: [
      { measure: 'rate', of: 'node', to: 'memory', atLeast: 0.9 },
      { measure: 'rate', of: 'node-64-connections', to: 'memory', atLeast: 0.9 },
    ],
  };
}

export const handlers1: Question = handlers(1);
export const handlers4: Question = handlers(4);

export const sdkConsume: Question = {
  name: 'sdk-consume',
  title: 'sdk/ts, one process, one consumer of a shared group, each message acked, 100 B',
  sides: [
    fromNode({
      name: 'node',
      client: 'consume',
      mode: 'shared',
      partitions: 4,
      perSecond: 100_000,
      more: 0,
    }),
  ],
  figures: [{ measure: 'rate', of: 'node', atLeast: 80_000 }],
};
