import type { Cluster } from './backend/consumer-port.ts';
import type { Backend } from './backend/port.ts';
import { systemClock } from './base/clock.ts';
import { codeOf } from './base/errors.ts';
import type { Logger } from './base/log.ts';
import { systemRandom } from './base/random.ts';
import type { ClusterPorts } from './cluster-ports.ts';
import type { Config } from './config/schema.ts';
import { DeadLetterDesk } from './consume/dead-letters/dead-letter-desk.ts';
import { DeadLetters } from './consume/dead-letters/dead-letters.ts';
import { LetterEnds } from './consume/dead-letters/letter-ends.ts';
import { retryTopicConfig, sideTopicConfig, sideTopicMadeWith } from './internal-topics.ts';

/** What {@link openNodeDeadLetters} needs. */
export interface NodeDeadLettersParts {
  readonly config: Config;
  readonly nodeId: string;
  readonly log: Logger;
  readonly clusters: readonly ClusterPorts[];
  /** Of the primary cluster: frees what is purged. */
  readonly backend: Backend;
  /** The delay log of a cluster, while delayed messages are taken there. */
  delayLog(cluster: number): string | undefined;
}

/** Retries and dead letters of a node. */
export interface NodeDeadLetters {
  readonly settler: DeadLetters;
  readonly desk: DeadLetterDesk;
}

/** Makes what decides of failed messages, and what operators do with dead ones. */
export function openNodeDeadLetters(parts: NodeDeadLettersParts): NodeDeadLetters {
  const { config, log, clusters, backend } = parts;
  const nodeId = BigInt(`0x${parts.nodeId}`);
  const { partitions, replicationFactor } = config.deadLetters;
  const made = { madeWith: sideTopicMadeWith(config), partitions, replicationFactor };
  const portsOf = (cluster: number): ClusterPorts | undefined =>
    clusters.find(({ consumers }) => consumers.cluster === (cluster as Cluster));
  const ends = new Map(
    clusters.map(({ consumers }) => [consumers.cluster, new LetterEnds(consumers, systemClock)]),
  );
  const settler = new DeadLetters({
    settings: config.retry,
    deadTopic: { config: sideTopicConfig(config), ...made },
    retryTopic: (of) => ({ config: retryTopicConfig(config, of), ...made }),
    cluster: (number) => {
      const ports = portsOf(number);
      if (ports === undefined) return undefined;
      const { consumers, publisher, topics } = ports;
      const letters = ends.get(consumers.cluster) as LetterEnds;
      return {
        publisher,
        topics,
        lettersSince: (place, sinceMs) => letters.since(place, sinceMs),
        partitionsOf: (topic) => countOf(consumers, topic),
      };
    },
    delayLog: parts.delayLog,
    clock: systemClock,
    random: systemRandom,
    log,
    nodeId,
  });
  const desk = new DeadLetterDesk({
    clusters: clusters.map(({ consumers, publisher, topics }) => ({
      source: consumers,
      publisher,
      topics,
      replicationFactor,
      deleteRecords: async (topic: string, partition: number, before: number) => {
        // What the backup holds goes by its retention; the marks hide it.
        if (consumers.cluster === 0) await backend.deleteRecords(topic, partition, before);
      },
    })),
    nodeId,
    frameBytesMax: config.limits.frameBytesMax,
    clock: systemClock,
    log,
  });
  return { settler, desk };
}

async function countOf(
  consumers: ClusterPorts['consumers'],
  topic: string,
): Promise<number | undefined> {
  try {
    return (await consumers.offsets(topic)).length;
  } catch (error) {
    if (codeOf(error) === 'UNKNOWN_TOPIC') return undefined;
    throw error;
  }
}
