import { createHash } from 'node:crypto';
import {
  DEAD_HEADER_NAME,
  type DeadHeader,
  encodeDeadHeader,
} from '../../../protocol/src/dead-header.ts';
import { encodeTailHeaders, type MessageHeader } from '../../../protocol/src/message-headers.ts';
import { formatMessageId, type MessageId } from '../../../protocol/src/message-id.ts';
import { encodeMqHeader, MQ_HEADER_NAME } from '../../../protocol/src/mq-header.ts';
import { RecordCursor } from '../../../protocol/src/record-cursor.ts';
import {
  decodeRetryHeader,
  RETRY_HEADER_NAME,
  type RetryHeader,
} from '../../../protocol/src/retry-header.ts';
import type { PublishRecord } from '../../backend/publisher-port.ts';
import { limits } from '../../base/limits.ts';
import type { Failure } from '../lease/settle.ts';
import { fingerprintOf } from './fingerprint.ts';

/** Kafka's longest name of a topic. */
const NAME_MAX = 249;
const SUFFIX = '.dlq';
const TWO_48 = 2 ** 48;
const ownNames: readonly string[] = [MQ_HEADER_NAME, DEAD_HEADER_NAME, RETRY_HEADER_NAME];

/**
 * The topic of a group's dead letters: `TOPIC.GROUP.dlq`; when that is too long for a name, its
 * beginning and a hash of the whole.
 */
export function deadTopicOf(topic: string, group: string): string {
  const whole = `${topic}.${group}`;
  if (whole.length + SUFFIX.length <= NAME_MAX) return whole + SUFFIX;
  const hash = createHash('sha256').update(whole).digest('hex').slice(0, 16);
  return `${whole.slice(0, NAME_MAX - SUFFIX.length - 17)}.${hash}${SUFFIX}`;
}

/**
 * Whether a topic holds what a group gave up or put off. Such a topic is read when it is named,
 * never because its name begins as a prefix does: else a group would fail its own dead letters
 * again.
 */
export function isSideTopic(topic: string): boolean {
  return topic.endsWith(SUFFIX) || topic.endsWith('.retry');
}

/** Which message a group gave up: its place, and what tells it from another one that was there. */
export interface DeadOrigin {
  readonly group: string;
  readonly cluster: number;
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  /** A topic that was made anew has the same places: the message's own time and id tell. */
  readonly timestampMs: number;
  readonly id: MessageId | undefined;
}

/**
 * The id of a dead letter. It follows from the message, so that a message that was moved twice,
 * over a crash, has one.
 */
export function deadIdOf(origin: DeadOrigin): MessageId {
  return derivedId(`dead\0${nameOf(origin)}`, origin.offset);
}

/**
 * The id under which a dead letter goes back to its topic. It is not the message's first one: a
 * group that knows that id would drop the message as a copy.
 */
export function redriveIdOf(origin: DeadOrigin): MessageId {
  return derivedId(`redrive\0${nameOf(origin)}`, origin.offset);
}

function nameOf({ group, cluster, topic, partition, timestampMs, id }: DeadOrigin): string {
  const own = id === undefined ? '' : formatMessageId(id);
  return `${group}\0${cluster}\0${topic}\0${partition}\0${timestampMs}\0${own}`;
}

/** An id that follows from a name and an offset. */
export function derivedId(name: string, offset: number): MessageId {
  const hash = createHash('sha256').update(name).digest();
  return {
    producerId: hash.readBigUInt64BE(0) | 1n,
    epoch: hash.readUInt16BE(8),
    sequence: (offset % (TWO_48 - 1)) + 1,
  };
}

/** What a dead letter's record is made of beside the message. */
export interface DeadRecordOptions {
  readonly dlq: string;
  readonly partitions: number;
  readonly nodeId: bigint;
}

/** The record of a dead letter, and the id that it has. */
export interface DeadRecord extends PublishRecord {
  readonly id: MessageId;
  readonly partition: number;
}

/**
 * Makes the record of a dead letter: key, value and headers as they were, with an id of its own in
 * `mq` and the story in `mq-dead`.
 *
 * @param record the whole wire record [P-7.3]; the result borrows from it
 * @throws ProtocolError MALFORMED when it is none
 */
export function deadRecordOf(
  failure: Failure,
  record: Buffer,
  { dlq, partitions, nodeId }: DeadRecordOptions,
): DeadRecord {
  const cursor = new RecordCursor('a failed message');
  cursor.start(record, 0, record.length, 1);
  cursor.next();
  // One that was put off has been elsewhere first, and is redriven to there.
  const before = retryHeaderOf(cursor.headers, failure.group);
  const origin = {
    group: failure.group,
    cluster: failure.cluster,
    topic: before?.topic ?? failure.topic,
    partition: before?.partition ?? failure.partition,
    offset: before?.offset ?? failure.offset,
    timestampMs: before?.timestampMs ?? cursor.timestampMs,
    id: cursor.id,
  };
  const header: DeadHeader = {
    ...origin,
    cause: failure.cause,
    reason: cutText(failure.reason, limits.deadReasonBytesMax),
    attempts: failure.attempt,
    firstFailureMs: before?.firstFailureMs ?? failure.firstFailureMs,
    lastFailureMs: failure.nowMs,
    fingerprint: fingerprintOf(failure.reason, failure.cause),
  };
  const id = deadIdOf(origin);
  const mq = encodeMqHeader({
    ...id,
    originNode: nodeId,
    acceptedMs: failure.nowMs,
  });
  return {
    id,
    topic: dlq,
    // Not by the key: copies of one dead letter must meet in one partition, with or without a key.
    partition: origin.partition % partitions,
    key: cursor.key ?? null,
    value: cursor.value,
    headers: encodeTailHeaders([
      ...userHeaders(cursor.headers),
      { name: MQ_HEADER_NAME, value: mq },
      { name: DEAD_HEADER_NAME, value: encodeDeadHeader(header) },
    ]),
  };
}

/** What the group's own `mq-retry` header says, when there is one that can be read. */
export function retryHeaderOf(
  headers: readonly MessageHeader[],
  group: string,
): RetryHeader | undefined {
  const value = headers.find(({ name }) => name === RETRY_HEADER_NAME)?.value;
  if (value === undefined || value === null) return undefined;
  try {
    const header = decodeRetryHeader(Buffer.from(value));
    return header.group === group ? header : undefined;
  } catch {
    // Whoever else uses the name: the message begins anew.
    return undefined;
  }
}

/** Headers without those that a node has added. */
export function userHeaders(headers: readonly MessageHeader[]): MessageHeader[] {
  return headers.filter(({ name }) => !ownNames.includes(name));
}

/** The text's beginning that takes at most `bytes` bytes of UTF-8, no character cut. */
function cutText(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  const cut = Buffer.from(text).subarray(0, bytes);
  let end = cut.length;
  while (end > 0 && ((cut[end - 1] as number) & 0xc0) === 0x80) end -= 1;
  const lead = cut[end - 1] as number;
  const width = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
  const whole = end - 1 + width <= bytes ? bytes : end - 1;
  return cut.subarray(0, whole).toString('utf8');
}
