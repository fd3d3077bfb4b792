import type { CodedError } from '../base/errors.ts';
import type { PartitionOffsets, TailRequest, TailResult, TopicSummary } from './port.ts';

/** A cluster as the wire names it: 0 is the primary (or the embedded log), 1 the backup. */
export type Cluster = 0 | 1;

/** One partition of a topic. */
export interface TopicPartition {
  readonly topic: string;
  /** From 0. */
  readonly partition: number;
}

/** A group's commit of one partition. */
export interface CommittedOffset extends TopicPartition {
  /** The next offset to be read; undefined when the group has no commit of the partition. */
  readonly offset: number | undefined;
  /** What was committed with it, '' when nothing was. */
  readonly metadata: string;
}

/** A commit of one partition. */
export interface OffsetCommit extends TopicPartition {
  /** The next offset to be read. */
  readonly offset: number;
  /**
   * Kept with the offset: printable ASCII, at most {@link commitMetadataBytesMax} bytes; what a
   * broker takes by default (`offset.metadata.max.bytes` is 4,096).
   */
  readonly metadata: string;
}

/** Longest metadata of a commit, in bytes. */
export const commitMetadataBytesMax = 4_000;

/** A place in a partition, by its meaning. */
export type Place = 'beginning' | 'end' | { readonly timeMs: number };

/**
 * Records of one partition in the order of offsets. Owned by the receiver, every array alone, so
 * that it may be kept or transferred.
 */
export interface FetchedRecords extends TopicPartition {
  /** At least 1. */
  readonly count: number;
  /** Wire records of TAIL, back to back; an `mq` header of ours stands as the record's id. */
  readonly records: Buffer;
  /** `count + 1` byte positions: record i is `records[starts[i]] … starts[i + 1]`. */
  readonly starts: Uint32Array;
  /** Of each record; they rise, and may have gaps (compaction, aborted transactions). */
  readonly offsets: Float64Array;
  /** murmur2 of each key, 0 without a key (a key whose hash is 0 is given as 1). */
  readonly keyHashes: Uint32Array;
  /** Where reading goes on: the last offset + 1, or behind a gap at the end. */
  readonly nextOffset: number;
  /** End of the partition as last heard; what is between it and `nextOffset` is the lag. */
  readonly endOffset: number;
  /** Gives the memory of `records` back before the collector would; nobody reads it after. */
  readonly release?: () => void;
}

/** How a node becomes a member of a group. All callbacks come on the caller's thread. */
export interface JoinOptions {
  readonly group: string;
  /** What is read, in full names; {@link GroupMember.setTopics} changes it. May be empty. */
  readonly topics: readonly string[];
  /** Shown by every tool of Kafka as the member's client id: the node's id. */
  readonly clientId: string;
  /**
   * Longest time from `onRevoking` to its `done`, in ms; default 10,000, at most 45,000. After it
   * the driver gives the partitions up by itself, calls `onLost` for them, and `onError` with
   * `REVOKE_TIMEOUT`.
   */
  readonly revokeTimeoutMs?: number;
  /**
   * Bytes of each partition that the driver may fetch ahead of what is wanted, save that a fetch
   * may go beyond; default 8 MiB. The memory that they take is several times that where records
   * are small.
   */
  readonly aheadBytesMax?: number;
  /**
   * A rebalance has settled: these came to what the member already has; empty when nothing did,
   * which is how a surplus node learns that it has nothing. Nothing is fetched of a partition
   * before {@link GroupMember.start}.
   */
  onAssigned(partitions: readonly TopicPartition[]): void;
  /**
   * These go to another member: drain, commit, then call `done`, once, for all of them. Their
   * records no longer come after the call. Until `done` no other member gets them.
   */
  onRevoking(partitions: readonly TopicPartition[], done: () => void): void;
  /**
   * The membership was lost (session expired, the process slept): another member may have these
   * already. What is committed for them from now on is refused with `FENCED`. Also comes between
   * `onRevoking` and its `done`, which then does nothing.
   */
  onLost(partitions: readonly TopicPartition[]): void;
  /** Records against the bytes of {@link GroupMember.want}. */
  onRecords(batch: FetchedRecords): void;
  /**
   * Something the engine should know. `OFFSET_OUT_OF_RANGE` names the partition that has stopped
   * until its next `start`; the rest goes on by itself: `BACKEND_UNAVAILABLE`, `UNKNOWN_TOPIC`,
   * `NOT_AUTHORIZED`, `REVOKE_TIMEOUT`.
   */
  onError(error: CodedError, place: TopicPartition | undefined): void;
}

