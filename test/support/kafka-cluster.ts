import { AdminClient } from '../../src/backend/kafka/admin-client.ts';
import type { KafkaConsumers } from '../../src/backend/kafka/kafka-consumers.ts';
import type { KafkaInternalTopics } from '../../src/backend/kafka/kafka-internal-topics.ts';
import type { KafkaPublisher } from '../../src/backend/kafka/kafka-publisher.ts';
import { clientSettings } from '../../src/backend/kafka/kafka-settings.ts';
import { KafkaTopics } from '../../src/backend/kafka/kafka-topics.ts';
import { openKafkaPorts } from '../../src/backend/kafka/open-kafka-ports.ts';
import { type Clock, systemClock } from '../../src/base/clock.ts';
import { createLogger } from '../../src/base/log.ts';
import { openKafkaProducer, openKafkaTail } from '../../src/native/kafka.ts';
import { openKafkaGroup } from '../../src/native/kafka-group.ts';
import { cleanUp } from './clean-up.ts';

/** The ports of a Kafka cluster, as a node puts them together. */
export interface KafkaCluster {
  readonly topics: KafkaTopics;
  readonly consumers: KafkaConsumers;
  readonly publisher: KafkaPublisher;
  readonly internalTopics: KafkaInternalTopics;
}

let used = 0;

/**
 * Opens one for each node that a test wants to be; it is closed after the test. One with a clock of
 * the test's own makes no topics: that waits by the clock.
 */
export function kafkaCluster(brokers: string, clock: Clock = systemClock): KafkaCluster {
  const settings = clientSettings({
    brokers: brokers.split(','),
    clientId: 'mqproxy-test',
    tls: { enabled: false },
    sasl: { mechanism: 'none' },
    lingerMs: 0,
    compression: 'none',
    messageBytesMax: 1024 * 1024,
  });
  const logger = createLogger('error');
  const client = new AdminClient({ settings: settings.admin, clock, logger });
  used += 1;
  const metadata = openKafkaProducer({
    key: `test-metadata-${used}`,
    config: settings.producer,
    lane: 0,
    onVerdicts: () => undefined,
  });
  const topics = new KafkaTopics({ client, metadata, clock, partitions: 4 });
  const ports = openKafkaPorts({
    cluster: 0,
    settings,
    clock,
    logger,
    partitions: 4,
    metadata,
    openTail: (config) => openKafkaTail({ config }),
    openGroup: openKafkaGroup,
    openProducer: openKafkaProducer,
  });
  const publisher = ports.openPublisher(`test-${used}`);
  cleanUp(async () => {
    await publisher.close();
    await ports.close();
    await client.close();
    await metadata.close();
  });
  return { topics, consumers: ports.consumers, publisher, internalTopics: ports.topics };
}
