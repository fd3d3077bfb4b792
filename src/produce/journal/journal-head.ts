import {
  BatchHeaderBuilder,
  SEGMENT_PASSED,
  SEGMENT_REPLICATED,
  SEGMENT_UNORDERED,
} from '../../store/batch-header.ts';
import type { AppendRequest, LaneStore } from '../../store/lane-store.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';
import { type MicroBatch, ROW_COLUMNS, row } from '../intake/micro-batch.ts';
import type { Producers } from '../intake/producers.ts';

/** What a {@link JournalHead} needs. */
export interface JournalHeadParts {
  readonly store: LaneStore;
  readonly producers: Producers;
  readonly stats: LaneStats;
}

/** Header and windows of an append. */
export type HeadRequest = Pick<AppendRequest, 'header' | 'windowPuts'>;

/** What both journals write before a batch, and know of the volume. */
export class JournalHead {
  /** What the volume has left, as last looked at. */
  freeBytes = Number.POSITIVE_INFINITY;
  private readonly parts: JournalHeadParts;
  private readonly header = new BatchHeaderBuilder();

  constructor(parts: JournalHeadParts) {
    this.parts = parts;
  }

  noteFreeBytes(bytes: number): void {
    this.freeBytes = bytes;
    this.parts.stats.set(stat.diskFreeBytes, bytes);
  }

  /** Gives the batch its sequence; its header and, when they are due, the producers' windows. */
  request(batch: MicroBatch): HeadRequest {
    const { store } = this.parts;
    const { header } = this;
    batch.firstSequence = store.nextSequence;
    const request = this.begin(batch.acceptedMs);
    this.addSegments(batch);
    // A header without a message would have no sequence: nobody's message gives it one.
    if (batch.messages === 0) header.addNobody(store.nextSequence);
    for (const { producer, sequence, count } of batch.passes) {
      const { producerId, epoch } = producer;
      const firstSequence = sequence + count - 1;
      header.addSegment({ producerId, epoch, flags: SEGMENT_PASSED, count: 0, firstSequence });
    }
    for (const topic of batch.topics) header.addTopic(topic);
    return request;
  }

  /** A header without segments and, when they are due, the producers' windows. */
  begin(acceptedMs: number): HeadRequest {
    const { store, producers } = this.parts;
    const { header } = this;
    header.reset(acceptedMs);
    return { header, ...(store.checkpointDue ? { windowPuts: producers.checkpoint() } : {}) };
  }

  private addSegments(batch: MicroBatch): void {
    const { producers } = this.parts;
    for (let s = 0; s < batch.segments; s++) {
      const producer = batch.producers[s];
      if (producer === undefined) continue;
      const at = s * ROW_COLUMNS;
      const session = producers.session(batch.rows[at + row.session] as number);
      const unordered = session !== undefined && !session.ordered ? SEGMENT_UNORDERED : 0;
      const replicated = batch.rows[at + row.replicated] === 1 ? SEGMENT_REPLICATED : 0;
      this.header.addSegment({
        producerId: producer.producerId,
        epoch: producer.epoch,
        flags: unordered | replicated,
        count: batch.counts[s] as number,
        firstSequence: batch.rows[at + row.sequence] as number,
      });
    }
  }
}