/** A node's membership of one group on one cluster. */
export interface GroupMember {
  /** Replaces the topics. Not debounced: each change is a rebalance on Kafka. */
  setTopics(topics: readonly string[]): void;
  /**
   * The group's commits, in the order asked. Also of partitions that are not the member's.
   *
   * @throws BACKEND_UNAVAILABLE (retriable) when there is no answer in time.
   */
  committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]>;
  /**
   * Commits, all entries in one request; resolves when the cluster has them. Commits reach the
   * cluster in the order of the calls.
   *
   * @throws FENCED when an entry's partition is not (no longer) the member's, or the membership is
   * gone: nothing of the call counts, whatever became of the others. BACKEND_UNAVAILABLE
   * (retriable): it may have been done or not. INVALID_ARGUMENT for metadata that is too long.
   */
  commit(entries: readonly OffsetCommit[]): Promise<void>;
  /**
   * Sets the position from which an assigned partition is read; also a jump, which drops what was
   * fetched and not given yet. Records of before the jump never come after the call. The credit
   * of {@link want} is 0 after it. Does nothing when the partition is not the member's.
   */
  start(topic: string, partition: number, fromOffset: number): void;
  /**
   * Adds to the bytes of records that may come of a partition; a batch takes its length from it,
   * and the last record may go beyond. Without credit nothing comes, and the driver's own fetching
   * stops when its buffer is full. Does nothing when the partition is not the member's.
   */
  want(topic: string, partition: number, bytes: number): void;
  /**
   * Gives back all partitions as a rebalance would (`onRevoking` and its bound), and leaves the
   * group, so that another member has them at once. No callback comes after it has resolved. Does
   * not reject.
   */
  close(): Promise<void>;
}

/** State of a group, by Kafka's words. `empty`: commits, but no member. */
export type GroupState = 'stable' | 'rebalancing' | 'empty';

/** A line of a listing of groups. */
export interface GroupSummary {
  readonly group: string;
  readonly state: GroupState;
}

/** A member of a group, one of our nodes or a foreign consumer. */
export interface GroupMemberDescription {
  readonly memberId: string;
  /** The node's id, when it is one of ours. */
  readonly clientId: string;
  /** Where it connects from; '' on the embedded backend. */
  readonly host: string;
  readonly partitions: readonly TopicPartition[];
}

/** A group's standing in one partition. */
export interface GroupPartition extends CommittedOffset {
  readonly startOffset: number;
  readonly endOffset: number;
  /** `endOffset − offset`, never below 0; from `startOffset` on when there is no commit. */
  readonly lag: number;
}

/** All that a cluster knows of a group. */
export interface GroupDescription extends GroupSummary {
  readonly members: readonly GroupMemberDescription[];
  /** Every partition with a commit, by topic and number. */
  readonly partitions: readonly GroupPartition[];
}

/**
 * The consuming side of one cluster: membership, reading beside a group, and the groups' commits.
 * Unlike `Backend` it takes internal topics too: what clients may name is checked by the caller.
 *
 * All methods reject with a `CodedError`: `BACKEND_UNAVAILABLE` (retriable) when the cluster does
 * not answer in time, `NOT_AUTHORIZED`, and those named below.
 */
export interface ConsumerBackend {
  readonly cluster: Cluster;
  /** Joins in the background: the cluster may be away. One membership a group at a time. */
  join(options: JoinOptions): GroupMember;
  /** The gap reader: no group, no commit. @throws as `Backend.tail` */
  tail(request: TailRequest): Promise<TailResult>;
  /** One entry for each partition, by number. @throws UNKNOWN_TOPIC */
  offsets(topic: string): Promise<PartitionOffsets[]>;
  /**
   * Of one partition alone: where nobody leads another, that one's offsets are told all the same.
   * @throws UNKNOWN_TOPIC, UNKNOWN_PARTITION; BACKEND_UNAVAILABLE while nobody leads it
   */
  span(place: TopicPartition): Promise<PartitionOffsets>;
  /**
   * The offset at a place of each partition, in the order asked; the end when a time is later
   * than every record. @throws UNKNOWN_TOPIC, UNKNOWN_PARTITION
   */
  positions(partitions: readonly TopicPartition[], at: Place): Promise<readonly number[]>;
  /** Topics of this cluster whose name begins with `prefix`, without the internal ones. */
  listTopics(prefix: string): Promise<TopicSummary[]>;

  /** Consumer groups of the cluster, foreign ones too, by name. */
  listGroups(prefix: string): Promise<GroupSummary[]>;
  /** Resolves to undefined when the cluster knows no such group. */
  describeGroup(group: string): Promise<GroupDescription | undefined>;
  /** Members of each of these groups; a group that the cluster does not know has none. */
  groupMembers(
    groups: readonly string[],
  ): Promise<ReadonlyMap<string, readonly GroupMemberDescription[]>>;
  /**
   * Commits in place of a member, with metadata as given. @throws GROUP_CONFLICT while the group
   * has members on the cluster: then its owner must do it.
   */
  resetOffsets(group: string, entries: readonly OffsetCommit[]): Promise<void>;
  /** Forgets a group and its commits. @throws UNKNOWN_GROUP; GROUP_CONFLICT while it has members */
  deleteGroup(group: string): Promise<void>;
  /** Closes every member and reader. */
  close(): Promise<void>;
}
