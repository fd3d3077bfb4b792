/** What a {@link CodedError} may carry beside its code and message. */
export interface CodedErrorOptions {
  readonly cause?: unknown;
  /** What the reader can do about it, one sentence. */
  readonly hint?: string;
  /** How long to wait before trying again, in milliseconds. */
  readonly retryAfterMs?: number;
}

/**
 * An error of the world: bad input, a missing broker, a full disk. `code` is stable and is what
 * programs look at; our own bugs are `assert`s instead.
 */
export class CodedError extends Error {
  readonly code: string;
  readonly hint: string | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(code: string, message: string, options: CodedErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'CodedError';
    this.code = code;
    this.hint = options.hint;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/** Makes a {@link CodedError}; the short form for `throw coded('CODE', 'what happened')`. */
export function coded(code: string, message: string, options?: CodedErrorOptions): CodedError {
  return new CodedError(code, message, options);
}

/** The code of anything thrown: its own when it has one, else `INTERNAL`. */
export function codeOf(error: unknown): string {
  if (typeof error === 'object' && error !== null && 'code' in error) {
    const { code } = error;
    if (typeof code === 'string') return code;
  }
  return 'INTERNAL';
}

/** The message of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The first line of a message that goes on with an excerpt, such as a YAML parser's. */
export function firstLineOf(error: unknown): string {
  return (messageOf(error).split('\n')[0] ?? '').replace(/:$/, '');
}

/** Whether something failed because the disk has no room, in itself or in what caused it. */
export function isDiskFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  if (codeOf(error) === 'ENOSPC' || /no space left|ENOSPC/i.test(error.message)) return true;
  return isDiskFull(error.cause);
}
