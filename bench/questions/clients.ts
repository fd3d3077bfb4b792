import { Meter } from '../meter.ts';
import { withNode } from '../node.ts';
import { runClient, runNative } from '../programs.ts';
import type { Question } from '../question.ts';
import { loadFlags } from '../sides.ts';

const size = 100;

export const sdkPromises: Question = {
  name: 'sdk-promises',
  title: 'sdk/ts, one process, a promise per message, 4,096 open, 100 B',
  sides: [
    {
      name: 'sdk',
      run: (rig, { seconds, warmupSeconds }) =>
        rig.withTopic((topic) =>
          withNode(rig, {}, async (node) => {
            const meter = new Meter({ node: node.pid, kafka: rig.kafkaPid });
            const span = { duration: seconds, warmup: warmupSeconds };
            const flags = { ...span, brokers: node.address, topic, size, mode: 'promises' };
            const report = await runClient('sdk', flags);
            const drainSeconds = await node.drained();
            return meter.result(report, await rig.records(topic), drainSeconds);
          }),
        ),
    },
  ],
  figures: [{ measure: 'rate', of: 'sdk', atLeast: 150_000 }],
};

export const embeddedTail: Question = {
  name: 'embedded-tail',
  title: 'reading a backlog of the embedded log with sdk/ts, 100 B',
  sides: [
    {
      name: 'tail',
      run: (rig, { seconds }) =>
        withNode(rig, { backend: 'embedded' }, async (node) => {
          const topic = 'bench';
          const span = { seconds, warmupSeconds: 0 };
          const written = await runNative('mq_load', loadFlags(node.port, topic, { size }, span));
          const meter = new Meter({ node: node.pid });
          const flags = { brokers: node.address, topic, duration: seconds, size };
          const read = await runClient('tail', flags);
          // What was written and not read is missing here.
          return meter.result({ ...read, acked: written.acked }, read.acked);
        }),
    },
  ],
  figures: [{ measure: 'rate', of: 'tail', atLeast: 200_000 }],
};
