import { autoReplicas } from './backend/internal-topic-check.ts';
import { AdminClient } from './backend/kafka/admin-client.ts';
import { BackupTopics } from './backend/kafka/backup-topics.ts';
import { type ClientSettings, clientSettings } from './backend/kafka/kafka-settings.ts';
import { KafkaTopics } from './backend/kafka/kafka-topics.ts';
import { systemClock } from './base/clock.ts';
import { coded } from './base/errors.ts';
import type { Logger } from './base/log.ts';
import type { FileCatalog } from './catalog/file-catalog.ts';
import { noteBackup } from './cluster-identity.ts';
import { readUse, writeUse } from './cluster-use.ts';
import type { Config } from './config/schema.ts';
import { type KafkaProducer, openKafkaProducer } from './native/kafka.ts';
import type { NodeLanes } from './node-lanes.ts';
import { backupSettings, KAFKA_BACKUP } from './node-settings.ts';
import { type ClusterSide, Failover } from './produce/failover/failover.ts';

/** Longest wait for the answer to a probe, in ms. */
const PROBE_TIMEOUT_MS = 2_000;
/** What flaps is left alone for ten minutes at most. */
const CLOSE_AFTER_MS_MAX = 600_000;
/** Lane number of the main thread's hold on a producer. */
const METADATA_LANE = 255;

/** What {@link openFailover} needs. */
export interface NodeFailoverParts {
  readonly config: Config;
  readonly catalog: FileCatalog;
  readonly lanes: NodeLanes;
  readonly log: Logger;
  /** The main thread's hold on the producer of the primary. */
  readonly primary: KafkaProducer;
}

/** The second cluster, and who decides between the two. */
export interface NodeFailover {
  readonly failover: Failover;
  /** How the backup is reached, and who knows its metadata. */
  readonly settings: ClientSettings;
  readonly metadata: KafkaProducer;
  /** Kafka's own id of the backup. @throws BACKEND_UNAVAILABLE */
  clusterId(): Promise<string>;
  /** A lane met a topic that the backup does not seem to know. */
  topicMissing(name: string): void;
  close(): Promise<void>;
}

/** Opens the backup cluster; undefined when none is configured. */
export function openFailover(parts: NodeFailoverParts): NodeFailover | undefined {
  const { config, catalog, lanes, log } = parts;
  const second = backupSettings(config);
  if (second === undefined) return undefined;
  const settings = clientSettings(second);
  const clock = systemClock;
  const producer = openKafkaProducer({
    key: KAFKA_BACKUP,
    config: settings.producer,
    lane: METADATA_LANE,
    onVerdicts: () => {},
  });
  const client = new AdminClient({ settings: settings.admin, clock, logger: log });
  const { partitions, replicationFactor } = config.topics;
  const clusterId = (): Promise<string> =>
    client.run(
      'ask for the cluster id',
      async (admin) => (await admin.describeCluster()).clusterId,
    );
  const topics = new BackupTopics({
    topics: new KafkaTopics({ client, metadata: producer, clock, partitions }),
    book: catalog,
    log,
    mayCreate: config.failover.createTopics,
    replicas: async () => {
      if (replicationFactor !== 'auto') return replicationFactor;
      const { brokers } = await producer.metadata({ timeoutMs: PROBE_TIMEOUT_MS });
      return autoReplicas(brokers.length);
    },
  });
  const { openAfter: openAfterMs, failbackAfter: closeAfterMs } = config.failover;
  const failover = new Failover({
    clock,
    log,
    sides: [
      sideOf('primary', parts.primary, catalog, async () => {}),
      sideOf('backup', producer, catalog, backupDuties(config.dataDir, clusterId, topics)),
    ],
    times: {
      openAfterMs,
      closeAfterMs,
      closeAfterMsMax: Math.max(CLOSE_AFTER_MS_MAX, closeAfterMs),
    },
    setting: readUse(config.dataDir),
    waiting: () => waitingTopics(config, catalog),
    nameOf: (id) => catalog.byId(id)?.name ?? String(id),
    apply: (plan) => lanes.setPlan(plan),
    keep: (setting) => writeUse(config.dataDir, setting),
  });
  return {
    failover,
    settings,
    metadata: producer,
    clusterId,
    topicMissing: (name) => topics.missing(name),
    close: async () => {
      failover.close();
      await client.close();
      await producer.close();
    },
  };
}

/** Before the backup is used it must have said that it is another cluster than the primary. */
function backupDuties(
  dataDir: string,
  clusterId: () => Promise<string>,
  topics: BackupTopics,
): () => Promise<void> {
  let isKnown = false;
  return async () => {
    if (!isKnown) noteBackup(dataDir, await clusterId());
    isKnown = true;
    void topics.tend();
  };
}

function sideOf(
  name: 'primary' | 'backup',
  producer: KafkaProducer,
  catalog: FileCatalog,
  duties: () => Promise<void>,
): ClusterSide {
  return {
    name,
    health: () => producer.health(),
    renew: () => void producer.renew(producer.generation),
    probe: async (asked) => {
      const names = new Map(asked.map((id) => [catalog.byId(id)?.name ?? '', id]));
      const [first] = names.size > 0 ? names.keys() : [catalog.list('')[0]?.name];
      const topic = names.size > 1 ? undefined : first;
      const { topics } = await producer
        .metadata({ topic, timeoutMs: PROBE_TIMEOUT_MS })
        .catch((error: Error) => {
          throw coded('BACKEND_UNAVAILABLE', `Kafka did not answer: ${error.message}`);
        });
      await duties();
      const sick: number[] = [];
      for (const [asking, id] of names) {
        const found = topics.find((one) => one.name === asking);
        const least = catalog.get(asking)?.clusters[name]?.minInsyncReplicas ?? 1;
        const isWell = found?.partitions.every((one) => one.leader >= 0 && one.inSync >= least);
        if (found === undefined || found.code !== 0 || isWell !== true) sick.push(id);
      }
      return sick;
    },
  };
}

function waitingTopics(config: Config, catalog: FileCatalog): number[] {
  const found: number[] = [];
  for (const [name, { failover }] of Object.entries(config.topics.overrides)) {
    const topic = failover === 'wait' ? catalog.get(name) : undefined;
    if (topic !== undefined) found.push(topic.id);
  }
  return found;
}
