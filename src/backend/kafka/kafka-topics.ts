import kafkajs, { type Admin } from 'kafkajs';
import { type Clock, sleep } from '../../base/clock.ts';
import { coded, codeOf } from '../../base/errors.ts';
import type { KafkaMetadata } from '../../native/kafka.ts';
import { autoReplicas } from '../internal-topic-check.ts';
import type { CreateTopicRequest, TopicDescription, TopicSummary } from '../port.ts';
import { isInternalTopic } from '../topic-name.ts';
import type { AdminClient } from './admin-client.ts';
import { brokerErrorType, readError } from './kafka-errors.ts';

/** Where the cluster's metadata comes from: the native producer, which has it anyway. */
export interface MetadataSource {
  metadata(options: { topic?: string; timeoutMs: number }): Promise<KafkaMetadata>;
}

/** A topic as the cluster describes it. */
export interface KafkaTopic extends TopicDescription {
  /** The broker that leads each partition; -1 where there is none just now. */
  readonly leaders: readonly number[];
}

/** What {@link KafkaTopics} needs. */
export interface KafkaTopicsOptions {
  readonly client: AdminClient;
  readonly metadata: MetadataSource;
  readonly clock: Clock;
  /** Partitions of a topic that is created without a number. */
  readonly partitions: number;
  /** Replicas of a topic that is created without a number; absent: min(3, brokers). */
  readonly replicationFactor?: number;
  /** Longest wait for metadata, in ms; default 5,000. */
  readonly timeoutMs?: number;
}

type TopicMetadata = KafkaMetadata['topics'][number];
type TopicConfig = Pick<TopicDescription, 'messageBytesMax' | 'minInsyncReplicas' | 'config'>;

/** What a broker uses when it may not be asked for a topic's settings: Kafka's own defaults. */
const unknownConfig: TopicConfig = { messageBytesMax: 1_048_588, minInsyncReplicas: 1, config: {} };
const configsAtOnce = 100;
const topicLevel = 1;
const visibleWithinMs = 5_000;

/** Describes, lists and creates topics of a cluster. Nothing is remembered here. */
export class KafkaTopics {
  readonly #options: KafkaTopicsOptions;

  constructor(options: KafkaTopicsOptions) {
    this.#options = options;
  }

  /** Undefined: the cluster says that there is none. @throws NOT_AUTHORIZED, BACKEND_UNAVAILABLE */
  async describe(name: string): Promise<KafkaTopic | undefined> {
    const topic = await this.#find(name);
    if (topic === undefined) return undefined;
    const configs = await this.#configs([name]);
    return describe(topic, configs.get(name) ?? unknownConfig);
  }

  /**
   * The broker that leads each partition, -1 where there is none just now; a question less than
   * {@link describe} has. Undefined: there is no such topic. @throws as describe
   */
  async leaders(name: string): Promise<readonly number[] | undefined> {
    const topic = await this.#find(name);
    return topic === undefined ? undefined : leadersOf(topic);
  }

  /**
   * Those of `names` that the cluster has. One that is not among them may also be hidden from us.
   */
  async describeAll(names: ReadonlySet<string>): Promise<KafkaTopic[]> {
    const metadata = await this.#metadata('describe its topics');
    const found = metadata.topics.filter(
      (topic) => names.has(topic.name) && topic.code === 0 && topic.partitions.length > 0,
    );
    const configs = await this.#configs(found.map((topic) => topic.name));
    return found.map((topic) => describe(topic, configs.get(topic.name) ?? unknownConfig));
  }

  /** Asks for as little as there is: whether anybody answers. @throws BACKEND_UNAVAILABLE */
  async probe(name: string | undefined): Promise<void> {
    await this.#metadata('answer', name);
  }

