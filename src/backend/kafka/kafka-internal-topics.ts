import { coded, codeOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import type { Cluster } from '../consumer-port.ts';
import {
  autoReplicas,
  faultsOf,
  roleRefused,
  thinAdvice,
  thinnessOf,
  thinWords,
} from '../internal-topic-check.ts';
import type { InternalTopicSpec, InternalTopics } from '../publisher-port.ts';
import type { KafkaTopic, KafkaTopics } from './kafka-topics.ts';

/** What {@link KafkaInternalTopics} needs. */
export interface KafkaInternalTopicsOptions {
  readonly cluster: Cluster;
  readonly topics: Pick<KafkaTopics, 'describe' | 'create' | 'settings' | 'brokers'>;
  readonly log: Logger;
}

/** Topics that are named for their few replicas; `doctor` names all. */
const THIN_NAMED_MAX = 1_000;

/** Internal topics on a Kafka cluster. */
export class KafkaInternalTopics implements InternalTopics {
  readonly cluster: Cluster;
  readonly #topics: KafkaInternalTopicsOptions['topics'];
  readonly #log: Logger;
  readonly #thinNamed = new Set<string>();

  constructor({ cluster, topics, log }: KafkaInternalTopicsOptions) {
    this.cluster = cluster;
    this.#topics = topics;
    this.#log = log;
  }

  async ensure(spec: InternalTopicSpec): Promise<void> {
    const known = (await this.#topics.describe(spec.name)) ?? (await this.#create(spec));
    if (known === undefined) return;
    const { partitions, replicationFactor } = known;
    const settings = await this.#topics.settings(spec.name);
    const [fault] = faultsOf(spec, { partitions, replicationFactor, settings });
    if (fault !== undefined) throw roleRefused(fault);
    if (spec.replicationFactor === 'auto') await this.#sayThin(spec, replicationFactor);
  }

  async #sayThin(spec: InternalTopicSpec, replicationFactor: number): Promise<void> {
    const { name } = spec;
    if (this.#thinNamed.has(name) || this.#thinNamed.size >= THIN_NAMED_MAX) return;
    // Not to know it keeps nobody from the role.
    const brokers = await this.#topics.brokers(name).catch(() => 0);
    const thin = thinnessOf(spec, { replicationFactor, brokers });
    if (thin === undefined) return;
    this.#thinNamed.add(name);
    const { cluster } = this;
    this.#log.warn({ cluster, ...thin }, `${thinWords(thin)}: ${thinAdvice(thin)}`);
  }

  /** Undefined: it was made as asked. */
  async #create(spec: InternalTopicSpec): Promise<KafkaTopic | undefined> {
    const { name, partitions, config, madeWith, replicationFactor } = spec;
    try {
      await this.#topics.create({
        name,
        partitions,
        config: { ...madeWith, ...config },
        // Not by what is set for the topics of clients: those may be worth less.
        replicationFactor:
          replicationFactor === 'auto'
            ? autoReplicas(await this.#topics.brokers())
            : replicationFactor,
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
