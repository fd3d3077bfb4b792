import { ErrorCode } from './generated.ts';
import {
  checkKeys,
  integerField,
  mapsField,
  optionalBytes,
  optionalInteger,
  optionalString,
  stringField,
} from './map-fields.ts';
import type { MapMessage } from './map-message.ts';
import { mapMessage } from './map-message.ts';
import { ProtocolError } from './protocol-error.ts';

/** A log beside the outbox. */
export type AsideLogName = 'parked' | 'undeliverable';

/** What is asked of a log; a topic narrows it. */
export interface AsideRequest {
  readonly log: AsideLogName;
  readonly topic?: string | undefined;
}

/** LIST_ASIDE: with a limit (and a topic) also entries. */
export interface ListAside extends AsideRequest {
  readonly limit?: number | undefined;
  readonly cursor?: string | undefined;
}

/** What a lane has put aside of a topic. */
export interface AsideTopic {
  readonly topic: string;
  readonly lane: number;
  readonly messages: number;
  readonly bytes: number;
  /** Since when, in ms since 1970. */
  readonly sinceMs: number;
}

/** One message. `body` is that of a PRODUCE behind its sequence, read by `flags`. */
export interface AsideMessage {
  readonly id: string;
  readonly topic: string;
  readonly lane: number;
  readonly acceptedMs: number;
  readonly asideMs: number;
  readonly code: string;
  readonly reason: string;
  readonly flags: number;
  readonly body: Uint8Array;
}

/** The answer to LIST_ASIDE. */
export interface AsidePage {
  readonly topics: readonly AsideTopic[];
  readonly messages: readonly AsideMessage[];
  readonly cursor?: string | undefined;
}

/** The answer to RETRY_ASIDE and PURGE_ASIDE. */
export interface AsideDone {
  readonly messages: number;
}

type Fields = Parameters<typeof stringField>[0];

function requestOf(map: Fields): AsideRequest {
  const log = stringField(map, 'log');
  if (log !== 'parked' && log !== 'undeliverable') {
    throw new ProtocolError(ErrorCode.INVALID_ARGUMENT, 'log is parked or undeliverable');
  }
  return { log, topic: optionalString(map, 'topic') };
}

// [P-16.1] list-aside := map { log, topic?, limit?, cursor? }
//          answer := map { topics, messages, cursor? }, as in the interfaces above

export const LIST_ASIDE: MapMessage<ListAside, AsidePage> = mapMessage({
  name: 'LIST_ASIDE',
  keys: ['log', 'topic', 'limit', 'cursor'],
  request: (map) => {
    checkKeys(map, ['log', 'topic', 'limit', 'cursor'], 'LIST_ASIDE');
    const limit = optionalInteger(map, 'limit');
    return { ...requestOf(map), limit, cursor: optionalString(map, 'cursor') };
  },
  answer: (map) => {
    for (const topic of mapsField(map, 'topics')) {
      stringField(topic, 'topic');
      integerField(topic, 'messages');
    }
    for (const message of mapsField(map, 'messages')) {
      stringField(message, 'id');
      integerField(message, 'flags');
      if (optionalBytes(message, 'body') === undefined) {
        throw new ProtocolError(ErrorCode.INVALID_ARGUMENT, 'body is missing');
      }
    }
    optionalString(map, 'cursor');
  },
});

// [P-16.2] retry-aside := map { log, topic? }    answer := map { messages }

export const RETRY_ASIDE: MapMessage<AsideRequest, AsideDone> = mapMessage({
  name: 'RETRY_ASIDE',
  keys: ['log', 'topic'],
  request: (map) => {
    checkKeys(map, ['log', 'topic'], 'RETRY_ASIDE');
    return requestOf(map);
  },
  answer: (map) => {
    integerField(map, 'messages');
  },
});

// [P-16.3] purge-aside := map { log, topic }    answer := map { messages }

export const PURGE_ASIDE: MapMessage<AsideRequest, AsideDone> = mapMessage({
  name: 'PURGE_ASIDE',
  keys: ['log', 'topic'],
  request: (map) => {
    checkKeys(map, ['log', 'topic'], 'PURGE_ASIDE');
    stringField(map, 'topic');
    return requestOf(map);
  },
  answer: (map) => {
    integerField(map, 'messages');
  },
});
