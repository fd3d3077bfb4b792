import { loadAddon } from './load.ts';

/** One partition of a topic. */
export interface GroupPlace {
  readonly topic: string;
  readonly partition: number;
}

/** A commit of one partition as it was found; without `offset` when there is none. */
export interface GroupOffset extends GroupPlace {
  readonly offset: number | undefined;
  readonly metadata: string;
}

/** What is committed of one partition. */
export interface CommitEntry extends GroupPlace {
  readonly offset: number;
  readonly metadata: string;
}

/** Records of one partition; every part is owned by the receiver. */
export interface GroupBatch extends GroupPlace {
  readonly count: number;
  /** TAIL wire records. */
  readonly records: Buffer;
  readonly starts: Uint32Array;
  readonly offsets: Float64Array;
  readonly keyHashes: Uint32Array;
  readonly nextOffset: number;
  readonly endOffset: number;
}

/** Options of {@link KafkaGroup}. The callbacks come on this thread, in the order of events. */
export interface KafkaGroupOptions {
  /** librdkafka settings; `bootstrap.servers` is needed. */
  readonly config: Record<string, string>;
  readonly group: string;
  readonly topics: readonly string[];
  /** From `onRevoking` to `revoked`, 1 to 45,000; default 10,000. */
  readonly revokeTimeoutMs?: number;
  /** Bytes of one batch, except that one record may be longer; default 1 MiB. */
  readonly batchBytesMax?: number;
  /** Came to what the member has; empty: the rebalance brought nothing. */
  onAssigned(places: GroupPlace[]): void;
  /** {@link KafkaGroup.revoked} is to be called with the serial. */
  onRevoking(places: GroupPlace[], serial: number): void;
  /** Gone; also of what was being revoked. */
  onLost(places: GroupPlace[]): void;
  onRecords(batch: GroupBatch): void;
  /** `code` is an `rd_kafka_resp_err_t`; `places` is empty, or the partition that stopped. */
  onError(code: number, text: string, places: GroupPlace[]): void;
}

/**
 * A member of a consumer group on its own native thread. Errors of arguments are thrown; promises
 * reject with `KafkaFailure` (`kafkaCode`).
 */
export interface KafkaGroup {
  setTopics(topics: readonly string[]): void;
  /** What `onRevoking` named with that serial may go. */
  revoked(serial: number): void;
  /** Where a partition of the member is read from, from now on. */
  start(topic: string, partition: number, offset: number): void;
  /** Adds to the bytes that may come of it. */
  want(topic: string, partition: number, bytes: number): void;
  /** Frees the memory of a batch's records at once: nobody may read them after. */
  release(records: Buffer): void;
  /**
   * Code 22 (ILLEGAL_GENERATION): a partition is not the member's. One at a time, in order.
   * `foreign`: also of partitions that are not the member's, which Kafka takes only while the
   * group has no members; for an object without topics.
   */
  commit(offsets: readonly CommitEntry[], foreign?: boolean): Promise<void>;
  committed(places: readonly GroupPlace[]): Promise<GroupOffset[]>;
  /** Gives back, leaves the group, ends the thread. */
  close(): Promise<void>;
}

interface GroupNative {
  KafkaGroup: new (options: KafkaGroupOptions) => KafkaGroup;
}

/** Settings that a group's member fills in where the caller gave none. */
export const GROUP_DEFAULTS: Readonly<Record<string, string>> = {
  'partition.assignment.strategy': 'cooperative-sticky',
  'session.timeout.ms': '6000',
  'heartbeat.interval.ms': '2000',
  // Longer than any revocation: the others wait for us so long.
  'max.poll.interval.ms': '60000',
  'enable.auto.commit': 'false',
  'enable.auto.offset.store': 'false',
  'auto.offset.reset': 'error',
  'isolation.level': 'read_committed',
  'allow.auto.create.topics': 'false',
  // A full queue is looked at again after this; the default of a second stalls a partition.
  'fetch.queue.backoff.ms': '5',
  'fetch.error.backoff.ms': '100',
  // Of each partition, since each has its own queue.
  'queued.max.messages.kbytes': '8192',
  'reconnect.backoff.max.ms': '1000',
  'socket.timeout.ms': '6000',
  // A topic that is made later is found after so long.
  'topic.metadata.refresh.interval.ms': '10000',
};

/** Joins in the background; nothing is asked of the network yet. Throws on a bad setting. */
export function openKafkaGroup(options: KafkaGroupOptions): KafkaGroup {
  const native = loadAddon() as GroupNative;
  return new native.KafkaGroup({ ...options, config: { ...GROUP_DEFAULTS, ...options.config } });
}
