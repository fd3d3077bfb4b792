import type { Cluster } from './consumer-port.ts';

/** A record to be published. Everything in it is *borrowed until the promise settled*. */
export interface PublishRecord {
  readonly topic: string;
  /** Absent: by the key as Kafka's Java client does it; any, when there is no key either. */
  readonly partition?: number;
  /** null: no key. */
  readonly key: Uint8Array | null;
  /** null: a tombstone of a compacted topic. */
  readonly value: Uint8Array | null;
  /**
   * Headers as a TAIL record has them ([P-7.4]); empty: none. An `mq` header and those that begin
   * with `mq-` go out as they are, and nothing is added: a moved message keeps its id.
   */
  readonly headers: Uint8Array;
}

/** What became of a record. */
export type PublishResult =
  | {
      readonly partition: number;
      /** -1 when the cluster had it already and does not say where. */
      readonly offset: number;
    }
  | {
      /** By the table of error codes. */
      readonly code: string;
      readonly message: string;
      /**
       * True: it may pass later, and a copy may be in the log already or still come into it (a
       * timeout). False: the same record will be refused again, and is not in the log.
       */
      readonly retriable: boolean;
    };

/**
 * Publishes what is durable elsewhere already: fired delays, retries, dead letters, ack maps. No
 * outbox: a result means acks=all on Kafka, and fsynced in the embedded log.
 */
export interface Publisher {
  readonly cluster: Cluster;
  /**
   * Resolves to one result for each record, in their order, when all are known; never rejects for
   * what one record met. Records to one partition lie in their order in the log when all went
   * well, those of a call behind those of the calls before it, which may be under way still; after
   * a refusal later ones of the topic may have passed.
   *
   * What does not fit the bytes in flight (in all, and per topic, so that a topic that is stuck
   * holds back no other) is refused at once with `RETRY_LATER`, and with it all that follows of its
   * topic in the call. A record has its verdict after `timeoutMs` (default 30,000) and 1.5 s at the
   * latest; then it is `BACKEND_UNAVAILABLE`. A copy of it may come into the log for up to another
   * `timeoutMs` after that.
   */
  publish(records: readonly PublishRecord[]): Promise<readonly PublishResult[]>;
  /** Bytes of keys, values and headers without a verdict. */
  readonly inFlightBytes: number;
  /** Waits for the verdicts of what is in flight; `publish` then rejects with `DRAINING`. */
  close(): Promise<void>;
}

/** An internal topic as a role needs it. */
export interface InternalTopicSpec {
  readonly name: string;
  readonly partitions: number;
  /**
   * By Kafka's names. A topic that has other values than these is refused, save a longer time or a
   * larger size where that keeps more.
   */
  readonly config: Readonly<Record<string, string>>;
  /**
   * Given to a topic that is made, on Kafka, and not compared afterwards: how it is kept small,
   * which an operator may set otherwise.
   */
  readonly madeWith?: Readonly<Record<string, string>>;
  /**
   * The topic is one that people see and may set up themselves: other settings than those of
   * `config` are theirs.
   */
  readonly isPublic?: boolean;
  /** `auto`: min(3, brokers) for a topic that is made; one with fewer is named, not refused. */
  readonly replicationFactor: 'auto' | number;
}

/** Makes and checks the topics in which MQProxy keeps its own state, on one cluster. */
export interface InternalTopics {
  readonly cluster: Cluster;
  /**
   * Creates the topic, or compares the real one with what is needed, asked from the cluster each
   * time. To be called at every start of a role.
   *
   * @throws ROLE_REFUSED with topic, setting, found and needed, when the real one is weaker or
   * different: another number of partitions, another value of a setting; a replication factor
   * above the brokers. BACKEND_UNAVAILABLE (retriable): not known.
   */
  ensure(spec: InternalTopicSpec): Promise<void>;
}
