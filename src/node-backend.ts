import type { Cluster } from './backend/consumer-port.ts';
import { EmbeddedBackend } from './backend/embedded/embedded-backend.ts';
import { EmbeddedConsumers } from './backend/embedded/embedded-consumers.ts';
import { EmbeddedInternalTopics } from './backend/embedded/embedded-internal-topics.ts';
import { EmbeddedPublisher } from './backend/embedded/embedded-publisher.ts';
import type { LaneControl } from './backend/embedded/lane-control.ts';
import type { KafkaBackend } from './backend/kafka/kafka-backend.ts';
import { type ClientSettings, clientSettings } from './backend/kafka/kafka-settings.ts';
import { openKafkaBackend } from './backend/kafka/open-kafka-backend.ts';
import { type KafkaPorts, openKafkaPorts } from './backend/kafka/open-kafka-ports.ts';
import type { Backend } from './backend/port.ts';
import { systemClock } from './base/clock.ts';
import type { Logger } from './base/log.ts';
import type { FileCatalog } from './catalog/file-catalog.ts';
import { checkCluster } from './cluster-identity.ts';
import type { ClusterPorts } from './cluster-ports.ts';
import type { Config } from './config/schema.ts';
import type { ClusterNumber } from './lanes/lane-calls.ts';
import { type KafkaProducer, openKafkaProducer, openKafkaTail } from './native/kafka.ts';
import { openKafkaGroup } from './native/kafka-group.ts';
import { openFailover } from './node-failover.ts';
import type { NodeLanes } from './node-lanes.ts';
import type { NodeManifest } from './node-manifest.ts';
import { KAFKA_PRIMARY, kafkaSettings } from './node-settings.ts';
import type { Failover } from './produce/failover/failover.ts';
import { MissingTopics } from './produce/missing-topics.ts';

/** A lane number that no lane has. */
const METADATA_LANE = 255;

/** What {@link openNodeBackend} needs. The lanes have been started. */
export interface NodeBackendParts {
  readonly config: Config;
  readonly manifest: NodeManifest;
  readonly catalog: FileCatalog;
  readonly lanes: NodeLanes;
  readonly log: Logger;
  /** The backend's description of a topic is new or has changed. */
  onTopic(name: string): void;
}

/** The backend that the data folder was made for, and what belongs to it. */
export interface NodeBackend {
  readonly backend: Backend;
  /** What consuming needs of each cluster, the primary first. */
  readonly clusters: readonly ClusterPorts[];
  /** What the delay role needs of each cluster; its publishers are its own. */
  readonly delayPorts: readonly ClusterPorts[];
  /** Present when there is a backup cluster. */
  readonly failover?: Failover;
  /** Refuses to go on with what waits for another cluster. @throws DATA_DIR_REFUSED */
  check(): Promise<void>;
  /** A lane has messages of a topic that the cluster does not seem to know. */
  topicMissing(topic: number, name: string, cluster: ClusterNumber): void;
  close(): Promise<void>;
}

/** Opens the backend; Kafka is not waited for. */
export function openNodeBackend(parts: NodeBackendParts): Promise<NodeBackend> {
  return parts.manifest.backend === 'kafka' ? openKafka(parts) : openEmbedded(parts);
}

/** What the delay role has: nothing when it is off. */
function roleOf<T>(config: Config, clusters: readonly T[]): readonly T[] {
  return config.delay.enabled ? clusters : [];
}

async function openEmbedded({ config, catalog, lanes }: NodeBackendParts): Promise<NodeBackend> {
  const lane = {
    call: (name, args) => lanes.links[0]?.call('log', name, args),
  } as LaneControl;
  const { messageBytesMax } = config.limits;
  const { partitions } = config.topics;
  const backend = await EmbeddedBackend.open({ book: catalog, lane, partitions, messageBytesMax });
  const consumers = new EmbeddedConsumers({ backend, lane, clock: systemClock });
  const publisher = new EmbeddedPublisher({ book: catalog, lane });
  return {
    backend,
    clusters: [{ consumers, publisher, topics: new EmbeddedInternalTopics(backend) }],
    delayPorts: roleOf(config, [consumers]).map((ofRole) => ({
      consumers: ofRole,
      // Of its own, since each role ends its publisher itself.
      publisher: new EmbeddedPublisher({ book: catalog, lane }),
      topics: new EmbeddedInternalTopics(backend),
    })),
    check: async () => {},
    topicMissing: () => {},
    close: () => backend.close(),
  };
}

async function openKafka(parts: NodeBackendParts): Promise<NodeBackend> {
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
    delayPorts: roleOf(config, ports).map(({ consumers, topics, openPublisher }) => ({
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
  const { partitions, replicationFactor } = config.topics;
  return openKafkaPorts({
    cluster,
    settings,
    clock: systemClock,
    logger: log,
    partitions,
    replicationFactor: replicationFactor === 'auto' ? undefined : replicationFactor,
    metadata,
    openTail: (consumer) => openKafkaTail({ config: consumer }),
    openGroup: openKafkaGroup,
    openProducer: openKafkaProducer,
  });
}
