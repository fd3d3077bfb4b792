// node-rdkafka. `single` keeps 64 messages without a delivery report, polled every ms. `free` hands
// over as fast as the queue takes it, reads the reports and awaits nothing but the flush at the
// end; `blind` does so without reports, and knows nothing of what became of a message.
import { createRequire } from 'node:module';
import { setImmediate as turn } from 'node:timers/promises';
import type { DeliveryReport, Producer as KafkaProducer, ProducerGlobalConfig } from 'node-rdkafka';
import { ClientRun, clientFlags, keyTable, valueBytes } from './client-run.ts';

interface Library {
  Producer: new (settings: ProducerGlobalConfig, topic: object) => KafkaProducer;
  CODES: { ERRORS: { ERR__QUEUE_FULL: number } };
}

const { Producer, CODES } = createRequire(import.meta.url)('node-rdkafka') as Library;
const singlesAtOnce = 64;
const perTurn = 1000;

const flags = clientFlags();
const single = flags.mode === 'single';
const blind = flags.mode === 'blind';
const keys = keyTable();
const value = valueBytes(flags.size);
const producer = new Producer(
  {
    'metadata.broker.list': flags.brokers,
    'enable.idempotence': true,
    'linger.ms': single ? 0 : 5,
    'queue.buffering.max.messages': 100_000,
    dr_cb: !blind,
  },
  { acks: -1 },
);
await new Promise<void>((resolve, reject) => {
  producer.connect({}, (error) => (error ? reject(error) : resolve()));
});
// The first message of a topic waits for its metadata.
await new Promise<void>((resolve, reject) => {
  const options = { topic: flags.topic, timeout: 10_000 };
  producer.getMetadata(options, (error) => (error ? reject(error) : resolve()));
});

let sent = 0;

/** False when the queue is full. */
function produce(): boolean {
  try {
    const key = keys[(sent * 7) % keys.length];
    producer.produce(flags.topic, null, value, key, null, single ? performance.now() : undefined);
    sent++;
    return true;
  } catch (error) {
    if ((error as { code?: number }).code === CODES.ERRORS.ERR__QUEUE_FULL) return false;
    throw error;
  }
}

function flush(): Promise<void> {
  return new Promise((resolve, reject) => {
    producer.flush(60_000, (error) => (error ? reject(error) : resolve()));
  });
}

async function runFree(): Promise<void> {
  const run = new ClientRun(flags);
  if (!blind) {
    producer.on('delivery-report', (error: unknown) => {
      if (error) run.failed++;
      else run.acked++;
    });
  }
  let before = { sent: 0, at: performance.now() };
  let counting = false;
  while (!run.over) {
    for (let i = 0; i < perTurn && produce(); i++);
    producer.poll();
    await turn();
    if (!counting && performance.now() >= run.countFrom) {
      counting = true;
      await flush();
      before = { sent, at: performance.now() };
    }
  }
  await flush();
  if (blind) run.acked = sent;
  while (run.acked + run.failed < sent) {
    producer.poll();
    await turn();
  }
  run.print(((sent - before.sent) * 1000) / (performance.now() - before.at));
}

async function runSingle(): Promise<void> {
  producer.setPollInterval(1);
  const run = new ClientRun(flags);
  let waiting = 0;
  const fill = (): void => {
    while (waiting < singlesAtOnce && !run.over && produce()) waiting++;
  };
  await new Promise<void>((resolve) => {
    producer.on('delivery-report', (error: unknown, report: DeliveryReport) => {
      waiting--;
      if (error) run.failed++;
      else run.answered(report.opaque as number);
      fill();
      if (waiting === 0 && run.over) resolve();
    });
    fill();
  });
  run.print();
}

await (single ? runSingle() : runFree());
producer.disconnect();
