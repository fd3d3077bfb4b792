import { coded, codeOf } from '../../base/errors.ts';
import type { Cluster } from '../consumer-port.ts';
import { faultsOf, roleRefused } from '../internal-topic-check.ts';
import type { InternalTopicSpec, InternalTopics } from '../publisher-port.ts';
import type { KafkaTopic, KafkaTopics } from './kafka-topics.ts';

/** What {@link KafkaInternalTopics} needs. */
export interface KafkaInternalTopicsOptions {
  readonly cluster: Cluster;
  readonly topics: Pick<KafkaTopics, 'describe' | 'create' | 'settings'>;
}

/** Internal topics on a Kafka cluster. */
export class KafkaInternalTopics implements InternalTopics {
  readonly cluster: Cluster;
  readonly #topics: KafkaInternalTopicsOptions['topics'];

  constructor({ cluster, topics }: KafkaInternalTopicsOptions) {
    this.cluster = cluster;
    this.#topics = topics;
  }

  async ensure(spec: InternalTopicSpec): Promise<void> {
    const known = (await this.#topics.describe(spec.name)) ?? (await this.#create(spec));
    if (known === undefined) return;
    const { partitions, replicationFactor } = known;
    const settings = await this.#topics.settings(spec.name);
    const [fault] = faultsOf(spec, { partitions, replicationFactor, settings });
    if (fault !== undefined) throw roleRefused(fault);
  }

  /** Undefined: it was made as asked. */
  async #create(spec: InternalTopicSpec): Promise<KafkaTopic | undefined> {
    const { name, partitions, config, madeWith, replicationFactor } = spec;
    try {
      await this.#topics.create({
        name,
        partitions,
        config: { ...madeWith, ...config },
        ...(replicationFactor === 'auto' ? {} : { replicationFactor }),
      });
      return undefined;
    } catch (error) {
      if (codeOf(error) !== 'TOPIC_EXISTS') throw this.#refusal(spec, error);
    }
    // Another node was faster; what it made is compared.
    const made = await this.#topics.describe(name);
    if (made !== undefined) return made;
    throw coded('BACKEND_UNAVAILABLE', `internal topic ${name} is being created`, {
      retryAfterMs: 500,
    });
  }

  #refusal({ name }: InternalTopicSpec, error: unknown): unknown {
    const code = codeOf(error);
    if (code !== 'INVALID_ARGUMENT' && code !== 'NOT_AUTHORIZED') return error;
    const what = error instanceof Error ? error.message : String(error);
    return coded('ROLE_REFUSED', `internal topic ${name} cannot be created: ${what}`, {
      cause: error,
    });
  }
}
