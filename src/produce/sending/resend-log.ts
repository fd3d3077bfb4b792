import { appendFileSync, closeSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { BatchHeader } from '../../store/batch-header.ts';

/** The log is begun anew at this size; the one before is kept. */
const BYTES_MAX = 16 * 1024 * 1024;
/** To begin it anew takes a rename: a lock of this age, in ms, is of one who has died over it. */
const LOCK_MS_MAX = 60_000;

/** What is said of messages that are sent again. */
export type ResentBatch = Pick<BatchHeader, 'firstSequence' | 'messages' | 'segments'>;

/** A stored batch that is about to be sent to the backend again. */
export interface Resend {
  readonly cause: string;
  readonly lane: number;
  /** Where it is sent now: 0 the primary cluster, 1 the backup. */
  readonly cluster?: number;
  readonly timeMs: number;
  readonly header: ResentBatch;
}

/**
 * Notes in `<dataDir>/resends.jsonl` what is sent again, before it is sent, so that each duplicate
 * in the backend has its cause there. A line for each batch: cause, lane, cluster (0 primary, 1
 * backup), the lane's first and last sequence, and by segment the producer (hex), its epoch, first
 * sequence and count.
 */
export class ResendLog {
  private readonly path: string;
  private readonly lockPath: string;

  constructor(dataDir: string) {
    this.path = join(dataDir, 'resends.jsonl');
    this.lockPath = join(dataDir, 'resends.jsonl.lock');
  }

  write({ cause, lane, cluster = 0, timeMs, header }: Resend): void {
    const first = header.firstSequence;
    const ids = header.segments.map((s) => [
      s.producerId.toString(16).padStart(16, '0'),
      s.epoch,
      s.firstSequence,
      s.count,
    ]);
    const last = first + header.messages - 1;
    const line = `${JSON.stringify({ timeMs, cause, lane, cluster, first, last, ids })}\n`;
    if (this.isFullWith(line.length)) this.rotate(line.length, timeMs);
    appendFileSync(this.path, line, { mode: 0o600 });
  }

  /** The lanes of a node share the file, so only the file knows its size. */
  private isFullWith(bytes: number): boolean {
    const size = statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
    return size + bytes > BYTES_MAX;
  }

  /** One lane at a time, or the second would put an empty log over the one that is kept. */
  private rotate(bytes: number, timeMs: number): void {
    const lockedMs = statSync(this.lockPath, { throwIfNoEntry: false })?.mtimeMs ?? timeMs;
    if (timeMs - lockedMs > LOCK_MS_MAX) rmSync(this.lockPath, { force: true });
    let lock: number;
    try {
      lock = openSync(this.lockPath, 'wx', 0o600);
    } catch {
      // Another lane is at it: this line may still go to the old one.
      return;
    }
    try {
      if (this.isFullWith(bytes)) renameSync(this.path, `${this.path}.1`);
    } finally {
      closeSync(lock);
      rmSync(this.lockPath, { force: true });
    }
  }
}
