import { DELAY_ID_BYTES } from '../../protocol/src/delay-id.ts';
import {
  type DelayTarget,
  decodeDelayTarget,
  MQ_TO_NAME,
} from '../../protocol/src/delay-target.ts';
import { DelayIdKind } from '../../protocol/src/generated.ts';
import { MQ_HEADER_NAME } from '../../protocol/src/mq-header.ts';
import { MQ_RULE_NAME } from '../../protocol/src/rule-header.ts';
import type { PublishRecord } from '../backend/publisher-port.ts';
import { coded } from '../base/errors.ts';

/**
 * The header of what takes the place of one record alone: the tombstone of a fired message, a
 * message that was moved or written again ([P-8.2]), and the next record of a series ([P-8.5]).
 * mq-end := offset:u64 dueMs:u64
 */
export const MQ_END_NAME = 'mq-end';

const FLAG_KEY = 0x01;
const FLAG_HEADERS = 0x02;
const FLAG_NULL_VALUE = 0x08;
const FLAG_ID = 0x40;
const TIMESTAMP_AT = 12;
const FLAGS_AT = 20;
const NULL_LENGTH = 0xffff_ffff;
const TWO_32 = 0x1_0000_0000;
/** Of `mq-to`: flags, and where in its `mq` the message id and the times stand. */
const TARGET_FLAGS_AT = 1;
const TARGET_ID_AT = 4;
const TARGET_NUMBER_AT = 14;
const TARGET_ORIGIN_AT = 20;
const TARGET_ACCEPTED_AT = 28;
const TARGET_DUE_AT = 36;
const TARGET_TOPIC_AT = 44;
const END_BYTES = 16;
const IF_ABSENT = 0x80;
const MOVED = 0x10;

/** A record of the delay log. Bytes are borrowed from where it was read. */
export interface DelayRecord {
  /** Delay id, 24 bytes. */
  readonly id: Buffer;
  /** The same as {@link nameOf} has it: it is looked up many times. */
  readonly name: string;
  readonly offset: number;
  /** The record as it lies in the log. */
  readonly bytes: Buffer;
  /** `mq-to`; undefined: a tombstone. */
  readonly target: Buffer | undefined;
  /** `mq-rule` of a series. */
  readonly rule: Buffer | undefined;
  /** Headers without those of the delay log. */
  readonly userHeaders: Buffer;
  readonly value: Buffer;
  /** The record it takes the place of, when it is that one's alone. */
  readonly ends: RecordEnd | undefined;
}

/** A record of the delay log that another takes the place of. */
export interface RecordEnd {
  readonly offset: number;
  readonly dueMs: number;
}

/**
 * Reads a record of the delay log: a TAIL record ([P-7.3]) with `mq-to` ([P-8.2]) among its
 * headers. Undefined for what is not one, such as a foreign record.
 */
export function readDelayRecord(bytes: Buffer): DelayRecord | undefined {
  const flags = bytes[FLAGS_AT] as number;
  let at = FLAGS_AT + 1 + ((flags & FLAG_ID) === 0 ? 0 : 16);
  if ((flags & FLAG_KEY) === 0 || bytes.readUInt32BE(at) !== DELAY_ID_BYTES) return undefined;
  const id = bytes.subarray(at + 4, at + 4 + DELAY_ID_BYTES);
  at += 4 + DELAY_ID_BYTES;
  let headers: Buffer = bytes.subarray(0, 0);
  if ((flags & FLAG_HEADERS) !== 0) {
    const length = bytes.readUInt32BE(at);
    headers = bytes.subarray(at + 4, at + 4 + length);
    at += 4 + length;
  }
  const offset = bytes.readUInt32BE(4) * TWO_32 + bytes.readUInt32BE(8);
  const found = sortHeaders(headers, id[2] === DelayIdKind.SERIES);
  const isTombstone = (flags & FLAG_NULL_VALUE) !== 0;
  if (!isTombstone && (found.target === undefined || found.target.length < TARGET_TOPIC_AT)) {
    return undefined;
  }
  return {
    id,
    name: nameOf(id),
    offset,
    bytes,
    target: isTombstone ? undefined : found.target,
    rule: found.rule,
    userHeaders: found.rest,
    value: bytes.subarray(at),
    ends:
      found.end?.length === END_BYTES
        ? { offset: u64(found.end, 0), dueMs: u64(found.end, 8) }
        : undefined,
  };
}

