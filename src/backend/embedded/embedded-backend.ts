import { coded } from '../../base/errors.ts';
import type {
  Backend,
  CreateTopicRequest,
  PartitionOffsets,
  Reachability,
  TailRequest,
  TailResult,
  TopicDescription,
  TopicSummary,
} from '../port.ts';
import { type BookedTopic, primaryCluster, type TopicBook } from '../topic-book.ts';
import { checkTopicName, isInternalTopic } from '../topic-name.ts';
import type { EmbeddedTopic } from './embedded-log.ts';
import type { LaneControl } from './lane-control.ts';
import { checkTopicConfig, compactionOf, messageBytesMaxOf, retentionOf } from './topic-config.ts';

/** Partitions of one topic; each costs memory in the lane for ever. */
export const embeddedPartitionsMax = 1024;

/** What an {@link EmbeddedBackend} is made of. */
export interface EmbeddedBackendOptions {
  readonly book: TopicBook;
  /** The lane that holds the log. */
  readonly lane: LaneControl;
  /** Partitions of a topic that is created without a number. */
  readonly partitions: number;
  /** Largest message, key and headers included, of a topic that says nothing itself, in bytes. */
  readonly messageBytesMax: number;
}

/** The main thread's side of the embedded log: topics lie in the book, messages in the lane. */
export class EmbeddedBackend implements Backend {
  readonly kind = 'embedded';
  readonly #options: EmbeddedBackendOptions;
  readonly #creating = new Map<string, Promise<TopicDescription>>();
  readonly #listeners: (() => void)[] = [];
  #tailId = 0;

  private constructor(options: EmbeddedBackendOptions) {
    this.#options = options;
  }

  /** Tells the lane every topic of the book; before that no message may reach it. */
  static async open(options: EmbeddedBackendOptions): Promise<EmbeddedBackend> {
    const topics = options.book.list('').flatMap((topic) => {
      const known = embeddedTopic(topic);
      return known === undefined ? [] : [known];
    });
    await options.lane.call('log.setTopics', { topics });
    return new EmbeddedBackend(options);
  }

  async describeTopic(name: string): Promise<TopicDescription | undefined> {
    checkTopicName(name);
    // Who is told that a topic exists, while it is being made, finds it here.
    await this.#creating.get(name)?.catch(() => undefined);
    const topic = this.#options.book.get(name);
    return topic === undefined ? undefined : descriptionOf(topic);
  }

  async createTopic(request: CreateTopicRequest): Promise<TopicDescription> {
    checkTopicName(request.name);
    return this.makeTopic(request);
  }

  /** As `createTopic`, also for internal topics. */
  async makeTopic(request: CreateTopicRequest): Promise<TopicDescription> {
    const { name, replicationFactor = 1, config = {} } = request;
    const { book } = this.#options;
    const partitions = request.partitions ?? this.#options.partitions;
    if (!Number.isInteger(partitions) || partitions < 1 || partitions > embeddedPartitionsMax) {
      throw coded(
        'INVALID_ARGUMENT',
        `a topic of the embedded log has 1 to ` +
          `${embeddedPartitionsMax} partitions, not ${partitions}`,
      );
    }
    if (replicationFactor !== 1) {
      throw coded('INVALID_ARGUMENT', 'the embedded log keeps one copy: replicationFactor is 1', {
        hint: 'Use the kafka backend for more copies.',
      });
    }
    checkTopicConfig(config);
    if (this.#creating.has(name) || book.get(name) !== undefined) {
      throw coded('TOPIC_EXISTS', `topic ${name} exists already`);
    }
    const messageBytesMax = messageBytesMaxOf(config) ?? this.#options.messageBytesMax;
    const made = this.#create({
      name,
      partitions,
      messageBytesMax,
      replicationFactor,
      minInsyncReplicas: 1,
      config,
    })
      .finally(() => this.#creating.delete(name))
      .then((topic) => {
        for (const tell of this.#listeners) tell();
        return topic;
      });
    this.#creating.set(name, made);
    return made;
  }

  async #create(topic: TopicDescription): Promise<TopicDescription> {
    const { book, lane } = this.#options;
    const known = embeddedTopic(await book.record(topic.name, primaryCluster, topic));
    await lane.call('log.setTopics', { topics: known === undefined ? [] : [known] });
    return topic;
  }

  /** Calls `listener` after every topic that is made, for ever. */
  onTopic(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** A topic that is made, whatever its name. */
  bookedTopic(name: string): TopicDescription | undefined {
    const topic = this.#creating.has(name) ? undefined : this.#options.book.get(name);
    return topic === undefined ? undefined : descriptionOf(topic);
  }

  /** Partitions of a topic, whatever its name; 0 when there is none. */
  partitionsOf(name: string): number {
    return this.bookedTopic(name)?.partitions ?? 0;
  }

  async listTopics(prefix: string): Promise<TopicSummary[]> {
    return this.#options.book.list(prefix).flatMap((topic) => {
      const known = isInternalTopic(topic.name) ? undefined : descriptionOf(topic);
      return known === undefined ? [] : [{ name: known.name, partitions: known.partitions }];
    });
  }

  async offsets(name: string): Promise<PartitionOffsets[]> {
    checkTopicName(name);
    return this.#options.lane.call('log.offsets', { topic: name });
  }

  async tail(request: TailRequest): Promise<TailResult> {
    checkTopicName(request.topic);
    return this.read(request);
  }

  /** As `tail`, also for internal topics. */
  async read(request: TailRequest): Promise<TailResult> {
    const { signal, ...rest } = request;
    const { lane } = this.#options;
    this.#tailId += 1;
    const tailId = this.#tailId;
    const end = () => {
      // A lane that cannot be told has ended, and the tail with it: its own rejection says so.
      lane.call('log.endTail', { tailId }).catch(() => undefined);
    };
    const answer = lane.call('log.tail', { ...rest, tailId });
    if (signal?.aborted === true) end();
    else signal?.addEventListener('abort', end, { once: true });
    try {
      return await answer;
    } finally {
      signal?.removeEventListener('abort', end);
    }
  }

  async deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<void> {
    checkTopicName(topic);
    await this.#options.lane.call('log.deleteRecords', { topic, partition, beforeOffset });
  }

  reachable(): Reachability {
    return { reachable: true };
  }

  async close(): Promise<void> {}
}

function embeddedTopic(topic: BookedTopic): EmbeddedTopic | undefined {
  const known = topic.clusters[primaryCluster];
  if (known === undefined) return undefined;
  const { id, name } = topic;
  const { partitions, config } = known;
  const compaction = compactionOf(config);
  return { id, name, partitions, retention: retentionOf(config), compaction };
}

function descriptionOf(topic: BookedTopic): TopicDescription | undefined {
  const known = topic.clusters[primaryCluster];
  if (known === undefined) return undefined;
  const { partitions, messageBytesMax, replicationFactor, minInsyncReplicas, config } = known;
  const { name } = topic;
  return { name, partitions, messageBytesMax, replicationFactor, minInsyncReplicas, config };
}
