import { appendFileSync, closeSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock, Timer } from '../../base/clock.ts';
import { messageOf } from '../../base/errors.ts';
import { limits } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import type { BatchHeader } from '../../store/batch-header.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';

/** The log is begun anew at this size; the one before is kept. */
const BYTES_MAX = 16 * 1024 * 1024;
/** To begin it anew takes a rename: a lock of this age, in ms, is of one who has died over it. */
const LOCK_MS_MAX = 60_000;
/** What the disk did not take is offered to it again after so long. */
const WRITE_AGAIN_MS = 1_000;

/** What is said of messages that are sent again. */
export type ResentBatch = Pick<BatchHeader, 'firstSequence' | 'messages' | 'segments'>;

/** A stored batch that is about to be sent to the backend again. */
export interface Resend {
  readonly cause: string;
  readonly lane: number;
  /** Where it is sent now: 0 the primary cluster, 1 the backup. */
  readonly cluster?: number;
  readonly header: ResentBatch;
}

/** Parts of a {@link ResendLog}. */
export interface ResendLogParts {
  readonly dataDir: string;
  readonly clock: Clock;
  readonly stats: LaneStats;
  readonly log: Logger;
}

/**
 * Notes in `<dataDir>/resends.jsonl` what is sent again, before it is sent, so that each duplicate
 * in the backend has its cause there. A line for each batch: cause, lane, cluster (0 primary, 1
 * backup), the lane's first and last sequence, and by segment the producer (hex), its epoch, first
 * sequence and count.
 *
 * A note that the disk refuses stops nothing, since it is the sending that makes room on a full
 * disk: it waits in memory, is counted and said, and is written when the disk takes it.
 */
export class ResendLog {
  private readonly parts: ResendLogParts;
  private readonly path: string;
  private readonly lockPath: string;
  /** Lines that are not in the file, the oldest first. */
  private held: string[] = [];
  private heldBytes = 0;
  /** Lines that found no room here either, while the others are held. */
  private lost = 0;
  /** Present between a write that failed and the next one. */
  private timer: Timer | undefined;

  constructor(parts: ResendLogParts) {
    this.parts = parts;
    this.path = join(parts.dataDir, 'resends.jsonl');
    this.lockPath = join(parts.dataDir, 'resends.jsonl.lock');
  }

  /** Never throws: whoever is about to send goes on. */
  write({ cause, lane, cluster = 0, header }: Resend): void {
    const { clock, stats } = this.parts;
    const first = header.firstSequence;
    const ids = header.segments.map((s) => [
      s.producerId.toString(16).padStart(16, '0'),
      s.epoch,
      s.firstSequence,
      s.count,
    ]);
    const last = first + header.messages - 1;
    const timeMs = clock.now();
    this.hold(`${JSON.stringify({ timeMs, cause, lane, cluster, first, last, ids })}\n`);
    if (this.timer === undefined) this.writeHeld();
    if (this.timer !== undefined) stats.add(stat.resendNotesLate, 1);
  }

  /** Offers the disk a last time what it has not taken. */
  close(): void {
    if (this.held.length > 0) this.writeHeld();
    this.timer?.cancel();
  }

  private hold(line: string): void {
    if (this.heldBytes + line.length > limits.resendNotesBytesMax) {
      const words = 'notes of what is sent again are lost: too many wait for the disk';
      if (this.lost++ === 0) this.parts.log.error(words);
      return;
    }
    this.held.push(line);
    this.heldBytes += line.length;
  }

  private writeHeld(): void {
    const { clock, log } = this.parts;
    const isLate = this.timer !== undefined;
    this.timer?.cancel();
    try {
      this.append(this.held.join(''), clock.now());
    } catch (error) {
      const words = 'resends.jsonl cannot be written: notes of what is sent again wait in memory';
      if (!isLate) log.warn({ reason: messageOf(error) }, words);
      this.timer = clock.setTimer(() => this.writeHeld(), WRITE_AGAIN_MS);
      return;
    }
    const [late, lost] = [this.held.length, this.lost];
    if (isLate) log.warn({ late, lost }, 'resends.jsonl was written again');
    this.timer = undefined;
    this.held = [];
    this.heldBytes = 0;
    this.lost = 0;
  }

  /** What a failed write left half done is there twice then: a note too many does no harm. */
  private append(lines: string, nowMs: number): void {
    if (this.isFullWith(lines.length)) this.rotate(lines.length, nowMs);
    appendFileSync(this.path, lines, { mode: 0o600 });
  }

  /** The lanes of a node share the file, so only the file knows its size. */
  private isFullWith(bytes: number): boolean {
    const size = statSync(this.path, { throwIfNoEntry: false })?.size ?? 0;
    return size + bytes > BYTES_MAX;
  }

  /** One lane at a time, or the second would put an empty log over the one that is kept. */
  private rotate(bytes: number, nowMs: number): void {
    const lockedMs = statSync(this.lockPath, { throwIfNoEntry: false })?.mtimeMs ?? nowMs;
    if (nowMs - lockedMs > LOCK_MS_MAX) rmSync(this.lockPath, { force: true });
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
