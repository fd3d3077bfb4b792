import type { Clock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { KafkaProducer, KafkaProducerOptions } from '../../native/kafka.ts';
import type { Cluster } from '../consumer-port.ts';
import { PublishQuota } from '../publish-quota.ts';
import type { Publisher, PublishRecord, PublishResult } from '../publisher-port.ts';
import { aloneSettings, LONGEST_MESSAGE_BYTES } from './kafka-settings.ts';
import type { PublishVerdict } from './publish-call.ts';
import { payloadBytes } from './publish-payload.ts';
import { PublishRoad } from './publish-road.ts';

/** Until a record has its verdict, by default, in ms. */
const TIMEOUT_MS = 30_000;

/** What a {@link KafkaPublisher} is made of. */
export interface KafkaPublisherOptions {
  readonly cluster: Cluster;
  /** librdkafka's settings of a producer of this cluster. */
  readonly config: Record<string, string>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly open: (options: KafkaProducerOptions) => KafkaProducer;
  /** Names the native producers, which are the process's; default `publish-<cluster>`. */
  readonly key?: string;
  /** Until a record was handed over, and from then on until its verdict, in ms; default 30,000. */
  readonly timeoutMs?: number;
  /** Bytes without a verdict, in all; default 32 MiB. */
  readonly bytesMax?: number;
  /** Of one topic; default 8 MiB. */
  readonly topicBytesMax?: number;
}

/**
 * Publishes to a Kafka cluster by a native producer of its own, acks=all and idempotent. What is
 * refused as part of a batch is sent again alone, by another producer, before it is refused.
 */
export class KafkaPublisher implements Publisher {
  readonly cluster: Cluster;
  readonly #options: KafkaPublisherOptions;
  readonly #quota: PublishQuota;
  readonly #running = new Set<Promise<unknown>>();
  /** Made at the first use: each has threads and connections. */
  #road: PublishRoad | undefined;
  #alone: PublishRoad | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: KafkaPublisherOptions) {
    this.cluster = options.cluster;
    this.#options = options;
    const { bytesMax = 32 * 1024 * 1024, topicBytesMax = 8 * 1024 * 1024 } = options;
    this.#quota = new PublishQuota({ bytesMax, topicBytesMax });
  }

  get inFlightBytes(): number {
    return this.#quota.bytes;
  }

  async publish(records: readonly PublishRecord[]): Promise<readonly PublishResult[]> {
    if (this.#closing !== undefined) throw coded('DRAINING', 'publishing has ended');
    const results: PublishResult[] = new Array(records.length);
    const taken: number[] = [];
    const refused = new Set<string>();
    for (const [i, record] of records.entries()) {
      const { topic } = record;
      const full = refused.has(topic)
        ? `an earlier record for topic ${topic} found no room`
        : this.#quota.take(topic, payloadBytes(record));
      if (full === undefined) {
        taken.push(i);
        continue;
      }
      refused.add(topic);
      results[i] = { code: 'RETRY_LATER', message: full, retriable: true };
    }
    if (taken.length === 0) return results;
    const running = this.#send(taken.map((i) => records[i] as PublishRecord));
    this.#running.add(running);
    try {
      const verdicts = await running;
      for (const [n, i] of taken.entries()) results[i] = plain(verdicts[n] as PublishVerdict);
    } finally {
      this.#running.delete(running);
      for (const i of taken) {
        const record = records[i] as PublishRecord;
        this.#quota.give(record.topic, payloadBytes(record));
      }
    }
    return results;
  }

  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  async #end(): Promise<void> {
    await Promise.allSettled(this.#running);
    await Promise.all([this.#road?.close(), this.#alone?.close()]);
  }

  async #send(records: readonly PublishRecord[]): Promise<readonly PublishVerdict[]> {
    const { clock, timeoutMs = TIMEOUT_MS } = this.#options;
    const deadlineMs = clock.monotonic() + timeoutMs;
    this.#road ??= this.#open('', this.#options.config);
    const verdicts = [...(await this.#road.send(records))];
    const suspects = [...verdicts.keys()].filter((i) => verdicts[i]?.suspect === true);
    if (suspects.length === 0) return verdicts;
    this.#alone ??= this.#open('-alone', aloneSettings(this.#options.config));
    const leftMs = Math.max(0, deadlineMs - clock.monotonic());
    const again = await this.#alone.send(
      suspects.map((i) => records[i] as PublishRecord),
      leftMs,
    );
    for (const [n, i] of suspects.entries()) verdicts[i] = again[n] as PublishVerdict;
    return verdicts;
  }

  #open(suffix: string, config: Record<string, string>): PublishRoad {
    const { cluster, clock, logger: log, open, timeoutMs = TIMEOUT_MS } = this.#options;
    const { key = `publish-${cluster}` } = this.#options;
    // What other programs wrote is moved too, with headers of ours: its length is the broker's say.
    const anyLength = { ...config, 'message.max.bytes': String(LONGEST_MESSAGE_BYTES) };
    return new PublishRoad({
      key: `${key}${suffix}`,
      config: anyLength,
      clock,
      log,
      timeoutMs,
      open,
    });
  }
}

function plain(verdict: PublishVerdict): PublishResult {
  if (!('code' in verdict)) return verdict;
  const { code, message, retriable } = verdict;
  return { code, message, retriable };
}
