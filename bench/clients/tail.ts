// Reads a topic from its beginning to the end it had at the start, all partitions at once.
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { ClientRun, clientFlags } from './client-run.ts';

const flags = clientFlags();
const client = await MqpClient.connect({ servers: [flags.brokers] });
const { partitions } = await client.describeTopic(flags.topic);
const run = new ClientRun({ ...flags, warmup: 0 });
const begin = performance.now();
await Promise.all(
  partitions.map(async ({ partition, startOffset, endOffset }) => {
    let left = endOffset - startOffset;
    if (left === 0) return;
    for await (const record of client.tail(flags.topic, { partition, from: 'beginning' })) {
      if (record.offset >= startOffset) run.acked++;
      if (--left === 0) break;
    }
  }),
);
run.print((run.acked * 1000) / (performance.now() - begin));
await client.close();
