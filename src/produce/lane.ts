import { ErrorCode } from '../../protocol/src/generated.ts';
import type { Clock } from '../base/clock.ts';
import { coded } from '../base/errors.ts';
import type { RingReader } from '../lanes/ring.ts';
import type { BatchBuilder } from '../native/batch-builder.ts';
import type { Acker } from './intake/acker.ts';
import type { Intake } from './intake/intake.ts';
import { type LaneStats, stat } from './intake/lane-stats.ts';
import { type MicroBatch, ROW_COLUMNS, row, SEGMENT_ID_BYTES } from './intake/micro-batch.ts';
import type { Producers } from './intake/producers.ts';
import type { Journal } from './journal/journal.ts';

/** How long a client is told to wait at the soft mark, in ms. */
const RETRY_AFTER_MS = 250;

/** What a {@link Lane} is made of. */
export interface LaneParts {
  readonly reader: RingReader;
  readonly builder: BatchBuilder;
  readonly intake: Intake;
  readonly journal: Journal;
  readonly acker: Acker;
  readonly producers: Producers;
  readonly stats: LaneStats;
  readonly clock: Clock;
  /** New messages were answered; the first may have waited for so long since it was in the ring. */
  onAnswered(waitedMs: number, messages: number): void;
  /** The ring has room again and its writer waits for that. */
  onRoom(): void;
  /** The store failed: the outcome of the batch is unknown, and no answer may leave any more. */
  onFailure(error: unknown): void;
}

/**
 * A lane: a micro-batch in, answers out. One write is in flight at a time; what arrives meanwhile
 * collects in the ring. So a lonely message pays one hop and one fsync, and under load batches
 * grow by themselves, without a timer.
 */
export class Lane {
  private readonly parts: LaneParts;
  private readonly gate: { refusesReplicated: boolean; retryAfterMs: number; code: number };
  private draining = false;
  private running = false;
  private failed = false;
  /** Taken from the ring and not answered. */
  private inHand: MicroBatch | undefined;
  private idle: (() => void)[] = [];

  constructor(parts: LaneParts) {
    this.parts = parts;
    const { refusesReplicated } = parts.journal;
    this.gate = { refusesReplicated, retryAfterMs: 0, code: ErrorCode.RETRY_LATER };
  }

  /** Something may be in the ring, or there is room for answers again. */
  wake(): void {
    if (this.failed) return;
    this.parts.acker.flush();
    if (this.running) return;
    this.running = true;
    void this.run();
  }

  /** From now on new messages are refused with `DRAINING`; known ones are still answered. */
  refuseNew(): void {
    this.draining = true;
  }

  /**
   * Takes and answers nothing more: what is being written is `UNKNOWN`, even if it succeeds.
   * Resolves when nothing is being written.
   */
  stop(): Promise<void> {
    this.failed = true;
    if (!this.running) return Promise.resolve();
    return new Promise((resolve) => {
      this.idle.push(resolve);
    });
  }

  /** Resolves when everything in the ring was taken and stored, or the lane has failed. */
  drained(): Promise<void> {
    if (!this.running && (this.failed || this.parts.reader.isEmpty)) return Promise.resolve();
    return new Promise((resolve) => {
      this.idle.push(resolve);
      this.wake();
    });
  }

  private async run(): Promise<void> {
    try {
      await this.drain();
    } catch (error) {
      this.failed = true;
      if (this.inHand !== undefined) this.answerUnknown(this.inHand);
      this.parts.onFailure(error);
    }
    this.running = false;
    for (const resolve of this.idle.splice(0)) resolve();
    // What came while the loop was ending found it running, and did not wake it.
    if (this.parts.journal.hasOwn) this.wake();
  }

  private async drain(): Promise<void> {
    const { reader, journal, clock, stats } = this.parts;
    let stored: MicroBatch | undefined;
    /** What is taken next came into the ring after this. */
    let emptyMs = clock.monotonic();
    while (!this.failed) {
      const began = clock.monotonic();
      const batch = this.take();
      if (batch === undefined) {
        emptyMs = began;
        if (stored !== undefined) {
          journal.forward(stored);
          stored = undefined;
        } else if (journal.hasOwn) await journal.appendOwn();
        else if (reader.trySleep()) return;
        continue;
      }
      if (batch.messages > 0 || batch.passes.length > 0) {
        const written = journal.append(batch);
        // The batch before is sent while this one is being written.
        if (stored !== undefined) journal.forward(stored);
        const waits = clock.monotonic();
        stats.add(stat.busyMs, waits - began);
        await written;
        if (this.failed) throw coded('STORE_FAILED', 'the lane was stopped');
        stats.write(clock.monotonic() - waits, batch.messages);
        stored = batch.messages > 0 ? batch : undefined;
      }
      this.answer(batch);
      this.inHand = undefined;
      const ended = clock.monotonic();
      stats.answered(ended - began);
      if (batch.messages > 0) this.parts.onAnswered(ended - emptyMs, batch.messages);
      emptyMs = began;
    }
  }

  private take(): MicroBatch | undefined {
    const { intake, journal, reader, builder, producers } = this.parts;
    const isOpen = journal.pressure === 'none' && !this.draining;
    this.gate.retryAfterMs = isOpen ? 0 : RETRY_AFTER_MS;
    this.gate.code = this.draining ? ErrorCode.DRAINING : ErrorCode.RETRY_LATER;
    const batch = intake.take(this.gate);
    if (batch === undefined) return undefined;
    this.inHand = batch;
    if (batch.messages > 0) {
      if (builder.dueMessages > 0) {
        const ids = batch.ids.subarray(0, batch.segments * SEGMENT_ID_BYTES);
        builder.rewriteDue(ids, batch.counts.subarray(0, batch.segments), batch.acceptedMs);
      }
      journal.encode(batch, builder);
    }
    if (reader.release()) this.parts.onRoom();
    producers.evict();
    return batch;
  }

  /** Durability is known: the only place from which a batch is answered. */
  private answer(batch: MicroBatch): void {
    const { journal, acker, stats, builder } = this.parts;
    for (const { session, correlationId, count, code } of batch.passes) {
      acker.refused(session, correlationId, count, { code, detail: 0 });
    }
    if (batch.messages > 0) {
      journal.answer(batch, acker);
      stats.add(stat.stored, batch.messages);
      stats.add(stat.batches, 1);
      for (let i = 0; i < builder.topicCount; i++) {
        stats.storeTopic(builder.topics[i] as number, builder.topicMessages[i] as number);
      }
    }
    for (const run of batch.duplicates) journal.answerDuplicate(run, acker);
    acker.flush();
  }

  /** Whether it is durable is not known: its producers go back and send it again. */
  private answerUnknown(batch: MicroBatch): void {
    const { acker, stats } = this.parts;
    const why = { code: ErrorCode.UNKNOWN, detail: 0 };
    for (let s = 0; s < batch.segments; s++) {
      const at = s * ROW_COLUMNS;
      const count = batch.rows[at + row.count] as number;
      const first = batch.rows[at + row.correlationId] as number;
      acker.refused(batch.rows[at + row.session] as number, first, count, why);
      stats.refuse(why.code, count);
    }
    for (const { session, correlationId, count } of [...batch.duplicates, ...batch.passes]) {
      acker.refused(session, correlationId, count, why);
      stats.refuse(why.code, count);
    }
    acker.flush();
  }
}
