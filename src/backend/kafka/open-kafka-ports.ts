import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { KafkaProducer, KafkaProducerOptions, KafkaTail } from '../../native/kafka.ts';
import type { KafkaGroup, KafkaGroupOptions } from '../../native/kafka-group.ts';
import type { Cluster } from '../consumer-port.ts';
import { AdminClient } from './admin-client.ts';
import { KafkaConsumers } from './kafka-consumers.ts';
import { KafkaInternalTopics } from './kafka-internal-topics.ts';
import { KafkaPublisher } from './kafka-publisher.ts';
import type { ClientSettings } from './kafka-settings.ts';
import { KafkaTopics, type MetadataSource } from './kafka-topics.ts';
import { TailPool } from './tail-pool.ts';

/** What {@link openKafkaPorts} puts together. */
export interface OpenKafkaPortsOptions {
  readonly cluster: Cluster;
  readonly settings: ClientSettings;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Partitions of a topic that is created without a number. */
  readonly partitions: number;
  /** Who knows the cluster's metadata; it stays the caller's. */
  readonly metadata: MetadataSource;
  readonly openTail: (config: Record<string, string>) => KafkaTail;
  readonly openGroup: (options: KafkaGroupOptions) => KafkaGroup;
  readonly openProducer: (options: KafkaProducerOptions) => KafkaProducer;
}

/** What consuming, dead letters and delays need of a Kafka cluster. */
export interface KafkaPorts {
  readonly consumers: KafkaConsumers;
  readonly topics: KafkaInternalTopics;
  /** A publisher for a role, with a native producer of its own, which its owner closes. */
  openPublisher(role: string): KafkaPublisher;
  /** Ends members and readers. */
  close(): Promise<void>;
}

/** Makes the ports of one cluster. Nothing is waited for: Kafka may be away, also at start. */
export function openKafkaPorts(options: OpenKafkaPortsOptions): KafkaPorts {
  const { cluster, settings, clock, logger, metadata, partitions } = options;
  const client = new AdminClient({ settings: settings.admin, clock, logger });
  const topics = new KafkaTopics({ client, metadata, clock, partitions });
  const tails = new TailPool({ make: () => options.openTail({ ...settings.consumer }), clock });
  const consumers = new KafkaConsumers({
    cluster,
    config: settings.consumer,
    client,
    topics,
    tails,
    clock,
    logger,
    openGroup: options.openGroup,
  });
  return {
    consumers,
    topics: new KafkaInternalTopics({ cluster, topics, log: logger }),
    openPublisher: (role) =>
      new KafkaPublisher({
        cluster,
        config: settings.producer,
        clock,
        logger,
        open: options.openProducer,
        key: `publish-${cluster}-${role}`,
      }),
    close: async () => {
      await consumers.close();
      await tails.close();
      await client.close();
    },
  };
}
