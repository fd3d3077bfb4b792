import { pino } from 'pino';
import type { Logger } from '../../src/base/log.ts';

/** A logger whose lines a test reads. */
export function keptLog(): { log: Logger; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ base: null }, { write: (line) => void lines.push(JSON.parse(line)) });
  return { log, lines };
}
