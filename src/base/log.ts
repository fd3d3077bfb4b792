import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/** The node's logger: JSON lines on stderr, so that stdout holds only what was asked for. */
export function createLogger(level: string): Logger {
  return pino({ level, base: null }, pino.destination({ dest: 2, sync: true }));
}

/** A logger that says nothing, for tests. */
export function silentLogger(): Logger {
  return pino({ level: 'silent' });
}
