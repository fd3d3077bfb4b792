import { aloneSettings } from '../backend/kafka/kafka-settings.ts';
import { BATCH_HEAD_BYTES } from '../backend/kafka/message-room.ts';
import type { Clock } from '../base/clock.ts';
import type { Logger } from '../base/log.ts';
import { Seldom } from '../base/seldom.ts';
import type { LaneTopic } from '../lanes/lane-calls.ts';
import { type KafkaProducer, openKafkaProducer, type TopicOptions } from '../native/kafka.ts';
import type { KafkaCluster } from './lane-options.ts';
import type { AloneProducer, RoadProducer } from './sending/road.ts';

/** A broker that is away says so many times a second: the same error is warned of this often. */
const WARN_EVERY_MS = 30_000;
/** A lane holds a producer once: what is parked goes under a number that no lane has. */
const PARKED_LANES_FROM = 128;
/** librdkafka's `batch.size`, by default, in bytes: no batch of several messages is longer. */
const BATCH_BYTES_MAX = 1_000_000;

/** Parts of a {@link KafkaRoad}. */
export interface KafkaRoadParts {
  readonly cluster: KafkaCluster;
  readonly lane: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** A topic that the main thread has told of. */
  told(id: number): LaneTopic | undefined;
  nameOf(id: number): string | undefined;
  onVerdicts(rows: Float64Array, count: number): void;
  /** Rows were dealt with: answers may go. */
  onDealt(): void;
  /** The shared instance is broken. */
  onFatal(): void;
}

/** A lane's producers of one cluster, and what they say of it. */
export class KafkaRoad implements RoadProducer {
  readonly producer: KafkaProducer;
  private readonly parts: KafkaRoadParts;
  private alone: KafkaProducer | undefined;
  private parked: KafkaProducer | undefined;
  private readonly seldom: Seldom;

  constructor(parts: KafkaRoadParts) {
    this.parts = parts;
    this.seldom = new Seldom(parts.clock, WARN_EVERY_MS);
    this.producer = openKafkaProducer({
      ...parts.cluster,
      lane: parts.lane,
      onVerdicts: (rows, count) => {
        parts.onVerdicts(rows, count);
        parts.onDealt();
      },
      onEvent: (kind, code, text) => this.onEvent(kind, code, text),
    });
  }

  setTopic(topic: LaneTopic): void {
    const { id, name } = topic;
    for (const producer of [this.producer, this.alone, this.parked]) {
      producer?.setTopic(id, name, optionsOf(topic));
    }
  }

  /** A producer whose batches hold one message, for what was refused as part of a larger one. */
  openAlone(onVerdicts: (rows: Float64Array, count: number) => void): AloneProducer {
    const { parts } = this;
    const { key, config } = parts.cluster;
    const producer = openKafkaProducer({
      key: `${key}-alone`,
      config: aloneSettings(config),
      lane: parts.lane,
      onVerdicts: (rows, count) => {
        onVerdicts(rows, count);
        parts.onDealt();
      },
    });
    this.alone = producer;
    parts.log.info('messages of refused batches are sent one by one');
    const register = (id: number): void => {
      producer.setTopic(id, parts.nameOf(id) ?? '', optionsOf(parts.told(id)));
    };
    return { producer, register };
  }

  /** Another hold on the same producer, for what is sent from the parked log. */
  openParked(onVerdicts: (rows: Float64Array, count: number) => void): AloneProducer {
    const { parts } = this;
    const producer = openKafkaProducer({
      ...parts.cluster,
      lane: PARKED_LANES_FROM + parts.lane,
      onVerdicts: (rows, count) => {
        onVerdicts(rows, count);
        parts.onDealt();
      },
    });
    this.parked = producer;
    const register = (id: number): void => {
      producer.setTopic(id, parts.nameOf(id) ?? '', optionsOf(parts.told(id)));
    };
    return { producer, register };
  }

  async close(): Promise<void> {
    await Promise.all([this.producer.close(), this.alone?.close(), this.parked?.close()]);
  }

  private onEvent(kind: 'error' | 'fatal' | 'log', code: number, text: string): void {
    const { log, onFatal } = this.parts;
    if (kind === 'fatal') {
      log.error({ code, text }, 'the Kafka producer is renewed');
      onFatal();
    } else if (kind === 'error' && this.seldom.isDue(`${code}`)) log.warn({ code, text }, 'kafka');
    else log.debug({ code, text }, 'kafka');
  }
}

/**
 * How a topic is sent to. Kafka refuses a whole batch that is longer than the topic's
 * `max.message.bytes`, and takes what was on its way behind it: where batches can be that long, no
 * more is in flight than one batch may hold.
 */
function optionsOf(topic: LaneTopic | undefined): TopicOptions {
  if (topic === undefined) return {};
  const { idHeader, batchBytesMax } = topic;
  if (batchBytesMax >= BATCH_BYTES_MAX) return { idHeader };
  const inFlightBytesPerPartitionMax = Math.max(1, batchBytesMax - BATCH_HEAD_BYTES);
  return { idHeader, inFlightBytesPerPartitionMax };
}
