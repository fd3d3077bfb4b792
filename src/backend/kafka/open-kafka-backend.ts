import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { KafkaTail } from '../../native/kafka.ts';
import type { TopicDescription } from '../port.ts';
import type { TopicBook } from '../topic-book.ts';
import { AdminClient } from './admin-client.ts';
import { KafkaBackend } from './kafka-backend.ts';
import type { ClientSettings } from './kafka-settings.ts';
import { KafkaTopics, type MetadataSource } from './kafka-topics.ts';
import { TailPool } from './tail-pool.ts';

/** What {@link openKafkaBackend} puts together. */
export interface OpenKafkaBackendOptions {
  readonly settings: ClientSettings;
  readonly book: TopicBook;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Partitions of a topic that is created without a number. */
  readonly partitions: number;
  /** Its replicas; absent: min(3, brokers). */
  readonly replicationFactor?: number;
  /** Who knows the cluster's metadata; it stays the caller's. */
  readonly metadata: MetadataSource;
  /** Makes a native reader of the consumer's settings. */
  readonly makeTail: (config: Record<string, string>) => KafkaTail;
  readonly onTopic?: (topic: TopicDescription) => void;
}

/** Makes the Kafka backend. Nothing is waited for: Kafka may be away, also at start. */
export function openKafkaBackend(options: OpenKafkaBackendOptions): KafkaBackend {
  const { settings, book, clock, logger, metadata, makeTail, onTopic } = options;
  const { partitions, replicationFactor } = options;
  const client = new AdminClient({ settings: settings.admin, clock, logger });
  return new KafkaBackend({
    topics: new KafkaTopics({ client, metadata, clock, partitions, replicationFactor }),
    tails: new TailPool({ make: () => makeTail({ ...settings.consumer }), clock }),
    book,
    clock,
    logger,
    clusterId: () =>
      client.run(
        'ask for the cluster id',
        async (admin) => (await admin.describeCluster()).clusterId,
      ),
    onClose: () => client.close(),
    onTopic,
  });
}
