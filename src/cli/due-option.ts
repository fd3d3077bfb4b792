import { coded } from '../base/errors.ts';
import { parseDuration } from '../config/units.ts';

/** The options of produce that delay a message. */
export interface DueOptions {
  readonly delay: string | undefined;
  readonly due: string | undefined;
  readonly level: string | undefined;
}

/** When every line is to be delivered. @throws USAGE */
export function dueInput({ delay, due, level }: DueOptions): {
  readonly delayMs?: number;
  readonly dueAtMs?: number;
  readonly levelMs?: number;
} {
  if ([delay, due, level].filter((it) => it !== undefined).length > 1) {
    throw coded('USAGE', 'take one of --delay, --due and --level');
  }
  if (delay !== undefined) return { delayMs: durationOf('delay', delay) };
  if (due !== undefined) return { dueAtMs: timeOf('due', due) };
  return level === undefined ? {} : { levelMs: durationOf('level', level) };
}

/** A time as ISO 8601 or milliseconds since 1970. @throws USAGE */
export function timeOf(option: string, text: string): number {
  const ms = /^\d+$/.test(text) ? Number(text) : Date.parse(text);
  if (Number.isSafeInteger(ms) && ms >= 0) return ms;
  const words = 'is neither an ISO time nor milliseconds since 1970';
  throw coded('USAGE', `--${option}: ${JSON.stringify(text)} ${words}`);
}

function durationOf(option: string, text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  throw coded('USAGE', `--${option}: ${JSON.stringify(text)} is not a duration, such as 15s`);
}
