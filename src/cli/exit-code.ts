import { codeOf } from '../base/errors.ts';

/** What the process ends with. */
export const exitCodes = {
  ok: 0,
  /** The node, the backend or the disk said no, or nobody answered. */
  refused: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** The store failed or is corrupt. */
  store: 70,
  /** The configuration is not valid. */
  config: 78,
} as const;

/** The exit code that fits an error. */
export function exitCodeOf(error: unknown): number {
  const code = codeOf(error);
  if (code === 'USAGE') return exitCodes.usage;
  if (code === 'CONFIG_INVALID') return exitCodes.config;
  if (code === 'STORE_LOCKED') return exitCodes.refused;
  return code.startsWith('STORE_') ? exitCodes.store : exitCodes.refused;
}
