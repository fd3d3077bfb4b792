import { coded, codeOf, messageOf } from '../../base/errors.ts';
import { partitionOf } from '../../native/addon.ts';
import { PublishQuota } from '../publish-quota.ts';
import type { Publisher, PublishRecord, PublishResult } from '../publisher-port.ts';
import { type BookedMetadata, primaryCluster, type TopicBook } from '../topic-book.ts';
import type { LaneControl } from './lane-control.ts';
import type { OwnGroup, OwnResult } from './own-records.ts';
import { isCompacted } from './topic-config.ts';
import { type MeasuredRecord, measureRecord, writeRecord } from './wire-record.ts';

/** What an {@link EmbeddedPublisher} is made of. */
export interface EmbeddedPublisherOptions {
  readonly book: TopicBook;
  readonly lane: LaneControl;
  /** Bytes without a verdict, in all; default 32 MiB. */
  readonly bytesMax?: number;
  /** Of one topic; default 8 MiB. */
  readonly topicBytesMax?: number;
}

/** Bytes of one chunk, except that one record may be longer. */
const groupBytesMax = 1024 * 1024;

interface Group {
  readonly topic: string;
  readonly partition: number;
  readonly members: MeasuredRecord[];
  /** Where each member stands in the call. */
  readonly places: number[];
  bytes: number;
}

/** Publishes into the embedded log: a call is one hop to the lane, and shares an fsync there. */
export class EmbeddedPublisher implements Publisher {
  readonly cluster = 0;
  readonly #options: EmbeddedPublisherOptions;
  readonly #quota: PublishQuota;
  readonly #running = new Set<Promise<unknown>>();
  #sticky = 0;
  #closed = false;

  constructor(options: EmbeddedPublisherOptions) {
    this.#options = options;
    const { bytesMax = 32 * 1024 * 1024, topicBytesMax = 8 * 1024 * 1024 } = options;
    this.#quota = new PublishQuota({ bytesMax, topicBytesMax });
  }

  get inFlightBytes(): number {
    return this.#quota.bytes;
  }

  async publish(records: readonly PublishRecord[]): Promise<readonly PublishResult[]> {
    if (this.#closed) throw coded('DRAINING', 'publishing has ended');
    const call = new Call(this.#options.book, this.#quota, records, this.#sticky);
    this.#sticky += 1;
    const { groups } = call;
    if (groups.length === 0) return call.results();
    const running = this.#send(groups);
    this.#running.add(running);
    try {
      const answers = await running;
      for (const [i, group] of groups.entries()) call.settle(group, answers[i]);
    } finally {
      this.#running.delete(running);
      for (const { topic, bytes } of groups) this.#quota.give(topic, bytes);
    }
    return call.results();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#running);
  }

  async #send(groups: readonly Group[]): Promise<OwnResult[]> {
    try {
      return await this.#options.lane.call('log.publish', { groups: groups.map(encode) });
    } catch (error) {
      const failure = { code: codeOf(error), message: messageOf(error) };
      return groups.map(() => failure);
    }
  }
}

/** The records of one call, sorted into groups of one partition each. */
class Call {
  readonly groups: Group[] = [];
  readonly #results: PublishResult[];
  readonly #open = new Map<string, Group>();

  constructor(
    book: TopicBook,
    quota: PublishQuota,
    records: readonly PublishRecord[],
    sticky: number,
  ) {
    this.#results = new Array(records.length);
    const refused = new Set<string>();
    for (const [place, record] of records.entries()) {
      const { topic } = record;
      const known = book.get(topic)?.clusters[primaryCluster];
      const measured = measureRecord(record);
      const fault = faultOf(topic, record, measured, known);
      if (fault !== undefined || known === undefined) {
        this.#results[place] =
          fault ?? refusal('UNKNOWN_TOPIC', `there is no topic ${topic}`, true);
        continue;
      }
      const full = refused.has(topic)
        ? `an earlier record for topic ${topic} found no room`
        : quota.take(topic, measured.bytes);
      if (full !== undefined) {
        refused.add(topic);
        this.#results[place] = refusal('RETRY_LATER', full, true);
        continue;
      }
      this.#add(partitionFor(record, known.partitions, sticky), measured, place);
    }
  }

  settle(group: Group, answer: OwnResult | undefined): void {
    for (const [i, place] of group.places.entries()) {
      if (answer !== undefined && 'baseOffset' in answer) {
        this.#results[place] = { partition: group.partition, offset: answer.baseOffset + i };
      } else {
        const { code = 'INTERNAL', message = 'no answer' } = answer ?? {};
        this.#results[place] = refusal(code, message, code !== 'UNKNOWN_PARTITION');
      }
    }
  }

  results(): readonly PublishResult[] {
    return this.#results;
  }

  #add(partition: number, measured: MeasuredRecord, place: number): void {
    const { topic } = measured.record;
    const key = `${topic}/${partition}`;
    let group = this.#open.get(key);
    if (group === undefined || group.bytes + measured.bytes > groupBytesMax) {
      group = { topic, partition, members: [], places: [], bytes: 0 };
      this.#open.set(key, group);
      this.groups.push(group);
    }
    group.members.push(measured);
    group.places.push(place);
    group.bytes += measured.bytes;
  }
}

function encode(group: Group): OwnGroup {
  const records = Buffer.allocUnsafeSlow(group.bytes);
  let at = 0;
  for (const member of group.members) at = writeRecord(records, at, member);
  const { topic, partition } = group;
  return { topic, partition, count: group.members.length, records };
}

function partitionFor(record: PublishRecord, partitions: number, sticky: number): number {
  if (record.partition !== undefined) return record.partition;
  return record.key === null ? sticky % partitions : partitionOf(record.key, partitions);
}

function faultOf(
  topic: string,
  record: PublishRecord,
  measured: MeasuredRecord,
  known: BookedMetadata | undefined,
): PublishResult | undefined {
  if (known === undefined) return undefined;
  const { partition } = record;
  if (partition !== undefined && !(partition >= 0 && partition < known.partitions)) {
    const words = `topic ${topic} has partitions 0 to ${known.partitions - 1}, not ${partition}`;
    return refusal('UNKNOWN_PARTITION', words, false);
  }
  if (measured.bytes > known.messageBytesMax) {
    const words = `a record of ${measured.bytes} bytes; topic ${topic} takes ${known.messageBytesMax}`;
    return refusal('MESSAGE_TOO_LARGE', words, false);
  }
  if (record.key === null && isCompacted(known.config)) {
    return refusal('INVALID_ARGUMENT', `topic ${topic} is compacted: a record needs a key`, false);
  }
  return undefined;
}

function refusal(code: string, message: string, retriable: boolean): PublishResult {
  return { code, message, retriable };
}
