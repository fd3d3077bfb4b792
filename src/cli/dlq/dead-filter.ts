import type { DeadFilter } from '../../../protocol/src/dead-letters.ts';
import { coded } from '../../base/errors.ts';
import { parseDuration } from '../../config/units.ts';
import type { OptionSpecs, OptionValues } from '../option.ts';

/** The options that choose among dead letters; all that are given must hold. */
export const deadFilterOptions = {
  id: { kind: 'text', value: 'ID', description: 'Only the message with this id.' },
  reason: { kind: 'text', value: 'TEXT', description: 'Only where the reason has this in it.' },
  fingerprint: { kind: 'text', value: 'HEX', description: 'Only failures of this kind.' },
  key: { kind: 'text', value: 'TEXT', description: 'Only messages with this key.' },
  partition: { kind: 'count', value: 'N', description: 'Only of this partition of TOPIC.' },
  since: {
    kind: 'text',
    value: 'TIME',
    description: 'Only what failed last at or after it: 2026-01-31T12:00:00Z, or an age as 2h.',
  },
  until: { kind: 'text', value: 'TIME', description: 'Only what failed last before it.' },
} as const satisfies OptionSpecs;

/** @throws USAGE for a time that is none */
export function deadFilterOf(
  own: OptionValues<typeof deadFilterOptions>,
  nowMs: number,
): DeadFilter {
  const { id, reason, fingerprint, key, partition, since, until } = own;
  return dropUndefined({
    id,
    reason,
    fingerprint,
    partition,
    key: key === undefined ? undefined : Buffer.from(key),
    fromMs: since === undefined ? undefined : timeOf('since', since, nowMs),
    toMs: until === undefined ? undefined : timeOf('until', until, nowMs),
  });
}

function timeOf(option: string, text: string, nowMs: number): number {
  const ageMs = parseDuration(text);
  if (ageMs !== undefined) return Math.max(0, nowMs - ageMs);
  const timeMs = Date.parse(text);
  if (Number.isInteger(timeMs) && timeMs >= 0) return timeMs;
  throw coded('USAGE', `--${option}: ${JSON.stringify(text)} is no time and no age such as 2h`);
}

function dropUndefined<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as T;
}
