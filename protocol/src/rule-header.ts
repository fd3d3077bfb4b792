import { ErrorCode } from './generated.ts';
import { decodeMap, encodeMap, type MapBody } from './map-body.ts';
import { integerField, mapField, optionalInteger, stringField } from './map-fields.ts';
import { malformed, ProtocolError } from './protocol-error.ts';
import { type MissedFirings, readEvery, readMissed, type SeriesEvery } from './series.ts';

/** The header of a series' record in the delay log: how it goes on after this firing. */
export const MQ_RULE_NAME = 'mq-rule';
/** The header of what a series fired: its name. */
export const MQ_SERIES_NAME = 'mq-series';
/** The header of what a series fired: the number of the firing, in decimal digits. */
export const MQ_SERIES_NUMBER_NAME = 'mq-series-number';

/** What `mq-rule` says. The next firing's number and time stand in `mq-to`. */
export interface RuleHeader {
  /** The name of the series. */
  readonly series: string;
  readonly every: SeriesEvery;
  readonly missed: MissedFirings;
  /** Firings that were published so far. */
  readonly fired: number;
  /** The last number there is. */
  readonly count?: number;
  /** No firing after this, unix milliseconds. */
  readonly untilMs?: number;
  /** Numbers after the next that do not fire, rising. */
  readonly cancelled?: readonly number[];
}

const VERSION = 1;

// [P-8.5] mq-rule := map { version (= 1), series, every, missed, fired, count?, untilMs?,
//                          cancelled?: [number] }

/** *Owned* by the caller. */
export function encodeRuleHeader(rule: RuleHeader): Buffer {
  const { series, every, missed, fired, count, untilMs, cancelled = [] } = rule;
  return encodeMap({
    version: VERSION,
    series,
    every,
    missed,
    fired,
    ...(count === undefined ? {} : { count }),
    ...(untilMs === undefined ? {} : { untilMs }),
    ...(cancelled.length === 0 ? {} : { cancelled }),
  });
}

/**
 * Unknown keys are ignored, since a newer node may say more.
 * @throws ProtocolError when the bytes are not ours
 */
export function decodeRuleHeader(bytes: Buffer): RuleHeader {
  const map = decodeMap(bytes, `${MQ_RULE_NAME} header`);
  const version = integerField(map, 'version', 1);
  if (version !== VERSION) {
    const words = `${MQ_RULE_NAME} header: version ${version}`;
    throw new ProtocolError(ErrorCode.UNSUPPORTED_VERSION, words);
  }
  const count = optionalInteger(map, 'count', 1);
  const untilMs = optionalInteger(map, 'untilMs');
  const cancelled = readCancelled(map);
  return {
    series: stringField(map, 'series'),
    every: readEvery(mapField(map, 'every')),
    missed: readMissed(stringField(map, 'missed')) as MissedFirings,
    fired: integerField(map, 'fired'),
    ...(count === undefined ? {} : { count }),
    ...(untilMs === undefined ? {} : { untilMs }),
    ...(cancelled.length === 0 ? {} : { cancelled }),
  };
}

function readCancelled(map: MapBody): readonly number[] {
  const { cancelled = [] } = map;
  const isList = Array.isArray(cancelled);
  if (!isList || !cancelled.every((number) => Number.isSafeInteger(number) && number >= 1)) {
    throw malformed(`${MQ_RULE_NAME} header: cancelled is an array of numbers from 1`);
  }
  return cancelled;
}
