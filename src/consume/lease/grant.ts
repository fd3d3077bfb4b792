/** For whom and until when messages are taken. */
export interface Grant {
  messagesMax: number;
  bytesMax: number;
  /** The first message may be so long by itself, though `bytesMax` is less. */
  firstBytesMax: number;
  /** Serial of the run, modulo 2^32. */
  run: number;
  sub: number;
  /** End of the lease, in ms of the timers' clock. */
  dueMs: number;
  /** Messages with an earlier timestamp are settled instead, in ms since 1970; 0: none. */
  staleBeforeMs: number;
}

/** A lease that is open. */
export interface OpenLeaseRow {
  readonly offset: number;
  readonly run: number;
  readonly attempt: number;
  readonly dueMs: number;
}