/** A delay id as a key of a map. */
export function nameOf(id: Buffer): string {
  return id.toString('latin1');
}

/** The topic that a record of the delay log is for, without a look at the rest of it. */
export function peekTopic(bytes: Buffer): string | undefined {
  const flags = bytes[FLAGS_AT] as number;
  if ((flags & FLAG_HEADERS) === 0) return undefined;
  let at = FLAGS_AT + 1 + ((flags & FLAG_ID) === 0 ? 0 : 16) + 4 + DELAY_ID_BYTES;
  const end = at + 4 + bytes.readUInt32BE(at);
  for (at += 4; at < end; ) {
    const valueAt = at + 2 + bytes.readUInt16BE(at) + 4;
    const name = bytes.toString('latin1', at + 2, valueAt - 4);
    if (name === MQ_TO_NAME) return topicOf(bytes.subarray(valueAt));
    const length = bytes.readUInt32BE(valueAt - 4);
    at = valueAt + (length === NULL_LENGTH ? 0 : length);
  }
  return undefined;
}

interface SortedHeaders {
  target: Buffer | undefined;
  end: Buffer | undefined;
  rule: Buffer | undefined;
  rest: Buffer;
}

function sortHeaders(headers: Buffer, isSeries: boolean): SortedHeaders {
  const sorted: SortedHeaders = {
    target: undefined,
    end: undefined,
    rule: undefined,
    rest: headers,
  };
  const kept: Buffer[] = [];
  let from = 0;
  for (let at = 0; at < headers.length; ) {
    const nameLength = headers.readUInt16BE(at);
    const valueAt = at + 2 + nameLength + 4;
    const length = headers.readUInt32BE(valueAt - 4);
    const end = valueAt + (length === NULL_LENGTH ? 0 : length);
    // Ours are read by their names; whoever else's stay in one piece.
    if (headers[at + 2] === 0x6d && headers[at + 3] === 0x71) {
      const name = headers.toString('utf8', at + 2, at + 2 + nameLength);
      const value = headers.subarray(valueAt, end);
      if (name === MQ_TO_NAME) sorted.target = value;
      else if (name === MQ_END_NAME) sorted.end = value;
      const isRule = isSeries && name === MQ_RULE_NAME;
      if (isRule) sorted.rule = value;
      if (isRule || name === MQ_HEADER_NAME || name === MQ_TO_NAME || name === MQ_END_NAME) {
        if (at > from) kept.push(headers.subarray(from, at));
        from = end;
      }
    }
    at = end;
  }
  if (from > 0) {
    kept.push(headers.subarray(from));
    sorted.rest = kept.length === 1 ? (kept[0] as Buffer) : Buffer.concat(kept);
  }
  return sorted;
}

/** When it came into the log, in unix ms. */
export function timestampOf({ bytes }: DelayRecord): number {
  return u64(bytes, TIMESTAMP_AT);
}

/** When it is due, in unix ms. */
export function dueOf(target: Buffer): number {
  return u64(target, TARGET_DUE_AT);
}

/** When the message was accepted, in unix ms. */
export function acceptedOf(target: Buffer): number {
  return u64(target, TARGET_ACCEPTED_AT);
}

/** Of a series: the number of the firing that waits. */
export function numberOf(target: Buffer): number {
  return target.readUIntBE(TARGET_NUMBER_AT, 6);
}

/** `mq-to` of a series for another of its firings. *Owned*. */
export function firingTarget(
  target: Buffer,
  { number, dueMs }: { readonly number: number; readonly dueMs: number },
): Buffer {
  const other = Buffer.from(target);
  other.writeUIntBE(number, TARGET_NUMBER_AT, 6);
  other.writeBigUInt64BE(BigInt(dueMs), TARGET_DUE_AT);
  return other;
}

/** The topic it is for. */
export function topicOf(target: Buffer): string {
  const at = TARGET_TOPIC_AT + 1;
  return target.toString('latin1', at, at + (target[TARGET_TOPIC_AT] as number));
}

