import { readFileSync } from 'node:fs';
import type { MqpClient } from '../../../sdk/ts/src/client.ts';
import type { MessageInput, ProduceResult } from '../../../sdk/ts/src/types.ts';
import { type Clock, sleep } from '../../base/clock.ts';
import { coded, codeOf } from '../../base/errors.ts';

/** What is measured. */
export interface DelayBenchOptions {
  readonly topic: string;
  readonly count: number;
  /** Due times are spread over so many ms … */
  readonly overMs: number;
  /** … from so many ms after the beginning on. */
  readonly aheadMs: number;
  readonly size: number;
  readonly nodePid: number | undefined;
}

const BATCH = 1_000;
/** How long after the last due time the last message is waited for, in ms. */
const PATIENCE_MS = 60_000;

/** Schedules, waits, and says how late it all came: by the log's clock, and at this receiver. */
export async function benchDelay(client: MqpClient, options: DelayBenchOptions, clock: Clock) {
  const { count, overMs, aheadMs } = options;
  const partitions = await openTopic(client, options.topic);
  const startMs = clock.now();
  const dueOf = (i: number) => startMs + aheadMs + Math.floor((i * overMs) / count);
  const receiver = new DelayReceiver(clock, startMs);
  const read = Promise.all(partitions.map((from) => receiver.read(client, options.topic, from)));
  await schedule(client, options, dueOf);
  const scheduledMs = clock.now() - startMs;
  const untilMs = dueOf(count - 1) + PATIENCE_MS;
  while (receiver.count < count && clock.now() < untilMs) await sleep(clock, 50);
  receiver.stop();
  await read;
  const rssBytes = options.nodePid === undefined ? undefined : rssOf(options.nodePid);
  return {
    count,
    overSeconds: overMs / 1000,
    aheadSeconds: aheadMs / 1000,
    size: options.size,
    acceptedPerSecond: Math.round((count * 1000) / scheduledMs),
    scheduledBeforeFirstDue: scheduledMs < aheadMs,
    arrived: receiver.count,
    missing: Math.max(0, count - receiver.count),
    duplicates: receiver.duplicates,
    early: receiver.early,
    firedPerSecond: receiver.perSecond(),
    latenessMs: percentiles(receiver.lateness),
    atReceiverMs: percentiles(receiver.received),
    nodeRssBytes: rssBytes ?? null,
    backend: client.node?.backend ?? null,
  };
}

/** What {@link benchDelay} found. */
export type DelayBenchResult = Awaited<ReturnType<typeof benchDelay>>;

interface From {
  readonly partition: number;
  readonly offset: number;
}

const TIMESTAMP = 'message.timestamp.type';

/**
 * On Kafka a record's time must be the broker's, when it took it: else it is the node's, and says
 * nothing of what came after.
 * @throws USAGE for a topic that is there with times of its producers
 */
async function openTopic(client: MqpClient, topic: string): Promise<readonly From[]> {
  const isKafka = client.node?.backend === 'kafka';
  try {
    await client.createTopic(topic, isKafka ? { config: { [TIMESTAMP]: 'LogAppendTime' } } : {});
  } catch (error) {
    if (codeOf(error) !== 'TOPIC_EXISTS') throw error;
  }
  const { partitions, config } = await client.describeTopic(topic);
  if (isKafka && config?.[TIMESTAMP] !== 'LogAppendTime') {
    const found = config?.[TIMESTAMP] ?? 'not set';
    throw coded(
      'USAGE',
      `topic ${topic} has ${TIMESTAMP} ${found}, and bench needs LogAppendTime`,
      {
        hint: 'name another --topic, which is made so, or set it on this one',
      },
    );
  }
  return partitions.map(({ partition, endOffset }) => ({ partition, offset: endOffset }));
}

/** Schedules them in batches, 16 at once, and resolves when all were answered. */
export async function schedule(
  client: MqpClient,
  { topic, count, size }: Pick<DelayBenchOptions, 'topic' | 'count' | 'size'>,
  dueOf: (i: number) => number,
): Promise<void> {
  const rest = 'x'.repeat(Math.max(0, size - 32));
  const waiting: Promise<void>[] = [];
  for (let from = 0; from < count; from += BATCH) {
    const messages: MessageInput[] = [];
    for (let i = from; i < Math.min(count, from + BATCH); i++) {
      const dueAtMs = dueOf(i);
      messages.push({ value: `${dueAtMs} ${i} ${rest}`, dueAtMs });
    }
    waiting.push(sendBatch(client, topic, messages));
    if (waiting.length >= 16) await waiting.shift();
  }
  await Promise.all(waiting);
}

function sendBatch(client: MqpClient, topic: string, messages: MessageInput[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, _results: readonly (ProduceResult | Error)[]) => {
      if (error === null) resolve();
      else reject(coded(codeOf(error), `a delayed message was refused: ${error.message}`));
    };
    client.produceBatch(topic, messages, {}, done);
  });
}

/** Reads what fired, and counts what was early by the time of its record. */
export class DelayReceiver {
  /** How late each was by the time of its record, in ms … */
  readonly lateness: number[] = [];
  /** … and when it was read. */
  readonly received: number[] = [];
  early = 0;
  duplicates = 0;
  private readonly clock: Clock;
  private readonly startMs: number;
  private readonly seen = new Set<number>();
  private readonly abort = new AbortController();
  private firstMs = Number.POSITIVE_INFINITY;
  private lastMs = 0;

  /** Messages that were due before `startMs` are those of another load. */
  constructor(clock: Clock, startMs: number) {
    this.clock = clock;
    this.startMs = startMs;
  }

  /** Different messages that came. */
  get count(): number {
    return this.seen.size;
  }

  perSecond(): number {
    return Math.round((this.count * 1000) / Math.max(1, this.lastMs - this.firstMs));
  }

  /** Ends what {@link read} reads. */
  stop(): void {
    this.abort.abort();
  }

  /** Reads a partition from an offset on, until {@link stop}. */
  async read(client: MqpClient, topic: string, { partition, offset }: From): Promise<void> {
    const { signal } = this.abort;
    const tail = client.tail(topic, { partition, from: offset, signal });
    for await (const record of tail) this.take(record.value, record.timestampMs);
  }

  private take(value: Uint8Array | null, timestampMs: number): void {
    const [due, i] = Buffer.from(value ?? '')
      .toString('latin1', 0, 40)
      .split(' ')
      .map(Number);
    if (due === undefined || i === undefined || due < this.startMs) return;
    if (this.seen.has(i)) {
      this.duplicates++;
      return;
    }
    this.seen.add(i);
    this.firstMs = Math.min(this.firstMs, timestampMs);
    this.lastMs = Math.max(this.lastMs, timestampMs);
    if (timestampMs < due) this.early++;
    this.lateness.push(timestampMs - due);
    this.received.push(this.clock.now() - due);
  }
}

/** Percentiles of what was measured, in its unit. */
export function percentiles(values: number[]): Record<'p50' | 'p99' | 'p999' | 'max', number> {
  const sorted = Float64Array.from(values).sort();
  const at = (share: number) =>
    sorted[Math.min(sorted.length - 1, (sorted.length * share) | 0)] ?? 0;
  return { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1) };
}

function rssOf(pid: number): number | undefined {
  try {
    const kib = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return kib === undefined ? undefined : Number(kib) * 1024;
  } catch {
    return undefined;
  }
}
