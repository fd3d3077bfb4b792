/** What a backend notes of a topic on its cluster. */
export interface BookedMetadata {
  readonly partitions: number;
  readonly messageBytesMax: number;
  readonly replicationFactor: number;
  readonly minInsyncReplicas: number;
  readonly config: Readonly<Record<string, string>>;
}

/** A topic in the book. */
export interface BookedTopic {
  /** The node's number for the topic. */
  readonly id: number;
  readonly name: string;
  readonly clusters: Readonly<Record<string, BookedMetadata & { readonly confirmed: boolean }>>;
}

/**
 * The part of the node's topic catalog that a backend reads and writes; the catalog has its shape.
 */
export interface TopicBook {
  get(name: string): BookedTopic | undefined;
  list(prefix: string): BookedTopic[];
  record(name: string, cluster: string, metadata: BookedMetadata): Promise<BookedTopic>;
  unconfirm(name: string, cluster: string): Promise<void>;
}

/** The cluster that every backend calls its first. */
export const primaryCluster = 'primary';
