import type { ArraySlab } from '../intake/array-slab.ts';
import { ROW_COLUMNS, row } from '../intake/micro-batch.ts';
import type { ProducerSession } from '../intake/producer-session.ts';

/** What of a stored batch is needed until its verdicts are there; see `MicroBatch`. */
export interface PendingBatch {
  readonly firstSequence: number;
  readonly messages: number;
  readonly segments: number;
  rows: Float64Array;
  readonly producers: readonly ProducerSession[];
  readonly hasReplicated: boolean;
  /** Messages without a verdict. */
  open: number;
}

/** Takes a batch's rows out of the memory that it shares with others, into `slab`. */
export function moveRows(batch: PendingBatch, slab: ArraySlab): void {
  const length = batch.segments * ROW_COLUMNS;
  const { buffer, offset } = slab.take(length * 8);
  const rows = new Float64Array(buffer, offset, length);
  rows.set(batch.rows.subarray(0, length));
  batch.rows = rows;
}

/** The segment of a batch that holds the message of this ordinal. */
export function rowOf({ rows, segments }: PendingBatch, ordinal: number): number {
  let low = 0;
  let high = segments;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = middle * ROW_COLUMNS;
    if ((rows[at + row.ordinal] as number) + (rows[at + row.count] as number) <= ordinal) {
      low = middle + 1;
    } else high = middle;
  }
  return low;
}
