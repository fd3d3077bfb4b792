import type { Clock, Timer } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { TopicPartition } from '../consumer-port.ts';
import type { KafkaGroups } from './kafka-groups.ts';
import type { KafkaTopics } from './kafka-topics.ts';

/** What an {@link UnassignedWatch} needs. */
export interface UnassignedWatchOptions {
  readonly group: string;
  readonly groups: Pick<KafkaGroups, 'assignment'>;
  readonly topics: Pick<KafkaTopics, 'leaders'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Leaves the group and joins it with these topics. */
  readonly rejoin: (topics: readonly string[]) => void;
}

/** How long a member has been without a partition when the cluster is asked, in ms. */
const firstMs = 10_000;
/** Each wait is twice the one before, up to so long, in ms. */
const mostMs = 60_000;

/**
 * Watches a member that has no partition. One too many for the partitions is well; but a group can
 * also settle with nobody having any: its leader assigns by what a broker says of the topics in
 * that moment, and one that has just come back may say that it has none. librdkafka does not look
 * at that answer again, and a group that is stable stays as it is. So the member joins again, which
 * has the leader assign anew. It has nothing that it could lose by that.
 */
export class UnassignedWatch {
  readonly #options: UnassignedWatchOptions;
  readonly #held = new Set<string>();
  #topics: readonly string[] = [];
  #timer: Timer | undefined;

  constructor(options: UnassignedWatchOptions) {
    this.#options = options;
  }

  /** The member has these topics from now on. */
  subscribed(topics: readonly string[]): void {
    this.#topics = topics;
    this.#restart();
  }

  assigned(partitions: readonly TopicPartition[]): void {
    // A rebalance that brought nothing does not begin the waiting anew.
    if (partitions.length === 0) return;
    for (const place of partitions) this.#held.add(keyOf(place));
    this.#restart();
  }

  /** They are the member's no more. */
  gone(partitions: readonly TopicPartition[]): void {
    for (const place of partitions) this.#held.delete(keyOf(place));
    this.#restart();
  }

  close(): void {
    this.subscribed([]);
  }

  #restart(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#held.size === 0 && this.#topics.length > 0) this.#arm(firstMs);
  }

  #arm(waitMs: number): void {
    const { clock } = this.#options;
    const timer = clock.setTimer(() => void this.#look(timer, waitMs), waitMs);
    this.#timer = timer;
  }

  async #look(timer: Timer, waitMs: number): Promise<void> {
    const { group, logger, rejoin } = this.#options;
    const isBare = await this.#isBare().catch((error: unknown) => {
      logger.debug({ group, code: codeOf(error) }, messageOf(error));
      return false;
    });
    // Otherwise it came to partitions or to other topics meanwhile, or was closed.
    if (this.#timer !== timer) return;
    this.#arm(Math.min(2 * waitMs, mostMs));
    if (!isBare) return;
    logger.warn(
      { group, topics: this.#topics },
      'nobody has a partition of a group: joining again',
    );
    rejoin(this.#topics);
  }

  /** The group is at rest, and nobody in it has any of our topics, though there is what to have. */
  async #isBare(): Promise<boolean> {
    const { group, groups, topics } = this.#options;
    const ours = this.#topics;
    const found = await groups.assignment(group);
    if (found?.state !== 'stable') return false;
    const held = found.members.flatMap(({ partitions }) => partitions);
    if (held.some(({ topic }) => ours.includes(topic))) return false;
    for (const name of ours) {
      // One that cannot be told of now must not hide another.
      const leaders = await topics.leaders(name).catch(() => undefined);
      if (leaders?.some((leader) => leader >= 0)) return true;
    }
    return false;
  }
}

function keyOf({ topic, partition }: TopicPartition): string {
  return `${topic}/${partition}`;
}
