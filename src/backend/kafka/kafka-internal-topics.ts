import { coded, codeOf } from '../../base/errors.ts';
import type { Cluster } from '../consumer-port.ts';
import { isEnough, roleRefused } from '../internal-topic-check.ts';
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
    const { name, partitions, config, isPublic } = spec;
    const known = (await this.#topics.describe(name)) ?? (await this.#create(spec));
    if (known === undefined) return;
    if (known.partitions !== partitions) {
      const found = String(known.partitions);
      const needed = String(partitions);
      throw roleRefused({ topic: name, setting: 'partitions', found, needed });
    }
    this.#checkCopies(spec, known);
    const real = await this.#topics.settings(name);
    for (const [setting, needed] of Object.entries(config)) {
      const found = real.get(setting) ?? 'not shown to this node';
      if (isPublic === true && isEnough(setting, found, needed)) continue;
      if (!sameSetting(setting, found, needed)) {
        throw roleRefused({ topic: name, setting, found, needed });
      }
    }
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

  #checkCopies({ name, replicationFactor }: InternalTopicSpec, known: KafkaTopic): void {
    if (replicationFactor === 'auto' || known.replicationFactor >= replicationFactor) return;
    throw roleRefused({
      topic: name,
      setting: 'replication.factor',
      found: String(known.replicationFactor),
      needed: String(replicationFactor),
    });
  }
}

/** A list of policies has no order; the rest is compared as it stands. */
function sameSetting(setting: string, found: string, needed: string): boolean {
  if (setting !== 'cleanup.policy') return found === needed;
  const sorted = (policies: string): string =>
    policies
      .split(/\s*,\s*/)
      .sort()
      .join();
  return sorted(found) === sorted(needed);
}
