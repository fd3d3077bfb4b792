// The client library of this project: a promise per message, 4,096 of them open.
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { ClientRun, clientFlags, keepGoing, keyTable, valueBytes } from './client-run.ts';

const promisesAtOnce = 4096;

const flags = clientFlags();
const keys = keyTable();
const value = valueBytes(flags.size);
const client = await MqpClient.connect({ servers: [flags.brokers] });
await client.openTopic(flags.topic);
const run = new ClientRun(flags);
await keepGoing(run, promisesAtOnce, async (n) => {
  const sent = performance.now();
  try {
    await client.produce(flags.topic, { key: keys[(n * 7) % keys.length] ?? null, value });
    run.answered(sent);
  } catch {
    run.failed++;
  }
});
run.print();
await client.close();
