import type { Backend } from './backend/port.ts';
import { systemClock } from './base/clock.ts';
import type { Logger } from './base/log.ts';
import { systemRandom } from './base/random.ts';
import type { ClusterPorts } from './cluster-ports.ts';
import { clusterSecret } from './cluster-secret.ts';
import type { Config } from './config/schema.ts';
import { ConsumeEngine } from './consume/engine.ts';
import { GroupAdmin } from './consume/group-admin.ts';
import { AckMapStore } from './consume/partition/ack-map-store.ts';
import { PauseBook } from './consume/pause-book.ts';
import { type NodeDeadLetters, openNodeDeadLetters } from './node-dead-letters.ts';
import { readPauses, writePauses } from './paused-groups.ts';

/** What {@link openNodeConsume} needs. */
export interface NodeConsumeParts {
  readonly config: Config;
  readonly manifest: { readonly nodeId: string };
  readonly log: Logger;
  readonly clusters: readonly ClusterPorts[];
  readonly backend: Backend;
  /** The delay log of a cluster, while delayed messages are taken there. */
  delayLog(cluster: number): string | undefined;
}

/** Groups, leases, retries and dead letters of a node. */
export interface NodeConsume {
  readonly engine: ConsumeEngine;
  readonly groups: GroupAdmin;
  readonly deadLetters: NodeDeadLetters;
  /** Hands everything over, leaves the groups, and ends the publishers. */
  close(): Promise<void>;
}

/** Makes what consumes. The backends are open. */
export function openNodeConsume(parts: NodeConsumeParts): NodeConsume {
  const { config, manifest, log, clusters, backend } = parts;
  const { nodeId } = manifest;
  const deadLetters = openNodeDeadLetters({
    config,
    nodeId,
    log,
    clusters,
    backend,
    delayLog: parts.delayLog,
  });
  const pauses = new PauseBook(readPauses(config.dataDir), (all) =>
    writePauses(config.dataDir, all),
  );
  for (const group of pauses.groups) {
    log.warn({ group, ...pauses.get(group) }, 'a group is paused on this node until it is resumed');
  }
  const engine = new ConsumeEngine({
    clock: systemClock,
    log,
    nodeId,
    secret: clusterSecret({
      configured: config.cluster.secret,
      dataDir: config.dataDir,
      random: systemRandom,
    }),
    clusters: clusters.map(({ consumers, publisher, topics }) => ({
      backend: consumers,
      maps: new AckMapStore({ backend: consumers, publisher, topics }),
    })),
    settler: deadLetters.settler,
    commitMs: config.consume.ackCommit,
    pauses,
    commitAcks: config.consume.ackCommitCount,
    frameBytesMax: config.limits.frameBytesMax,
    defer: (fn) => void setImmediate(fn),
  });
  const close = async (): Promise<void> => {
    await deadLetters.desk.close();
    await engine.close();
    for (const { consumers, publisher } of clusters) {
      await consumers.close();
      await publisher.close();
    }
  };
  let closing: Promise<void> | undefined;
  const backends = clusters.map(({ consumers }) => consumers);
  return {
    engine,
    groups: new GroupAdmin({
      engine,
      backends,
      clock: systemClock,
      pauses,
      frameBytesMax: config.limits.frameBytesMax,
    }),
    deadLetters,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}
