import { type DelayOutcome, readKey } from './delayed.ts';
import { ErrorCode } from './generated.ts';
import type { MapBody } from './map-body.ts';
import {
  integerField,
  mapField,
  mapsField,
  optionalInteger,
  optionalLimit,
  optionalString,
  stringField,
} from './map-fields.ts';
import { type MapMessage, mapMessage } from './map-message.ts';
import { checkTopicName } from './open-topic.ts';
import { ProtocolError } from './protocol-error.ts';

/** When a series fires: at a fixed interval, by cron in a time zone, or at growing intervals. */
export type SeriesEvery =
  | { readonly intervalMs: number }
  | { readonly cron: string; readonly timeZone?: string }
  | { readonly firstMs: number; readonly factor: number; readonly maxMs?: number };

/** What to do about firings that no node was there for. */
export type MissedFirings = 'skip' | 'once' | 'all';

export interface ScheduleSeries {
  /** Names the series; scheduling it again replaces it. Absent: the node gives one. */
  readonly series?: string;
  readonly topic: string;
  /** Bytes when decoded. */
  readonly key?: Uint8Array | string;
  readonly value: Uint8Array | string | null;
  readonly every: SeriesEvery;
  /** The last number; firings at most. */
  readonly count?: number;
  /** No firing after this, unix milliseconds. */
  readonly untilMs?: number;
  /** Default `once`. */
  readonly missed?: MissedFirings;
}

export interface SeriesInfo {
  readonly series: string;
  readonly topic: string;
  readonly every: SeriesEvery;
  /** Firings so far. */
  readonly fired: number;
  readonly nextMs?: number;
  /** The number of that firing. */
  readonly nextNumber?: number;
  /** Numbers after it that are cancelled. */
  readonly cancelled?: readonly number[];
  readonly key?: Uint8Array;
  readonly count?: number;
  readonly untilMs?: number;
  readonly missed?: MissedFirings;
}

export interface SeriesPage {
  readonly series: readonly SeriesInfo[];
  readonly cursor?: string;
  /** Clusters that could not be asked: their series are missing. */
  readonly unreachable?: readonly number[];
}

const MISSED: readonly MissedFirings[] = ['skip', 'once', 'all'];
const INTERVAL_MS_MIN = 1000;

// [P-14.7] schedule-series := map { series?, topic, key?, value, every, count?, untilMs?, missed? }
//          every := { intervalMs } | { cron, timeZone? } | { firstMs, factor, maxMs? }
//          missed := "skip" | "once" | "all"      answer := map { series, nextMs }

export const SCHEDULE_SERIES: MapMessage<
  ScheduleSeries,
  { readonly series: string; readonly nextMs: number }
> = mapMessage({
  name: 'SCHEDULE_SERIES',
  keys: ['series', 'topic', 'key', 'value', 'every', 'count', 'untilMs', 'missed'],
  request: (map) => {
    const topic = stringField(map, 'topic');
    checkTopicName(topic);
    return {
      series: optionalString(map, 'series'),
      topic,
      key: readKey(map),
      value: readValue(map),
      every: readEvery(mapField(map, 'every')),
      count: optionalInteger(map, 'count', 1),
      untilMs: optionalInteger(map, 'untilMs'),
      missed: readMissed(optionalString(map, 'missed')),
    };
  },
  answer: (map) => {
    stringField(map, 'series');
    integerField(map, 'nextMs');
  },
});

// [P-14.8] cancel-series := map { series, number? }      number: one firing alone, from 1
//          answer := map { outcome }

export const CANCEL_SERIES: MapMessage<
  { readonly series: string; readonly number?: number },
  { readonly outcome: DelayOutcome }
> = mapMessage({
  name: 'CANCEL_SERIES',
  keys: ['series', 'number'],
  request: (map) => ({
    series: stringField(map, 'series'),
    number: optionalInteger(map, 'number', 1),
  }),
  answer: (map) => void stringField(map, 'outcome'),
});

// [P-14.9] list-series := map { limit?, cursor? }
//          answer := map { series: [SeriesInfo], cursor? }

export const LIST_SERIES: MapMessage<
  { readonly limit?: number; readonly cursor?: string },
  SeriesPage
> = mapMessage({
  name: 'LIST_SERIES',
  keys: ['limit', 'cursor'],
  request: (map) => ({ limit: optionalLimit(map), cursor: optionalString(map, 'cursor') }),
  answer: (map) => {
    for (const series of mapsField(map, 'series')) {
      stringField(series, 'series');
      stringField(series, 'topic');
      integerField(series, 'fired');
    }
    optionalString(map, 'cursor');
  },
});

function readValue(map: MapBody): Buffer | null {
  const value = map['value'];
  if (value === null) return null;
  if (typeof value === 'string') return Buffer.from(value);
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.length);
  throw invalid('value must be a string, bytes or nil');
}

/** The rule of a series. @throws ProtocolError INVALID_ARGUMENT */
export function readEvery(map: MapBody): SeriesEvery {
  const keys = Object.keys(map).sort().join();
  if (keys === 'intervalMs')
    return { intervalMs: integerField(map, 'intervalMs', INTERVAL_MS_MIN) };
  if (keys === 'cron' || keys === 'cron,timeZone') {
    const timeZone = optionalString(map, 'timeZone');
    const cron = stringField(map, 'cron');
    return timeZone === undefined ? { cron } : { cron, timeZone };
  }
  if (keys === 'factor,firstMs' || keys === 'factor,firstMs,maxMs') {
    const firstMs = integerField(map, 'firstMs', INTERVAL_MS_MIN);
    const maxMs = optionalInteger(map, 'maxMs', firstMs);
    const factor = map['factor'];
    if (typeof factor !== 'number' || !(factor >= 1 && factor <= 1000)) {
      throw invalid('factor is 1 to 1,000');
    }
    return maxMs === undefined ? { firstMs, factor } : { firstMs, factor, maxMs };
  }
  throw invalid('every is { intervalMs }, { cron, timeZone? } or { firstMs, factor, maxMs? }');
}

/** @throws ProtocolError INVALID_ARGUMENT */
export function readMissed(missed: string | undefined): MissedFirings | undefined {
  if (missed === undefined) return undefined;
  const known = MISSED.find((name) => name === missed);
  if (known === undefined) throw invalid(`missed is one of ${MISSED.join(', ')}`);
  return known;
}

function invalid(message: string): ProtocolError {
  return new ProtocolError(ErrorCode.INVALID_ARGUMENT, message);
}
