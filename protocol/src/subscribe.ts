import type { Frame } from './frame.ts';
import type { FrameWriter } from './frame-writer.ts';
import { ANSWER, ErrorCode, Opcode, PROTOCOL_LIMIT } from './generated.ts';
import { checkGroupName } from './group-name.ts';
import type { MapBody } from './map-body.ts';
import { decodeMap } from './map-body.ts';
import {
  integerField,
  mapField,
  optionalBoolean,
  optionalInteger,
  optionalString,
  stringField,
  stringsField,
} from './map-fields.ts';
import { readRequest, writeMap } from './map-frame.ts';
import { checkTopicName } from './open-topic.ts';
import { ProtocolError } from './protocol-error.ts';

/** How the messages of a group are given out; docs/consuming.md says which one when. */
export type ConsumeMode = 'shared' | 'key-ordered' | 'partition-ordered';
export const CONSUME_MODES: readonly ConsumeMode[] = ['shared', 'key-ordered', 'partition-ordered'];

/** Where a group begins in a partition that it has no commit of. */
export type ConsumeStart = 'beginning' | 'end' | { readonly timeMs: number };

/** Joins a group. What is absent is the node's default. */
export interface Subscribe {
  readonly group: string;
  /** Either these, 1 to 256 names … */
  readonly topics?: readonly string[];
  /** … or every topic whose name begins with it, now and later. */
  readonly prefix?: string;
  /** Of the whole group; absent: as the group has it, `shared` for a new one. */
  readonly mode?: ConsumeMode;
  /** Messages that may be out at once: delivered and not settled. 1 to 65,536. */
  readonly creditMessages?: number;
  /** Their bytes; a single larger message may come alone. 1 to 64 MiB. */
  readonly creditBytes?: number;
  /** How long a delivered message is this subscription's alone: 100 ms to 12 h. */
  readonly leaseMs?: number;
  readonly start?: ConsumeStart;
  /** False: deliver messages of one id as often as they are stored. */
  readonly dedupe?: boolean;
}

/** What the node grants. */
export interface Subscribed {
  /** Names the subscription on this connection. */
  readonly subscription: number;
  /** Partitions that this node reads for the group; 0 until it has some. */
  readonly assigned: number;
  readonly mode: ConsumeMode;
  readonly creditMessages: number;
  readonly creditBytes: number;
  readonly leaseMs: number;
}

const KEYS = [
  'group',
  'topics',
  'prefix',
  'mode',
  'creditMessages',
  'creditBytes',
  'leaseMs',
  'start',
  'dedupe',
];

// [P-12.2] subscribe := map { group, topics: [string] | prefix, mode?, creditMessages?,
//                             creditBytes?, leaseMs?, start?: "beginning" | "end" | { timeMs },
//                             dedupe? }

export function encodeSubscribe(
  writer: FrameWriter,
  correlationId: number,
  request: Subscribe,
): void {
  writeMap(writer, Opcode.SUBSCRIBE, correlationId, { ...request });
}

/** @throws ProtocolError UNKNOWN_FLAGS, MALFORMED, INVALID_ARGUMENT, INVALID_TOPIC */
export function decodeSubscribe(frame: Frame): Subscribe {
  const map = readRequest(frame, 'SUBSCRIBE', KEYS);
  return {
    group: checkGroupName(stringField(map, 'group')),
    ...readTopics(map),
    mode: readMode(optionalString(map, 'mode')),
    creditMessages: bounded(map, 'creditMessages', 1, PROTOCOL_LIMIT.creditMessagesMax),
    creditBytes: bounded(map, 'creditBytes', 1, PROTOCOL_LIMIT.creditBytesMax),
    leaseMs: bounded(map, 'leaseMs', PROTOCOL_LIMIT.leaseMsMin, PROTOCOL_LIMIT.leaseMsMax),
    start: readStart(map),
    dedupe: optionalBoolean(map, 'dedupe'),
  };
}

// [P-12.3] answer := map { subscription, assigned, mode, creditMessages, creditBytes, leaseMs }

export function encodeSubscribed(
  writer: FrameWriter,
  correlationId: number,
  answer: Subscribed,
): void {
  writeMap(writer, Opcode.SUBSCRIBE | ANSWER, correlationId, { ...answer });
}

export function decodeSubscribed(frame: Frame): Subscribed {
  const map = decodeMap(frame.body, 'answer to SUBSCRIBE');
  return {
    subscription: integerField(map, 'subscription'),
    assigned: integerField(map, 'assigned'),
    mode: readMode(stringField(map, 'mode')) as ConsumeMode,
    creditMessages: integerField(map, 'creditMessages', 1),
    creditBytes: integerField(map, 'creditBytes', 1),
    leaseMs: integerField(map, 'leaseMs', 1),
  };
}

function readTopics(map: MapBody): Pick<Subscribe, 'topics' | 'prefix'> {
  const prefix = optionalString(map, 'prefix');
  const named = map['topics'] !== undefined && map['topics'] !== null;
  if (named === (prefix !== undefined)) throw invalid('SUBSCRIBE has either topics or a prefix');
  if (prefix !== undefined) {
    if (prefix.length > PROTOCOL_LIMIT.topicNameBytesMax) throw invalid('the prefix is too long');
    return { prefix };
  }
  const topics = stringsField(map, 'topics');
  const max = PROTOCOL_LIMIT.topicsPerSubscriptionMax;
  if (topics.length < 1 || topics.length > max) throw invalid(`topics has 1 to ${max} names`);
  for (const topic of topics) checkTopicName(topic);
  return { topics };
}

function readMode(mode: string | undefined): ConsumeMode | undefined {
  if (mode === undefined) return undefined;
  const known = CONSUME_MODES.find((name) => name === mode);
  if (known === undefined) throw invalid(`mode is one of ${CONSUME_MODES.join(', ')}`);
  return known;
}

function readStart(map: MapBody): ConsumeStart | undefined {
  const start = map['start'];
  if (start === undefined || start === null) return undefined;
  if (start === 'beginning' || start === 'end') return start;
  if (typeof start !== 'string') {
    const time = mapField(map, 'start');
    if (Object.keys(time).join() === 'timeMs') return { timeMs: integerField(time, 'timeMs') };
  }
  throw invalid('start is "beginning", "end" or { timeMs }');
}

function bounded(map: MapBody, key: string, min: number, max: number): number | undefined {
  const value = optionalInteger(map, key, min);
  if (value !== undefined && value > max) throw invalid(`${key} is ${min} to ${max}`);
  return value;
}

function invalid(message: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_ARGUMENT, message);
}
