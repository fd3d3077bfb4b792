// Consumes a topic of `count` messages with one consumer of sdk/ts; each message is acked when its
// handler has ended. The rate is from the first message until the last ack was answered.
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { ClientRun, clientFlags } from './client-run.ts';

const creditMessages = 4096;

const flags = clientFlags();
const client = await MqpClient.connect({ servers: [flags.brokers] });
const group = `g-${flags.topic}`;
const consumer = await client.subscribe({ group, topics: [flags.topic], creditMessages });
const run = new ClientRun({ ...flags, warmup: 0 });
let first = 0;
let closed: Promise<void> | undefined;
consumer.on('lost', () => {
  run.failed++;
});
await consumer.run(() => {
  if (first === 0) first = performance.now();
  if (++run.acked === flags.count) closed = consumer.close();
});
await closed;
run.print((run.acked * 1000) / (performance.now() - first));
await client.close();