  async list(prefix: string): Promise<TopicSummary[]> {
    const metadata = await this.#metadata('list its topics');
    return metadata.topics
      .filter(({ name }) => name.startsWith(prefix) && !isInternalTopic(name))
      .map(({ name, partitions }) => ({ name, partitions: partitions.length }))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** @throws TOPIC_EXISTS, INVALID_TOPIC, INVALID_ARGUMENT, NOT_AUTHORIZED, BACKEND_UNAVAILABLE */
  async create(request: CreateTopicRequest): Promise<KafkaTopic> {
    const { name, partitions = this.#options.partitions, config = {} } = request;
    const replicationFactor =
      request.replicationFactor ??
      this.#options.replicationFactor ??
      autoReplicas(await this.brokers());
    const configEntries = Object.entries(config).map(([key, value]) => ({ name: key, value }));
    const made = await this.#run(`create topic ${name}`, (admin) =>
      admin.createTopics({
        waitForLeaders: false,
        topics: [{ topic: name, numPartitions: partitions, replicationFactor, configEntries }],
      }),
    );
    if (!made) throw coded('TOPIC_EXISTS', `topic ${name} exists already`);
    return this.#becomesVisible(name);
  }

  /** @throws UNKNOWN_TOPIC, NOT_AUTHORIZED, BACKEND_UNAVAILABLE */
  async deleteRecords(topic: string, partition: number, beforeOffset: number): Promise<void> {
    const partitions = [{ partition, offset: String(beforeOffset) }];
    await this.#run(`delete records of ${topic}`, async (admin) => {
      // kafkajs looks for leaders in what it knows, and does not ask by itself.
      await admin.fetchTopicOffsets(topic);
      await admin.deleteTopicRecords({ topic, partitions });
    });
  }

  /**
   * Every setting of a topic, defaults too, asked from the cluster; sensitive ones are left out.
   *
   * @throws UNKNOWN_TOPIC, NOT_AUTHORIZED, BACKEND_UNAVAILABLE
   */
  async settings(name: string): Promise<ReadonlyMap<string, string>> {
    const { resources } = await this.#run(`describe the settings of topic ${name}`, (admin) =>
      admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name }],
      }),
    );
    const entries = resources[0]?.configEntries ?? [];
    const shown = entries.filter(({ isSensitive }) => !isSensitive);
    return new Map(shown.map(({ configName, configValue }) => [configName, configValue]));
  }

  /**
   * Brokers of the cluster that answer now.
   * @param topic asked beside, so that the answer does not hold all topics
   * @throws BACKEND_UNAVAILABLE
   */
  async brokers(topic?: string): Promise<number> {
    return (await this.#metadata('say how many brokers it has', topic)).brokers.length;
  }

  /** The controller knows a new topic before the brokers do. */
  async #becomesVisible(name: string): Promise<KafkaTopic> {
    const { clock } = this.#options;
    const until = clock.monotonic() + visibleWithinMs;
    for (;;) {
      const topic = await this.describe(name).catch((error: unknown) => {
        if (codeOf(error) !== 'BACKEND_UNAVAILABLE') throw error;
        return undefined;
      });
      if (topic?.leaders.every((leader) => leader >= 0)) return topic;
      if (clock.monotonic() >= until) {
        if (topic !== undefined) return topic;
        throw coded('BACKEND_UNAVAILABLE', `topic ${name} was created but is not visible yet`, {
          retryAfterMs: 1000,
        });
      }
      await sleep(clock, 20);
    }
  }

  async #find(name: string): Promise<TopicMetadata | undefined> {
    const metadata = await this.#metadata(`describe topic ${name}`, name);
    const topic = metadata.topics.find((one) => one.name === name);
    if (topic === undefined || isMissing(topic)) return undefined;
    if (topic.code === 29)
      throw coded('NOT_AUTHORIZED', `this node may not describe topic ${name}`);
    if (topic.partitions.length === 0) {
      throw coded('BACKEND_UNAVAILABLE', `topic ${name} has no partitions yet`, {
        retryAfterMs: 500,
      });
    }
    return topic;
  }

  async #metadata(doing: string, topic?: string): Promise<KafkaMetadata> {
    const timeoutMs = this.#options.timeoutMs ?? 5_000;
    try {
      return await this.#options.metadata.metadata({ topic, timeoutMs });
    } catch (error) {
      throw readError(error, doing);
    }
  }

  async #configs(names: readonly string[]): Promise<Map<string, TopicConfig>> {
    const found = new Map<string, TopicConfig>();
    for (let from = 0; from < names.length; from += configsAtOnce) {
      const some = names.slice(from, from + configsAtOnce);
      try {
        const { resources } = await this.#run('describe topic settings', (admin) =>
          admin.describeConfigs({
            includeSynonyms: false,
            resources: some.map((name) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name })),
          }),
        );
        for (const resource of resources) found.set(resource.resourceName, configOf(resource));
      } catch (error) {
        // A topic that went away between, or settings we may not see, must not hide the others.
        if (some.length > 1 && codeOf(error) !== 'BACKEND_UNAVAILABLE') {
          for (const name of some) merge(found, await this.#configs([name]));
        } else if (codeOf(error) === 'BACKEND_UNAVAILABLE') {
          throw error;
        }
      }
    }
    return found;
  }

  /**
   * Runs a task of kafkajs. Before most tasks kafkajs asks for the metadata of every topic, and
   * fails when a single partition of the cluster has no leader; once it has looked at a topic's
   * offsets it asks for that topic only. So a second try first looks at one that is whole.
   */
  async #run<T>(doing: string, task: (admin: Admin) => Promise<T>): Promise<T> {
    const { client } = this.#options;
    return client.run(doing, async (admin) => {
      try {
        return await task(admin);
      } catch (error) {
        const leaderless = brokerErrorType(error) === 'LEADER_NOT_AVAILABLE';
        const whole = leaderless ? await this.#wholeTopic() : undefined;
        if (whole === undefined) throw error;
        await admin.fetchTopicOffsets(whole);
        return task(admin);
      }
    });
  }

  async #wholeTopic(): Promise<string | undefined> {
    const { topics } = await this.#metadata('list its topics');
    return topics.find(
      (topic) =>
        topic.code === 0 &&
        topic.partitions.length > 0 &&
        topic.partitions.every((one) => one.code === 0 && one.leader >= 0),
    )?.name;
  }
}

