import { encodeDelayTarget, MQ_TO_NAME } from '../../protocol/src/delay-target.ts';
import { DelayIdKind } from '../../protocol/src/generated.ts';
import { encodeMqHeader, MQ_HEADER_NAME } from '../../protocol/src/mq-header.ts';
import {
  decodeRuleHeader,
  encodeRuleHeader,
  MQ_RULE_NAME,
  MQ_SERIES_NAME,
  MQ_SERIES_NUMBER_NAME,
  type RuleHeader,
} from '../../protocol/src/rule-header.ts';
import { coded } from '../base/errors.ts';
import {
  acceptedOf,
  type DelayRecord,
  delayRecord,
  dueOf,
  firedRecord,
  firingTarget,
  type NewDelayRecord,
  numberOf,
  type RecordEnd,
  tailHeader,
  tombstone,
} from './delay-record.ts';
import { SeriesRule, type Turn } from './series-rule.ts';
import type { Firing } from './series-times.ts';

/** A series as its record in the delay log says it. */
export interface Series {
  readonly header: RuleHeader;
  readonly rule: SeriesRule;
  /** The firing that waits. */
  readonly stands: Firing;
}

/** Whether a delay id is that of a series. */
export function isSeriesId(id: Buffer): boolean {
  return id[2] === DelayIdKind.SERIES;
}

/** @throws STORE_CORRUPT when its rule cannot be read here */
export function seriesOf(record: DelayRecord): Series {
  const { target, rule: bytes } = record;
  try {
    const header = decodeRuleHeader(bytes ?? Buffer.alloc(0));
    const whole = target as Buffer;
    const rule = new SeriesRule(header, acceptedOf(whole));
    return { header, rule, stands: { number: numberOf(whole), dueMs: dueOf(whole) } };
  } catch (cause) {
    const words = `offset ${record.offset} of the delay log has a series that cannot be read here`;
    throw coded('STORE_CORRUPT', words, { cause });
  }
}

/** The rule of a series as it is written; undefined when it cannot be read here. */
export function ruleOf({ rule }: DelayRecord): RuleHeader | undefined {
  try {
    return rule === undefined ? undefined : decodeRuleHeader(rule);
  } catch {
    return undefined;
  }
}

/** What a series publishes for a firing: its message, with the name and the number. */
export function seriesFiring(record: DelayRecord, { header }: Series, firing: Firing) {
  const target = firingTarget(record.target as Buffer, firing);
  const fired = firedRecord({ ...record, target });
  const headers = [
    fired.headers,
    tailHeader(MQ_SERIES_NAME, Buffer.from(header.series)),
    tailHeader(MQ_SERIES_NUMBER_NAME, Buffer.from(String(firing.number))),
  ];
  return { ...fired, headers: Buffer.concat(headers) };
}

/** Bytes of the headers that {@link seriesFiring} adds, at most. */
export function firingHeaderBytes(series: string): number {
  const names = MQ_SERIES_NAME.length + MQ_SERIES_NUMBER_NAME.length + MQ_HEADER_NAME.length;
  return names + 3 * 6 + 48 + Buffer.byteLength(series) + 16;
}

/**
 * What follows a record of a series in the delay log once its turn was taken: the same series with
 * its next firing, or its end. It stands only where that very record stood.
 */
export function seriesFollower(topic: string, record: DelayRecord, turn: Turn): NewDelayRecord {
  const header = decodeRuleHeader(record.rule ?? Buffer.alloc(0));
  const fired = header.fired + (turn.fires === undefined ? 0 : 1);
  const ends = { offset: record.offset, dueMs: dueOf(record.target as Buffer) };
  return seriesChanged(topic, record, { ...header, fired }, turn.next, ends);
}

/**
 * The record of a series with another rule or next firing, or its end; with `ends` in the place of
 * that one record alone.
 */
export function seriesChanged(
  topic: string,
  record: DelayRecord,
  header: RuleHeader,
  next: Firing | undefined,
  ends?: RecordEnd,
): NewDelayRecord {
  const { id } = record;
  const target = record.target as Buffer;
  if (next === undefined) return tombstone(topic, id, ends);
  const cancelled = header.cancelled?.filter((number) => number > next.number);
  const { cancelled: _, ...kept } = header;
  const rule = encodeRuleHeader({ ...kept, ...(cancelled === undefined ? {} : { cancelled }) });
  return delayRecord(topic, { ...record, rule }, firingTarget(target, next), ends);
}

/** What a new series is made of. */
export interface NewSeries {
  readonly id: Buffer;
  readonly header: RuleHeader;
  readonly topic: string;
  readonly key: Buffer | undefined;
  readonly value: Buffer | null;
  /** With the number it is the id of what fires. */
  readonly producerId: bigint;
  readonly originNode: bigint;
  readonly acceptedMs: number;
  readonly first: Firing;
}

/** The first record of a series; it replaces whatever stood. */
export function newSeriesRecord(delayLog: string, series: NewSeries): NewDelayRecord {
  const { id, header, topic, key, value, producerId, originNode, acceptedMs, first } = series;
  const mq = encodeMqHeader({
    producerId,
    epoch: 0,
    sequence: first.number,
    originNode,
    acceptedMs,
    dueMs: first.dueMs,
  });
  const nullValue = value === null;
  const parts = { topic, partition: undefined, key, nullValue, ifAbsent: false, mq };
  const headers = [
    tailHeader(MQ_TO_NAME, encodeDelayTarget(parts)),
    tailHeader(MQ_RULE_NAME, encodeRuleHeader(header)),
  ];
  return {
    topic: delayLog,
    partition: id[1] as number,
    key: id,
    value: value ?? Buffer.alloc(0),
    headers: Buffer.concat(headers),
  };
}
