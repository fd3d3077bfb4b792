import type { Clock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import { inSteps } from '../../base/in-steps.ts';
import { limits } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import type { KafkaGroup, KafkaGroupOptions } from '../../native/kafka-group.ts';
import type {
  Cluster,
  ConsumerBackend,
  GroupDescription,
  GroupMember,
  GroupMemberDescription,
  GroupSummary,
  JoinOptions,
  OffsetCommit,
  Place,
  TopicPartition,
} from '../consumer-port.ts';
import {
  type PartitionOffsets,
  type TailRequest,
  type TailResult,
  type TopicSummary,
  tailFrom,
} from '../port.ts';
import type { AdminClient } from './admin-client.ts';
import { readError } from './kafka-errors.ts';
import { KafkaGroups } from './kafka-groups.ts';
import { KafkaMember } from './kafka-member.ts';
import type { KafkaTopics } from './kafka-topics.ts';
import type { TailPool } from './tail-pool.ts';

/** What a {@link KafkaConsumers} is made of; the parts stay their owner's. */
export interface KafkaConsumersOptions {
  readonly cluster: Cluster;
  /** librdkafka's settings of a consumer of this cluster. */
  readonly config: Record<string, string>;
  readonly client: AdminClient;
  readonly topics: Pick<KafkaTopics, 'describe' | 'leaders' | 'list'>;
  readonly tails: TailPool;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly openGroup: (options: KafkaGroupOptions) => KafkaGroup;
}

const offsetsTimeoutMs = 5_000;

/** The consuming side of a Kafka cluster. */
export class KafkaConsumers implements ConsumerBackend {
  readonly cluster: Cluster;
  readonly #options: KafkaConsumersOptions;
  readonly #groups: KafkaGroups;
  readonly #members = new Map<string, KafkaMember>();

  constructor(options: KafkaConsumersOptions) {
    this.cluster = options.cluster;
    this.#options = options;
    const ignore = (): void => undefined;
    this.#groups = new KafkaGroups({
      client: options.client,
      openCommitter: (group) =>
        options.openGroup({
          config: options.config,
          group,
          topics: [],
          onAssigned: ignore,
          onRevoking: ignore,
          onLost: ignore,
          onRecords: ignore,
          onError: ignore,
        }),
    });
  }

  join(join: JoinOptions): GroupMember {
    const { config, openGroup, topics, clock, logger } = this.#options;
    const { group } = join;
    if (this.#members.has(group)) {
      throw coded('GROUP_CONFLICT', `this node is a member of group ${group} already`);
    }
    const member = new KafkaMember({
      join,
      config,
      open: openGroup,
      askAside: (partitions) => this.#groups.committed(group, partitions),
      watch: { groups: this.#groups, topics, clock, logger },
      onClosed: () => this.#members.delete(group),
    });
    this.#members.set(group, member);
    return member;
  }

  async tail(request: TailRequest): Promise<TailResult> {
    const { topic, partition, from, position, isThere, signal } = request;
    const bytesMax = Math.min(Math.max(request.bytesMax, 1), limits.tailBytesMax);
    const waitMs = Math.min(request.waitMs, limits.tailWaitMsMax);
    const place = { topic, partition, from, position };
    const read = this.#options.tails.read({ ...place, bytesMax, waitMs }, isThere);
    try {
      const result = await unlessAborted(read, signal);
      return result === undefined ? nothing(request) : { partition, ...result };
    } catch (error) {
      throw readError(error, `read topic ${topic}, partition ${partition}`);
    }
  }

  async offsets(topic: string): Promise<PartitionOffsets[]> {
    const known = await this.#options.topics.describe(topic);
    if (known === undefined) throw coded('UNKNOWN_TOPIC', `there is no topic ${topic}`);
    return inSteps(known.leaders, limits.offsetsAtOnce, async (leader, partition) => ({
      partition,
      ...(await this.#offsetsOf({ topic, partition })),
      ...(leader < 0 ? {} : { leader }),
    }));
  }

  async span({ topic, partition }: TopicPartition): Promise<PartitionOffsets> {
    const leaders = await this.#options.topics.leaders(topic);
    if (leaders === undefined) throw coded('UNKNOWN_TOPIC', `there is no topic ${topic}`);
    const leader = leaders[partition];
    if (leader === undefined)
      throw coded('UNKNOWN_PARTITION', `topic ${topic} has no partition ${partition}`);
    // Asked all the same, nobody would answer, and questions to others would wait behind it.
    if (leader < 0)
      throw coded('BACKEND_UNAVAILABLE', `nobody leads topic ${topic}, partition ${partition}`);
    return { partition, ...(await this.#offsetsOf({ topic, partition })), leader };
  }

  async positions(partitions: readonly TopicPartition[], at: Place): Promise<readonly number[]> {
    if (typeof at === 'object') return this.#positionsAt(partitions, at.timeMs);
    return inSteps(partitions, limits.offsetsAtOnce, async (place) => {
      const { startOffset, endOffset } = await this.#offsetsOf(place);
      return at === 'beginning' ? startOffset : endOffset;
    });
  }

  listTopics(prefix: string): Promise<TopicSummary[]> {
    return this.#options.topics.list(prefix);
  }

  listGroups(prefix: string): Promise<GroupSummary[]> {
    return this.#groups.list(prefix);
  }

  describeGroup(group: string): Promise<GroupDescription | undefined> {
    return this.#groups.describe(group);
  }

  groupMembers(
    groups: readonly string[],
  ): Promise<ReadonlyMap<string, readonly GroupMemberDescription[]>> {
    return this.#groups.members(groups);
  }

  resetOffsets(group: string, entries: readonly OffsetCommit[]): Promise<void> {
    return this.#groups.reset(group, entries);
  }

  deleteGroup(group: string): Promise<void> {
    return this.#groups.delete(group);
  }

  /** Closes the members; what it was made of is closed by its owner. */
  async close(): Promise<void> {
    await Promise.all([...this.#members.values()].map((member) => member.close()));
  }

  async #offsetsOf({ topic, partition }: TopicPartition) {
    try {
      const { tails } = this.#options;
      return await tails.offsets({ topic, partition, timeoutMs: offsetsTimeoutMs });
    } catch (error) {
      throw readError(error, `tell the offsets of topic ${topic}, partition ${partition}`);
    }
  }

  /** Asks once for each topic: Kafka's answer is of all its partitions. */
  async #positionsAt(partitions: readonly TopicPartition[], timeMs: number): Promise<number[]> {
    const topics = [...new Set(partitions.map(({ topic }) => topic))];
    const answers = await inSteps(topics, limits.offsetsAtOnce, async (topic) => {
      const found = await this.#options.client.run(`find a time in topic ${topic}`, (admin) =>
        admin.fetchTopicOffsetsByTimestamp(topic, timeMs),
      );
      return new Map(found.map(({ partition, offset }) => [partition, Number(offset)]));
    });
    const offsets = new Map(topics.map((topic, i) => [topic, answers[i]]));
    return partitions.map(({ topic, partition }) => {
      const offset = offsets.get(topic)?.get(partition);
      if (offset !== undefined) return offset;
      throw coded('UNKNOWN_PARTITION', `topic ${topic} has no partition ${partition}`);
    });
  }
}

function unlessAborted<T>(read: Promise<T>, signal: AbortSignal | undefined) {
  if (signal === undefined) return read;
  if (signal.aborted) {
    read.catch(() => undefined);
    return Promise.resolve(undefined);
  }
  return new Promise<T | undefined>((resolve, reject) => {
    const end = (): void => resolve(undefined);
    signal.addEventListener('abort', end, { once: true });
    read.then(resolve, reject).finally(() => signal.removeEventListener('abort', end));
  });
}

function nothing({ partition, from, position }: TailRequest): TailResult {
  const offset = from === tailFrom.offset ? position : 0;
  const records = new Uint8Array(0);
  return {
    partition,
    startOffset: offset,
    endOffset: offset,
    nextOffset: offset,
    count: 0,
    records,
  };
}
