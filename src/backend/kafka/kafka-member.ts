import { type CodedError, coded, codeOf } from '../../base/errors.ts';
import type { KafkaGroup, KafkaGroupOptions } from '../../native/kafka-group.ts';
import { checkCommits } from '../commit-check.ts';
import type {
  CommittedOffset,
  GroupMember,
  JoinOptions,
  OffsetCommit,
  TopicPartition,
} from '../consumer-port.ts';
import { groupError, groupErrorCode } from './kafka-errors.ts';
import { UnassignedWatch, type UnassignedWatchOptions } from './unassigned-watch.ts';

/** What a {@link KafkaMember} is made of. */
export interface KafkaMemberOptions {
  readonly join: JoinOptions;
  /** librdkafka's settings of a consumer. */
  readonly config: Record<string, string>;
  readonly open: (options: KafkaGroupOptions) => KafkaGroup;
  /** The group's commits by another connection, in the order asked. */
  readonly askAside: (partitions: readonly TopicPartition[]) => Promise<readonly CommittedOffset[]>;
  /** What its watch over an empty assignment asks, and by what time. */
  readonly watch: Omit<UnassignedWatchOptions, 'group' | 'rejoin'>;
  readonly onClosed: () => void;
}

/** librdkafka's code by which the native member says that a revocation took too long. */
const revokeTimeout = -166;

/** A node's membership of one group on Kafka: the native member in the port's words. */
export class KafkaMember implements GroupMember {
  readonly #options: KafkaMemberOptions;
  readonly #native: KafkaGroup;
  readonly #watch: UnassignedWatch;
  #closing: Promise<void> | undefined;
  #isDeaf = false;

  constructor(options: KafkaMemberOptions) {
    this.#options = options;
    const { join, config, open } = options;
    const { group, topics, clientId, aheadBytesMax } = join;
    this.#watch = new UnassignedWatch({
      ...options.watch,
      group,
      rejoin: (names) => {
        this.#native.setTopics([]);
        this.#native.setTopics(names);
      },
    });
    this.#native = open({
      config: {
        ...config,
        'client.id': clientId,
        ...(aheadBytesMax === undefined
          ? {}
          : { 'queued.max.messages.kbytes': String(Math.ceil(aheadBytesMax / 1024)) }),
      },
      group,
      topics,
      revokeTimeoutMs: Math.min(join.revokeTimeoutMs ?? 10_000, 45_000),
      onAssigned: (places) => {
        this.#watch.assigned(places);
        join.onAssigned(places);
      },
      onRevoking: (places, serial) =>
        join.onRevoking(places, () => {
          this.#native.revoked(serial);
          this.#watch.gone(places);
        }),
      onLost: (places) => {
        this.#watch.gone(places);
        join.onLost(places);
      },
      onRecords: (batch) => {
        const release = (): void => this.#native.release(batch.records);
        join.onRecords(Object.assign(batch, { release }));
      },
      onError: (code, text, [place]) => join.onError(this.#errorOf(code, text, place), place),
    });
    this.#watch.subscribed(topics);
  }

  setTopics(topics: readonly string[]): void {
    if (this.#closing !== undefined) return;
    this.#native.setTopics(topics);
    this.#watch.subscribed(topics);
  }

  /**
   * librdkafka remembers the group's coordinator by a connection that it gives up when all brokers
   * were away for a while, and then waits for that connection: for minutes every question of this
   * kind goes unanswered, while the membership itself is well. So what it does not answer is asked
   * elsewhere, and from then on at once.
   */
  async committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    if (this.#isDeaf) return this.#options.askAside(partitions);
    try {
      return await this.#committed(partitions);
    } catch (error) {
      if (codeOf(error) !== 'BACKEND_UNAVAILABLE') throw error;
      const found = await this.#options.askAside(partitions);
      this.#isDeaf = true;
      return found;
    }
  }

  async #committed(partitions: readonly TopicPartition[]): Promise<readonly CommittedOffset[]> {
    const { group } = this.#options.join;
    try {
      const found = await this.#native.committed(partitions);
      const byPlace = new Map(found.map((one) => [`${one.topic}/${one.partition}`, one]));
      return partitions.map(({ topic, partition }) => {
        const one = byPlace.get(`${topic}/${partition}`);
        return { topic, partition, offset: one?.offset, metadata: one?.metadata ?? '' };
      });
    } catch (error) {
      throw groupError(error, `tell what group ${group} has committed`);
    }
  }

  async commit(entries: readonly OffsetCommit[]): Promise<void> {
    checkCommits(entries);
    if (entries.length === 0) return;
    try {
      await this.#native.commit(entries);
    } catch (error) {
      throw groupError(error, `commit for group ${this.#options.join.group}`);
    }
  }

  start(topic: string, partition: number, fromOffset: number): void {
    if (this.#closing === undefined) this.#native.start(topic, partition, fromOffset);
  }

  want(topic: string, partition: number, bytes: number): void {
    if (this.#closing === undefined) this.#native.want(topic, partition, bytes);
  }

  close(): Promise<void> {
    this.#watch.close();
    this.#closing ??= this.#native
      .close()
      .catch(() => undefined)
      .finally(() => this.#options.onClosed());
    return this.#closing;
  }

  #errorOf(code: number, text: string, place: TopicPartition | undefined): CodedError {
    const { group } = this.#options.join;
    const where = place === undefined ? '' : `, ${place.topic} partition ${place.partition}`;
    const name = code === revokeTimeout ? 'REVOKE_TIMEOUT' : groupErrorCode(code);
    return coded(name, `group ${group}${where}: ${text}`);
  }
}
