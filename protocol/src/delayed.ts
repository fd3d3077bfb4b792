import { ErrorCode } from './generated.ts';
import type { MapBody } from './map-body.ts';
import {
  integerField,
  mapField,
  mapsField,
  optionalBoolean,
  optionalInteger,
  optionalLimit,
  optionalString,
  stringField,
  stringsField,
} from './map-fields.ts';
import { type MapMessage, mapMessage } from './map-message.ts';
import { checkTopicName } from './open-topic.ts';
import { ProtocolError } from './protocol-error.ts';

/** Names a delayed message: by its delay id, or by the topic and key that it is unique by. */
export interface DelayedRef {
  readonly id?: string;
  readonly topic?: string;
  /** Strings are UTF-8. Bytes when decoded. */
  readonly key?: Uint8Array | string;
}

/** A delayed message. Times are unix milliseconds. */
export interface Delayed {
  readonly id: string;
  readonly topic: string;
  readonly dueMs: number;
  readonly acceptedMs: number;
  /** What it was due before it was moved. Reserved: no node of this version sends it. */
  readonly firstDueMs?: number;
  readonly messageId?: string;
  /** It is the next firing of this series. */
  readonly series?: string;
  readonly key?: Uint8Array;
  readonly partition?: number;
  readonly cluster?: number;
  readonly valueBytes?: number;
  /** Only in the answer to GET_DELAYED. */
  readonly value?: Uint8Array | null;
}

/**
 * `accepted`: the node that knows cannot be asked now; it will be done if it is not too late. It is
 * reserved: no node of this version answers it.
 */
export type DelayOutcome = 'cancelled' | 'moved' | 'tooLate' | 'notFound' | 'accepted';

export interface MoveDelayed extends DelayedRef {
  /** Either this … */
  readonly dueMs?: number;
  /** … or this, from now. */
  readonly delayMs?: number;
}

export interface ListDelayed {
  readonly topic?: string;
  /** Due at or after this. */
  readonly fromMs?: number;
  /** Due before this. */
  readonly toMs?: number;
  /** 1 to 1,000; default 100. */
  readonly limit?: number;
  readonly cursor?: string;
}

export interface DelayedPage {
  /** By rising due time, without values. */
  readonly delays: readonly Delayed[];
  readonly cursor?: string;
  /** Clusters that could not be asked: what waits there is missing. */
  readonly unreachable?: readonly number[];
}

export interface DelayStats {
  readonly pending: number;
  /** Of a topic: there may be more than `pending`, for counting them took too long. */
  readonly atLeast?: boolean;
  readonly nextDueMs?: number;
  /** Topics that do not take what is due, 100 of a cluster at most; absent: there is none. */
  readonly stuckTopics?: readonly string[];
  /** Of each cluster that could be asked, where a node has several. */
  readonly clusters?: readonly { readonly cluster: number; readonly pending: number }[];
  /** Clusters that could not be asked, and are not counted. */
  readonly unreachable?: readonly number[];
}

const REF_KEYS = ['id', 'topic', 'key'] as const;

// [P-14.1] ref := id | topic, key      key: string or bytes
// [P-14.2] get-delayed := map { ref }    answer := map { delay: Delayed }

export const GET_DELAYED: MapMessage<DelayedRef, { readonly delay: Delayed }> = mapMessage({
  name: 'GET_DELAYED',
  keys: REF_KEYS,
  request: readRef,
  answer: (map) => checkDelayed(mapField(map, 'delay')),
});

// [P-14.3] list-delayed := map { topic?, fromMs?, toMs?, limit?, cursor? }
//          answer := map { delays: [Delayed], cursor?, unreachable? }

export const LIST_DELAYED: MapMessage<ListDelayed, DelayedPage> = mapMessage({
  name: 'LIST_DELAYED',
  keys: ['topic', 'fromMs', 'toMs', 'limit', 'cursor'],
  request: (map) => ({
    topic: optionalTopic(map),
    fromMs: optionalInteger(map, 'fromMs'),
    toMs: optionalInteger(map, 'toMs'),
    limit: optionalLimit(map),
    cursor: optionalString(map, 'cursor'),
  }),
  answer: (map) => {
    for (const delayed of mapsField(map, 'delays')) checkDelayed(delayed);
    optionalString(map, 'cursor');
  },
});

// [P-14.4] delay-stats := map { topic? }
//          answer := map { pending, atLeast?, nextDueMs?, stuckTopics?, clusters?, unreachable? },
//          and more

export const DELAY_STATS: MapMessage<{ readonly topic?: string }, DelayStats> = mapMessage({
  name: 'DELAY_STATS',
  keys: ['topic'],
  request: (map) => ({ topic: optionalTopic(map) }),
  answer: (map) => {
    integerField(map, 'pending');
    optionalBoolean(map, 'atLeast');
    optionalInteger(map, 'nextDueMs');
    if (map['stuckTopics'] !== undefined) stringsField(map, 'stuckTopics');
  },
});

// [P-14.5] cancel-delayed := map { ref }    answer := map { outcome }

export const CANCEL_DELAYED: MapMessage<DelayedRef, { readonly outcome: DelayOutcome }> =
  mapMessage({
    name: 'CANCEL_DELAYED',
    keys: REF_KEYS,
    request: readRef,
    answer: (map) => void stringField(map, 'outcome'),
  });

// [P-14.6] move-delayed := map { ref, dueMs | delayMs }    answer := map { outcome, dueMs? }

export const MOVE_DELAYED: MapMessage<
  MoveDelayed,
  { readonly outcome: DelayOutcome; readonly dueMs?: number }
> = mapMessage({
  name: 'MOVE_DELAYED',
  keys: [...REF_KEYS, 'dueMs', 'delayMs'],
  request: (map) => {
    const dueMs = optionalInteger(map, 'dueMs');
    const delayMs = optionalInteger(map, 'delayMs');
    if ((dueMs === undefined) === (delayMs === undefined)) {
      throw invalid('MOVE_DELAYED has either dueMs or delayMs');
    }
    return { ...readRef(map), dueMs, delayMs };
  },
  answer: (map) => {
    stringField(map, 'outcome');
    optionalInteger(map, 'dueMs');
  },
});

/** A key: a string is UTF-8. */
export function readKey(map: MapBody): Buffer | undefined {
  const key = map['key'];
  if (key === undefined || key === null) return undefined;
  if (typeof key === 'string') return Buffer.from(key);
  if (key instanceof Uint8Array) return Buffer.from(key.buffer, key.byteOffset, key.length);
  throw invalid('key must be a string or bytes');
}

function readRef(map: MapBody): DelayedRef {
  const id = optionalString(map, 'id');
  const topic = optionalTopic(map);
  const key = readKey(map);
  const byKey = topic !== undefined && key !== undefined;
  const isOne = id === undefined ? byKey : topic === undefined && key === undefined;
  if (!isOne) throw invalid('name it by id, or by topic and key');
  return { id, topic, key };
}

function optionalTopic(map: MapBody): string | undefined {
  const topic = optionalString(map, 'topic');
  if (topic !== undefined) checkTopicName(topic);
  return topic;
}

function checkDelayed(delayed: MapBody): void {
  stringField(delayed, 'id');
  stringField(delayed, 'topic');
  integerField(delayed, 'dueMs');
  integerField(delayed, 'acceptedMs');
}

function invalid(message: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_ARGUMENT, message);
}