function isMissing(topic: TopicMetadata): boolean {
  return topic.code === 3 || topic.code === -188;
}

function leadersOf({ partitions }: TopicMetadata): number[] {
  const byNumber = [...partitions].sort((a, b) => a.partition - b.partition);
  return byNumber.map((one) => one.leader);
}

function describe(topic: TopicMetadata, config: TopicConfig): KafkaTopic {
  const copies = topic.partitions.map((one) => one.replicas).filter((replicas) => replicas > 0);
  return {
    name: topic.name,
    partitions: topic.partitions.length,
    replicationFactor: copies.length === 0 ? 1 : Math.min(...copies),
    ...config,
    leaders: leadersOf(topic),
  };
}

interface ConfigResource {
  readonly configEntries: readonly {
    readonly configName: string;
    readonly configValue: string;
    readonly configSource: number;
    readonly isSensitive: boolean;
  }[];
}

function configOf(resource: ConfigResource): TopicConfig {
  const config: Record<string, string> = {};
  let { messageBytesMax, minInsyncReplicas } = unknownConfig;
  for (const entry of resource.configEntries) {
    const { configName, configValue } = entry;
    if (configName === 'max.message.bytes') messageBytesMax = Number(configValue);
    if (configName === 'min.insync.replicas') minInsyncReplicas = Number(configValue);
    if (entry.configSource === topicLevel && !entry.isSensitive) config[configName] = configValue;
  }
  return { messageBytesMax, minInsyncReplicas, config };
}

function merge<K, V>(into: Map<K, V>, from: ReadonlyMap<K, V>): void {
  for (const [key, value] of from) into.set(key, value);
}
