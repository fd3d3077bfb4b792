/** What is known of a topic on one cluster. */
export interface TopicMetadata {
  readonly partitions: number;
  /** Largest record the cluster takes, in bytes. */
  readonly messageBytesMax: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  readonly config: Readonly<Record<string, string>>;
}

/** A topic on one cluster, as last seen. */
export interface ClusterTopic extends TopicMetadata {
  /**
   * True while the cluster's last word was that the topic exists. It turns false when the cluster
   * says that it does not; the metadata and the id stay, since messages may still wait for it.
   */
  readonly confirmed: boolean;
}

/** A topic the node knows. */
export interface CatalogTopic {
  /** The node's number for the topic, 1 to 65,535; given once and never given again. */
  readonly id: number;
  readonly name: string;
  /** By cluster: `primary` (also the embedded log) and later `backup`. */
  readonly clusters: Readonly<Record<string, ClusterTopic>>;
}

/**
 * The topics this node knows, on its disk, so that a node that starts without its backend can
 * take messages for them. Reads are from memory; what changes resolves once it is on the disk.
 */
export interface Catalog {
  /** The topic of that name, or undefined when the node has never seen it. */
  get(name: string): CatalogTopic | undefined;
  /** The topic with that id. */
  byId(id: number): CatalogTopic | undefined;
  /** True when the cluster's last word was that the topic exists. */
  confirmed(name: string, cluster: string): boolean;
  /** Topics whose name begins with `prefix`, by name. */
  list(prefix: string): CatalogTopic[];
  /**
   * Notes what a cluster says of a topic, and gives the topic its id when it has none. The topic
   * is confirmed on that cluster from then on.
   *
   * @throws TOO_MANY_TOPICS when there is no id left; RETRY_LATER when the disk refuses, and the
   * next change is written again; CATALOG_FAILED when nobody knows what is on it.
   */
  record(name: string, cluster: string, metadata: TopicMetadata): Promise<CatalogTopic>;
  /** Notes that a cluster says it has no such topic. Nothing happens for one never seen. */
  unconfirm(name: string, cluster: string): Promise<void>;
  /** Resolves when everything noted is on the disk. */
  close(): Promise<void>;
}
