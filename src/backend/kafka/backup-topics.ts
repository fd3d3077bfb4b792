import { codeOf, messageOf } from '../../base/errors.ts';
import type { Logger } from '../../base/log.ts';
import { primaryCluster, type TopicBook } from '../topic-book.ts';
import type { KafkaTopics } from './kafka-topics.ts';

/** The second cluster's name in the book. */
export const backupCluster = 'backup';

/** Topics looked after in one round. */
const ROUND = 20;
/** Settings of a topic that speak of replicas, and so of the cluster it stands in. */
const REPLICA_SETTINGS = /replicas|replication|unclean/;

/** Parts of {@link BackupTopics}. */
export interface BackupTopicsParts {
  readonly topics: Pick<KafkaTopics, 'describe' | 'create'>;
  readonly book: TopicBook;
  readonly log: Logger;
  readonly mayCreate: boolean;
  /** Replicas a topic can have there. */
  replicas(): Promise<number>;
}

/**
 * Looks after the topics of the backup cluster while nobody needs them, so that none is missing
 * when it takes over: what the primary has and the backup lacks is created with as many
 * partitions, where that is allowed.
 */
export class BackupTopics {
  private readonly parts: BackupTopicsParts;
  private readonly done = new Set<string>();
  /** Tried since the last time that all were: those that fail must not keep the others waiting. */
  private readonly tried = new Set<string>();
  private readonly warned = new Set<string>();
  private isTending = false;

  constructor(parts: BackupTopicsParts) {
    this.parts = parts;
  }

  /** One round; to be called while the backup answers. Never rejects. */
  async tend(): Promise<void> {
    if (this.isTending) return;
    this.isTending = true;
    await this.round();
    this.isTending = false;
  }

  private async round(): Promise<void> {
    for (const name of this.next()) {
      this.tried.add(name);
      try {
        await this.ensure(name);
      } catch (error) {
        this.warn(name, `not looked after: ${codeOf(error)}: ${messageOf(error)}`);
        if (codeOf(error) === 'BACKEND_UNAVAILABLE') return;
      }
    }
  }

  /** The backup does not seem to know the topic: it is looked after again. */
  missing(name: string): void {
    this.done.delete(name);
    this.tried.delete(name);
  }

  private next(): readonly string[] {
    const wanted: string[] = [];
    for (const { name, clusters } of this.parts.book.list('')) {
      const isWanted = clusters[primaryCluster]?.confirmed === true && !this.done.has(name);
      if (isWanted) wanted.push(name);
    }
    const untried = wanted.filter((name) => !this.tried.has(name));
    if (untried.length > 0) return untried.slice(0, ROUND);
    this.tried.clear();
    return wanted.slice(0, ROUND);
  }

  private async ensure(name: string): Promise<void> {
    const { topics, book, mayCreate, log } = this.parts;
    let found = await topics.describe(name);
    const wanted = book.get(name)?.clusters[primaryCluster];
    if (wanted === undefined) return;
    if (found === undefined) {
      if (!mayCreate)
        return this.warn(name, 'the backup has no such topic: its messages would wait');
      const replicationFactor = await this.parts.replicas();
      const config: Record<string, string> = {};
      for (const [key, value] of Object.entries(wanted.config)) {
        if (!REPLICA_SETTINGS.test(key)) config[key] = value;
      }
      if (wanted.minInsyncReplicas > 1 && wanted.minInsyncReplicas <= replicationFactor) {
        config['min.insync.replicas'] = String(wanted.minInsyncReplicas);
      }
      const { partitions } = wanted;
      found = await topics.create({ name, partitions, replicationFactor, config });
      log.info({ topic: name, partitions }, 'created on the backup cluster');
    }
    await book.record(name, backupCluster, found);
    this.done.add(name);
    if (found.partitions !== wanted.partitions) {
      const both = `${wanted.partitions} partitions, ${found.partitions} on the backup`;
      this.warn(name, `${both}: keys go to other partitions there`);
    }
  }

  private warn(name: string, words: string): void {
    if (this.warned.has(name)) return;
    this.warned.add(name);
    this.parts.log.warn({ topic: name }, words);
  }
}
