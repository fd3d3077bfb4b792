import type { ErrorRow } from './generated.ts';
import { ERROR_TABLE, ErrorCode } from './generated.ts';

const rows = new Map<number, ErrorRow>(ERROR_TABLE.map((row) => [row.code, row]));

/**
 * What every codec of this folder throws, and what a FAILED answer becomes: `code` is the number on
 * the wire, `name` its name in the table (`MALFORMED`), `message` what was wrong, in words.
 */
export class ProtocolError extends Error {
  readonly code: number;
  /** The node's hint, in milliseconds; 0 is none. */
  readonly retryAfterMs: number;

  constructor(code: number, message: string, retryAfterMs = 0) {
    super(message);
    this.code = code;
    this.name = errorName(code);
    this.retryAfterMs = retryAfterMs;
  }

  /** The same request, with the same id, may succeed later. */
  get retriable(): boolean {
    return errorRow(this.code)?.retriable === true;
  }

  /** The connection ends with it. */
  get fatal(): boolean {
    return errorRow(this.code)?.fatal === true;
  }
}

/** The row of the error table, or undefined for a code of a newer peer. */
export function errorRow(code: number): ErrorRow | undefined {
  return rows.get(code);
}

/** The code's name in the table, or `CODE_<number>` for one of a newer peer. */
export function errorName(code: number): string {
  return rows.get(code)?.name ?? `CODE_${code}`;
}

/** Shorthand for the commonest one: the bytes do not follow the grammar. */
export function malformed(message: string): ProtocolError {
  return new ProtocolError(ErrorCode.MALFORMED, message);
}