/** What is scheduled under the same id already stays. */
export function isIfAbsent(target: Buffer): boolean {
  return ((target[TARGET_FLAGS_AT] as number) & IF_ABSENT) !== 0;
}

/** The record replaces one of the same message: it was moved. */
export function isMoved(target: Buffer): boolean {
  return ((target[TARGET_FLAGS_AT] as number) & MOVED) !== 0;
}

/** Both are records of one message, by its message id. */
export function isSameMessage(one: DelayRecord, other: DelayRecord): boolean {
  const { target } = other;
  const idAt = TARGET_ID_AT;
  return (
    target !== undefined &&
    one.target?.compare(target, idAt, TARGET_ORIGIN_AT, idAt, TARGET_ORIGIN_AT) === 0
  );
}

/** `mq-to` with another due time; it stands for itself, whatever it was before. *Owned*. */
export function movedTarget(target: Buffer, dueMs: number): Buffer {
  const moved = Buffer.from(target);
  moved[TARGET_FLAGS_AT] = ((moved[TARGET_FLAGS_AT] as number) & ~IF_ABSENT) | MOVED;
  moved.writeBigUInt64BE(BigInt(dueMs), TARGET_DUE_AT);
  return moved;
}

/** @throws STORE_CORRUPT when `mq-to` cannot be read */
export function targetOf(record: DelayRecord): DelayTarget {
  try {
    return decodeDelayTarget(record.target ?? Buffer.alloc(0));
  } catch (cause) {
    throw coded('STORE_CORRUPT', `offset ${record.offset} of the delay log has a bad mq-to`, {
      cause,
    });
  }
}

/** What is published when it is due: value and user's headers as they were, and its `mq`. */
export function firedRecord(record: DelayRecord): PublishRecord {
  const { topic, partition, key, nullValue, mq } = targetOf(record);
  const headers = Buffer.concat([tailHeader(MQ_HEADER_NAME, mq), record.userHeaders]);
  const fired = { topic, key: key ?? null, value: nullValue ? null : record.value, headers };
  return partition === undefined ? fired : { ...fired, partition };
}

/** One header in the form of a TAIL record. *Owned*. */
export function tailHeader(name: string, value: Buffer): Buffer {
  const header = Buffer.allocUnsafe(2 + name.length + 4 + value.length);
  header.writeUInt16BE(name.length, 0);
  header.write(name, 2, 'latin1');
  header.writeUInt32BE(value.length, 2 + name.length);
  header.set(value, 2 + name.length + 4);
  return header;
}

/** A record for the delay log, of the partition that its id names. */
export interface NewDelayRecord extends PublishRecord {
  readonly partition: number;
}

/** What goes into the delay log to end a message; with `ends` that one record alone. */
export function tombstone(topic: string, id: Buffer, ends?: RecordEnd): NewDelayRecord {
  return { topic, partition: id[1] as number, key: id, value: null, headers: endHeader(ends) };
}

/**
 * The same message or series again in the delay log, with another `mq-to`, in the place of that one
 * record alone: whatever replaced it meanwhile stays.
 */
export function delayRecord(
  topic: string,
  record: DelayRecord,
  target: Buffer,
  ends: RecordEnd | undefined,
): NewDelayRecord {
  const { id, value, rule, userHeaders } = record;
  const headers = Buffer.concat([
    tailHeader(MQ_TO_NAME, target),
    rule === undefined ? Buffer.alloc(0) : tailHeader(MQ_RULE_NAME, rule),
    endHeader(ends),
    userHeaders,
  ]);
  return { topic, partition: id[1] as number, key: id, value, headers };
}

function endHeader(ends: RecordEnd | undefined): Buffer {
  if (ends === undefined) return Buffer.alloc(0);
  const value = Buffer.allocUnsafe(END_BYTES);
  value.writeBigUInt64BE(BigInt(ends.offset), 0);
  value.writeBigUInt64BE(BigInt(ends.dueMs), 8);
  return tailHeader(MQ_END_NAME, value);
}

function u64(bytes: Buffer, at: number): number {
  return bytes.readUInt32BE(at) * TWO_32 + bytes.readUInt32BE(at + 4);
}
