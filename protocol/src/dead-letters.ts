import { checkGroupName } from './group-name.ts';
import type { MapBody } from './map-body.ts';
import {
  checkKeys,
  integerField,
  mapField,
  mapsField,
  optionalBoolean,
  optionalBytes,
  optionalInteger,
  optionalLimit,
  optionalString,
  stringField,
} from './map-fields.ts';
import { type MapMessage, mapMessage } from './map-message.ts';
import { checkTopicName } from './open-topic.ts';

/** The dead letters of a group from a topic. */
export interface DeadLettersOf {
  readonly topic: string;
  readonly group: string;
}

/** Which of them; what is absent is not looked at. */
export interface DeadFilter {
  /** Message id, as text. */
  readonly id?: string;
  /** Part of the last reason. */
  readonly reason?: string;
  /** Of the failure: equal failures have equal ones. */
  readonly fingerprint?: string;
  /** Time of the last failure, unix milliseconds, `toMs` excluded. */
  readonly fromMs?: number;
  readonly toMs?: number;
  /** Partition of the topic that it came from. */
  readonly partition?: number;
  /** The whole key. */
  readonly key?: Uint8Array;
}

export interface ListDead extends DeadLettersOf {
  readonly filter?: DeadFilter;
  /** 1 to 1,000; default 100. */
  readonly limit?: number;
  /** Of the answer before. */
  readonly cursor?: string;
  /** With keys and values. */
  readonly values?: boolean;
}

/** One dead letter. Times are unix milliseconds. */
export interface DeadLetter {
  /** Its place among the dead letters. */
  readonly cluster: number;
  readonly partition: number;
  readonly offset: number;
  readonly id?: string;
  /** What ended its last delivery: `dead`, `nack` or `expiry`. */
  readonly cause?: string;
  readonly reason: string;
  readonly attempts: number;
  /** Where the message stood. */
  readonly origin: {
    readonly cluster: number;
    readonly topic: string;
    readonly partition: number;
    readonly offset: number;
  };
  readonly firstFailureMs?: number;
  readonly lastFailureMs?: number;
  readonly fingerprint?: string;
  readonly valueBytes?: number;
  readonly key?: Uint8Array;
  readonly value?: Uint8Array | null;
}

export interface DeadLetterPage {
  readonly messages: readonly DeadLetter[];
  /** There may be more. */
  readonly cursor?: string;
}

/** Begins a redrive, or asks how one is doing. */
export type RedriveDead =
  | { readonly job: string }
  | (DeadLettersOf & {
      readonly filter?: DeadFilter;
      /** Of messages; absent: as fast as they are stored. */
      readonly ratePerSecond?: number;
      readonly limit?: number;
      /** Only counts. */
      readonly dryRun?: boolean;
    });

/** How a redrive is doing. */
export interface RedriveProgress {
  /** Absent after a dry run. */
  readonly job?: string;
  readonly state: string;
  /** Looked at, those that match the filter, put back into the topic. */
  readonly scanned: number;
  readonly matched: number;
  readonly moved: number;
  /** What ended it. */
  readonly error?: string;
}

export interface PurgeDead extends DeadLettersOf {
  readonly filter?: DeadFilter;
  readonly dryRun?: boolean;
}

export interface DeadPurged {
  readonly matched: number;
  readonly purged: number;
}

const FILTER_KEYS = ['id', 'reason', 'fingerprint', 'fromMs', 'toMs', 'partition', 'key'];

// [P-13.6] list-dead := map { topic, group, filter?, limit?, cursor?, values? }
//          filter := { id?, reason?, fingerprint?, fromMs?, toMs?, partition?, key? }
//          answer := map { messages: [DeadLetter], cursor? }

export const LIST_DEAD: MapMessage<ListDead, DeadLetterPage> = mapMessage({
  name: 'LIST_DEAD',
  keys: ['topic', 'group', 'filter', 'limit', 'cursor', 'values'],
  request: (map) => ({
    ...readOf(map),
    filter: readFilter(map),
    limit: optionalLimit(map),
    cursor: optionalString(map, 'cursor'),
    values: optionalBoolean(map, 'values'),
  }),
  answer: (map) => {
    for (const message of mapsField(map, 'messages')) {
      integerField(message, 'partition');
      integerField(message, 'offset');
      stringField(message, 'reason');
      integerField(message, 'attempts');
      const origin = mapField(message, 'origin');
      stringField(origin, 'topic');
      integerField(origin, 'partition');
      integerField(origin, 'offset');
    }
    optionalString(map, 'cursor');
  },
});

// [P-13.7] redrive-dead := map { job } | map { topic, group, filter?, ratePerSecond?, limit?,
//                                              dryRun? }
//          answer := map { job?, state, scanned, matched, moved, error? }

export const REDRIVE_DEAD: MapMessage<RedriveDead, RedriveProgress> = mapMessage<
  RedriveDead,
  RedriveProgress
>({
  name: 'REDRIVE_DEAD',
  keys: ['job', 'topic', 'group', 'filter', 'ratePerSecond', 'limit', 'dryRun'] as never[],
  request: (map) => {
    const job = optionalString(map, 'job');
    if (job !== undefined) {
      checkKeys(map, ['job'], 'REDRIVE_DEAD of a job');
      return { job };
    }
    return {
      ...readOf(map),
      filter: readFilter(map),
      ratePerSecond: optionalInteger(map, 'ratePerSecond', 1),
      limit: optionalInteger(map, 'limit', 1),
      dryRun: optionalBoolean(map, 'dryRun'),
    };
  },
  answer: (map) => {
    stringField(map, 'state');
    integerField(map, 'scanned');
    integerField(map, 'matched');
    integerField(map, 'moved');
  },
});

// [P-13.8] purge-dead := map { topic, group, filter?, dryRun? }
//          answer := map { matched, purged }

export const PURGE_DEAD: MapMessage<PurgeDead, DeadPurged> = mapMessage({
  name: 'PURGE_DEAD',
  keys: ['topic', 'group', 'filter', 'dryRun'],
  request: (map) => ({
    ...readOf(map),
    filter: readFilter(map),
    dryRun: optionalBoolean(map, 'dryRun'),
  }),
  answer: (map) => {
    integerField(map, 'matched');
    integerField(map, 'purged');
  },
});

function readOf(map: MapBody): DeadLettersOf {
  const topic = stringField(map, 'topic');
  checkTopicName(topic);
  return { topic, group: checkGroupName(stringField(map, 'group')) };
}

function readFilter(map: MapBody): DeadFilter | undefined {
  if (map['filter'] === undefined || map['filter'] === null) return undefined;
  const filter = mapField(map, 'filter');
  checkKeys(filter, FILTER_KEYS, 'filter');
  return {
    id: optionalString(filter, 'id'),
    reason: optionalString(filter, 'reason'),
    fingerprint: optionalString(filter, 'fingerprint'),
    fromMs: optionalInteger(filter, 'fromMs'),
    toMs: optionalInteger(filter, 'toMs'),
    partition: optionalInteger(filter, 'partition'),
    key: optionalBytes(filter, 'key'),
  };
}
