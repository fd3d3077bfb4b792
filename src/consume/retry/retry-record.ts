import { delayIdOfKey } from '../../../protocol/src/delay-id.ts';
import { encodeDelayTarget, MQ_TO_NAME } from '../../../protocol/src/delay-target.ts';
import { encodeTailHeaders } from '../../../protocol/src/message-headers.ts';
import { encodeMqHeader } from '../../../protocol/src/mq-header.ts';
import { RecordCursor } from '../../../protocol/src/record-cursor.ts';
import {
  encodeRetryHeader,
  RETRY_HEADER_NAME,
  type RetryHeader,
} from '../../../protocol/src/retry-header.ts';
import type { PublishRecord } from '../../backend/publisher-port.ts';
import type { NotedRecords } from '../copies/dedupe.ts';
import type { Failure } from '../lease/settle.ts';
import { derivedId, retryHeaderOf, userHeaders } from './dead-record.ts';

/** Longest name of a topic that may be delayed, which is also Kafka's. */
const NAME_MAX = 249;

/**
 * Where messages of a topic come again that one group put off for longer than a place may hold
 * them; undefined when that name would be too long. What is put off once more goes there again.
 */
export function retryTopicOf(topic: string, group: string): string | undefined {
  const name = `${baseTopicOf(topic, group)}${suffixOf(group)}`;
  return name.length > NAME_MAX ? undefined : name;
}

/** Whether a topic brings what the group itself put off. */
export function isRetryTopic(topic: string, group: string): boolean {
  return baseTopicOf(topic, group) !== topic;
}

/** The topic whose messages a group's own retry topic holds; any other topic is its own. */
export function baseTopicOf(topic: string, group: string): string {
  const suffix = suffixOf(group);
  const isOwn = topic.length > suffix.length && topic.endsWith(suffix);
  return isOwn ? topic.slice(0, -suffix.length) : topic;
}

function suffixOf(group: string): string {
  return `.${group}.retry`;
}

/** What the record of a put-off message is made of beside the message. */
export interface RetryRecordOptions {
  /** The delay log of the message's cluster. */
  readonly delayLog: string;
  readonly retryTopic: string;
  /** Of the retry topic. */
  readonly partitions: number;
  readonly nodeId: bigint;
  readonly dueMs: number;
}

/**
 * Makes the record of the delay log ([P-8.2]) that brings a failed message again when it is due.
 * Its delay id follows from the message's place, so that a message that is put off again, over a
 * crash before its ack, replaces itself.
 *
 * @param record the whole wire record [P-7.3]; the result borrows from it
 * @throws ProtocolError MALFORMED when it is none
 */
export function retryRecordOf(
  failure: Failure,
  record: Buffer,
  { delayLog, retryTopic, partitions, nodeId, dueMs }: RetryRecordOptions,
): PublishRecord {
  const cursor = new RecordCursor('a failed message');
  cursor.start(record, 0, record.length, 1);
  cursor.next();
  const { group, cluster, topic, partition, offset, nowMs } = failure;
  // With its time: a topic that was made anew has the same places.
  const place = `${cluster}/${topic}/${partition}/${offset}/${cursor.timestampMs}`;
  const before = retryHeaderOf(cursor.headers, group);
  const mq = encodeMqHeader({
    ...(cursor.id ?? derivedId(`retry\0${group}\0${place}`, offset)),
    originNode: nodeId,
    acceptedMs: nowMs,
    dueMs,
  });
  const target = encodeDelayTarget({
    topic: retryTopic,
    // Not by the key: copies of one message must meet in one partition, where they are dropped.
    partition: (before?.partition ?? partition) % partitions,
    key: cursor.key,
    nullValue: cursor.value === null,
    ifAbsent: false,
    mq,
  });
  const header: RetryHeader = {
    group,
    attempts: failure.attempt,
    topic: before?.topic ?? topic,
    partition: before?.partition ?? partition,
    offset: before?.offset ?? offset,
    timestampMs: before?.timestampMs ?? cursor.timestampMs,
    firstFailureMs: before?.firstFailureMs ?? failure.firstFailureMs,
  };
  const id = delayIdOfKey(retryTopic, place);
  return {
    topic: delayLog,
    partition: id[1] as number,
    key: id,
    value: cursor.value ?? Buffer.alloc(0),
    headers: encodeTailHeaders([
      { name: MQ_TO_NAME, value: target },
      ...userHeaders(cursor.headers),
      { name: RETRY_HEADER_NAME, value: encodeRetryHeader(header) },
    ]),
  };
}

/** What messages of a retry topic bring with them, by their index in the fetch. */
export interface RetriesOf {
  /** Deliveries so far. */
  readonly attempts: Uint16Array;
  /** When the messages were written to their first topic, in unix ms; 0: not known. */
  readonly writtenMs: Float64Array;
}

/** Reads what a fetch of the group's own retry topic says of earlier deliveries. */
export function retriesOf(batch: NotedRecords, group: string): RetriesOf {
  const attempts = new Uint16Array(batch.count);
  const writtenMs = new Float64Array(batch.count);
  const cursor = new RecordCursor('a retry');
  cursor.start(batch.records, 0, batch.starts[batch.count] ?? batch.records.length, batch.count);
  for (let i = 0; cursor.next(); i++) {
    const header = retryHeaderOf(cursor.headers, group);
    attempts[i] = header?.attempts ?? 0;
    writtenMs[i] = header?.timestampMs ?? 0;
  }
  return { attempts, writtenMs };
}
