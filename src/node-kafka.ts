import type { Cluster } from './backend/consumer-port.ts';
import type { KafkaBackend } from './backend/kafka/kafka-backend.ts';
import { type ClientSettings, clientSettings } from './backend/kafka/kafka-settings.ts';
import { openKafkaBackend } from './backend/kafka/open-kafka-backend.ts';
import { type KafkaPorts, openKafkaPorts } from './backend/kafka/open-kafka-ports.ts';
import { systemClock } from './base/clock.ts';
import { checkCluster } from './cluster-identity.ts';
import { type KafkaProducer, openKafkaProducer, openKafkaTail } from './native/kafka.ts';
import { openKafkaGroup } from './native/kafka-group.ts';
import type { NodeBackend, NodeBackendParts } from './node-backend.ts';
import { openFailover } from './node-failover.ts';
import { KAFKA_PRIMARY, kafkaSettings } from './node-settings.ts';
import { MissingTopics } from './produce/missing-topics.ts';

/** A lane number that no lane has. */
const METADATA_LANE = 255;

/** One Kafka cluster, or two; neither is waited for. */
export async function openKafka(parts: NodeBackendParts): Promise<NodeBackend> {
  const { config, catalog, lanes, log, onTopic } = parts;
  const { partitions, replicationFactor } = config.topics;
  const settings = clientSettings(kafkaSettings(config));
  // The main thread's hold on the lanes' own producer: it knows the cluster's metadata.
  const metadata = openKafkaProducer({
    key: KAFKA_PRIMARY,
    config: settings.producer,
    lane: METADATA_LANE,
    onVerdicts: () => {},
  });
  const backend: KafkaBackend = openKafkaBackend({
    settings,
    book: catalog,
    clock: systemClock,
    logger: log,
    partitions,
    replicationFactor: replicationFactor === 'auto' ? undefined : replicationFactor,
    metadata,
    makeTail: (consumer) => openKafkaTail({ config: consumer }),
    onTopic: (topic) => onTopic(topic.name),
  });
  const second = openFailover({ config, catalog, lanes, log, primary: metadata });
  const ports = [kafkaPorts(0, parts, { settings, metadata })];
  if (second !== undefined) ports.push(kafkaPorts(1, parts, second));
  const missingTopics = new MissingTopics({
    clock: systemClock,
    log,
    probe: (name) => backend.probeTopic(name),
    drop: (id) => lanes.dropTopic(id),
  });
  return {
    backend,
    clusters: ports.map(({ consumers, topics, openPublisher }) => ({
      consumers,
      topics,
      publisher: openPublisher('consume'),
    })),
    delayPorts: (config.delay.enabled ? ports : []).map(({ consumers, topics, openPublisher }) => ({
      consumers,
      topics,
      publisher: openPublisher('delay'),
    })),
    failover: second?.failover,
    check: async () => {
      const { waiting } = lanes;
      await checkCluster({ config, backend, backup: second, waiting, clock: systemClock });
      await second?.failover.start();
    },
    topicMissing: (topic, name, cluster) => {
      if (cluster === 0) missingTopics.report(topic, name);
      else second?.topicMissing(name);
    },
    close: async () => {
      missingTopics.close();
      await Promise.all(ports.map((one) => one.close()));
      await second?.close();
      await backend.close();
      await metadata.close();
    },
  };
}

/** What consuming needs of one cluster. */
function kafkaPorts(
  cluster: Cluster,
  { config, log }: NodeBackendParts,
  { settings, metadata }: { settings: ClientSettings; metadata: KafkaProducer },
): KafkaPorts {
  const { partitions } = config.topics;
  return openKafkaPorts({
    cluster,
    settings,
    clock: systemClock,
    logger: log,
    partitions,
    metadata,
    openTail: (consumer) => openKafkaTail({ config: consumer }),
    openGroup: openKafkaGroup,
    openProducer: openKafkaProducer,
  });
}
