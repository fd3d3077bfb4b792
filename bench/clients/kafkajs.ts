// kafkajs: `single` keeps 64 sends of one message going, `free` four batches of 1,000.
import { Kafka, logLevel, Partitioners } from 'kafkajs';
import { ClientRun, clientFlags, keepGoing, keyTable, valueBytes } from './client-run.ts';

const batch = 1000;
const batchesAtOnce = 4;
const singlesAtOnce = 64;

const flags = clientFlags();
const keys = keyTable();
const value = valueBytes(flags.size);
const kafka = new Kafka({ clientId: 'bench', brokers: [flags.brokers], logLevel: logLevel.ERROR });
const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
await producer.connect();

const run = new ClientRun(flags);
const perSend = flags.mode === 'free' ? batch : 1;
const width = flags.mode === 'free' ? batchesAtOnce : singlesAtOnce;
await keepGoing(run, width, async (n) => {
  const messages = Array.from({ length: perSend }, (_, i) => ({
    key: keys[(n * perSend + i * 7) % keys.length] ?? null,
    value,
  }));
  const sent = performance.now();
  try {
    await producer.send({ topic: flags.topic, acks: -1, messages });
    for (let i = 0; i < perSend; i++) run.answered(sent);
  } catch {
    run.failed += perSend;
  }
});
run.print();
await producer.disconnect();
