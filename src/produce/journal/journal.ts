import type { BatchBuilder } from '../../native/batch-builder.ts';
import type { Acker } from '../intake/acker.ts';
import type { DuplicateRun, MicroBatch } from '../intake/micro-batch.ts';

/** How full a journal is. */
export type Pressure = 'none' | 'soft' | 'hard';

/**
 * Where a lane's micro-batches become durable: the outbox before Kafka, or the embedded log.
 * A batch passes `encode`, `append`, `answer` and `forward`, in this order; `forward` of one batch
 * may run while the next is appended.
 */
export interface Journal {
  /** True: `replicated` is refused here (`NOT_SUPPORTED`). */
  readonly refusesReplicated: boolean;
  readonly pressure: Pressure;
  /** Copies what was accepted out of the ring. Synchronous: the ring is given back after it. */
  encode(batch: MicroBatch, builder: BatchBuilder): void;
  /**
   * Resolves when the batch is fsynced: what was encoded, and what was passed over (a batch without
   * messages is not encoded). @throws STORE_FAILED
   */
  append(batch: MicroBatch): Promise<void>;
  /** The node's own records wait to be written. They ride in the next `append`. */
  readonly hasOwn: boolean;
  /** Writes them without a batch; between an `answer` and the next `encode`. */
  appendOwn(): Promise<void>;
  /** Answers what is answered by being stored. */
  answer(batch: MicroBatch, acker: Acker): void;
  /** Answers a resend; true when an answer was given, false when it waits for a verdict. */
  answerDuplicate(run: DuplicateRun, acker: Acker): void;
  /** Hands a stored batch to the backend. */
  forward(batch: MicroBatch): void;
  close(): Promise<void>;
}
