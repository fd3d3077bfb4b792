import type { Backend } from './backend/port.ts';
import type { Logger } from './base/log.ts';
import type { FileCatalog } from './catalog/file-catalog.ts';
import type { ClusterPorts } from './cluster-ports.ts';
import type { Config } from './config/schema.ts';
import type { ClusterNumber } from './lanes/lane-calls.ts';
import type { NodeLanes } from './node-lanes.ts';
import type { NodeManifest } from './node-manifest.ts';
import type { Failover } from './produce/failover/failover.ts';

/** What opening a backend needs. The lanes have been started. */
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
