import type { TopicPartition } from '../../backend/consumer-port.ts';
import type { InternalTopics, Publisher, PublishRecord } from '../../backend/publisher-port.ts';
import { coded } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Failure } from '../lease/settle.ts';
import { type DeadRecord, type DeadRecordOptions, deadRecordOf } from '../retry/dead-record.ts';
import type { LetterIds } from './letter-ends.ts';

/** A topic of dead letters, or of what was put off, as it is made. */
export interface DeadTopicSettings {
  /** Names of Kafka, values as text. */
  readonly config: Readonly<Record<string, string>>;
  /** Of a topic that is made, in place of `config`'s; one that is there needs `config` alone. */
  readonly madeWith: Readonly<Record<string, string>>;
  /** Of a topic that is made; one that is there keeps its own number. */
  readonly partitions: number;
  readonly replicationFactor: 'auto' | number;
}

/** One cluster's side of the dead letters. */
export interface DeadCluster {
  readonly publisher: Publisher;
  readonly topics: InternalTopics;
  /**
   * Ids of the last letters of a partition, as they were at `sinceMs` (monotonic) or later; as they
   * are now when that is infinite.
   */
  lettersSince(place: TopicPartition, sinceMs: number): Promise<Pick<LetterIds, 'has'>>;
  /** Partitions of a topic; undefined when there is none. @throws BACKEND_UNAVAILABLE */
  partitionsOf(topic: string): Promise<number | undefined>;
}

/** A failed message on its way to another topic. */
export interface Moving {
  readonly failure: Failure;
  /** The whole wire record. */
  readonly record: Buffer;
  /** When it is to come again, in ms since 1970; 0: never. */
  readonly dueMs: number;
}

interface Waiting extends Moving {
  resolve(): void;
  reject(error: unknown): void;
}

/** What a {@link DeadLetterMover} is made of. */
export interface MoverOptions {
  readonly cluster: DeadCluster;
  readonly settings: DeadTopicSettings;
  /** The topic that is made, or looked at, before something goes there. */
  readonly dlq: string;
  readonly nodeId: bigint;
  /** A topic that is made has as many partitions as this one. */
  readonly like?: string;
  /** The record of a message; that of a dead letter when absent. */
  recordOf?(moving: Moving, options: DeadRecordOptions): MovedRecord;
}

/** With an id: a record that an owner before may have written already. */
type MovedRecord = PublishRecord | DeadRecord;

/**
 * Moves the failed messages of one group and topic on one cluster to where they end, or come
 * again. What comes while a publish is under way goes with the next one: a flood costs a verdict
 * a batch, and a single message waits for nothing.
 */
export class DeadLetterMover {
  readonly #cluster: DeadCluster;
  readonly #settings: DeadTopicSettings;
  readonly #dlq: string;
  readonly #nodeId: bigint;
  readonly #like: string | undefined;
  readonly #recordOf: NonNullable<MoverOptions['recordOf']>;
  #waiting: Waiting[] = [];
  #isBusy = false;
  /** Partitions of the topic, once it is known to be there and as it should be. */
  #partitions: number | undefined;
  /** What was refused last may lie in the topic all the same. */
  #isUnsure = false;

  constructor(options: MoverOptions) {
    this.#cluster = options.cluster;
    this.#settings = options.settings;
    this.#dlq = options.dlq;
    this.#nodeId = options.nodeId;
    this.#like = options.like;
    this.#recordOf =
      options.recordOf ?? (({ failure, record }, made) => deadRecordOf(failure, record, made));
  }

  /** Resolves when the message is durable there. @throws what the cluster refused it with */
  move(failure: Failure, record: Buffer, dueMs = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ failure, record, dueMs, resolve, reject });
      if (!this.#isBusy) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isBusy = true;
    // What fails in the same turn goes together.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      try {
        await this.#publish(batch);
      } catch (error) {
        for (const one of batch) one.reject(error);
      }
    }
    this.#isBusy = false;
  }

  #take(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const { record } of this.#waiting) {
      if (count === limits.deadMovesMax) break;
      if (count > 0 && bytes + record.length > limits.deadMoveBytesMax) break;
      bytes += record.length;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #publish(batch: readonly Waiting[]): Promise<void> {
    this.#partitions ??= await this.#ensure();
    const { publisher } = this.#cluster;
    const options: DeadRecordOptions = {
      dlq: this.#dlq,
      partitions: this.#partitions,
      nodeId: this.#nodeId,
    };
    const made: (readonly [Waiting, MovedRecord])[] = [];
    for (const one of batch) {
      try {
        made.push([one, this.#recordOf(one, options)]);
      } catch (error) {
        one.reject(error);
      }
    }
    const isThere = await this.#written(made);
    const moving: Waiting[] = [];
    const records: MovedRecord[] = [];
    for (const [one, record] of made) {
      if (isThere(record)) one.resolve();
      else {
        moving.push(one);
        records.push(record);
      }
    }
    if (records.length === 0) return;
    const results = await publisher.publish(records);
    moving.forEach((one, i) => {
      const result = results[i];
      if (result === undefined) one.reject(coded('INTERNAL', 'a moved message has no verdict'));
      else if ('code' in result) {
        // The topic may have been deleted or altered meanwhile: it is looked at again.
        this.#partitions = undefined;
        // A publisher without room has sent nothing.
        if (result.retriable && result.code !== 'RETRY_LATER') this.#isUnsure = true;
        one.reject(coded(result.code, `${this.#dlq}: ${result.message}`));
      } else one.resolve();
    });
  }

  /**
   * Tells which lie there already: an owner before died between their move and their ack, or a
   * publish failed that had written them.
   */
  async #written(
    made: readonly (readonly [Waiting, MovedRecord])[],
  ): Promise<(record: MovedRecord) => boolean> {
    const sinceMs = new Map<number, number>();
    for (const [{ failure }, record] of made) {
      if (!('id' in record)) continue;
      const before = sinceMs.get(record.partition) ?? 0;
      sinceMs.set(record.partition, Math.max(before, failure.ownedSinceMs));
    }
    const ids = new Map<number, Pick<LetterIds, 'has'>>();
    const isUnsure = this.#isUnsure;
    this.#isUnsure = false;
    for (const [partition, ms] of sinceMs) {
      const place = { topic: this.#dlq, partition };
      const since = isUnsure ? Number.POSITIVE_INFINITY : ms;
      ids.set(partition, await this.#cluster.lettersSince(place, since));
    }
    return (record) => 'id' in record && ids.get(record.partition)?.has(record.id) === true;
  }

  async #ensure(): Promise<number> {
    const { replicationFactor, madeWith } = this.#settings;
    const found = await this.#cluster.partitionsOf(this.#dlq);
    const config = { ...this.#settings.config, ...(found === undefined ? madeWith : {}) };
    const like = this.#like;
    const asLike = found === undefined && like !== undefined;
    const made = asLike ? await this.#cluster.partitionsOf(like) : undefined;
    const partitions = found ?? made ?? this.#settings.partitions;
    const spec = { name: this.#dlq, partitions, config, replicationFactor, isPublic: true };
    await this.#cluster.topics.ensure(spec);
    return partitions;
  }
}
