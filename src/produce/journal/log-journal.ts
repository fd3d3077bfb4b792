import type { EmbeddedLog } from '../../backend/embedded/embedded-log.ts';
import {
  joinAppends,
  type OwnAppend,
  type OwnRecords,
} from '../../backend/embedded/own-records.ts';
import type { Clock } from '../../base/clock.ts';
import { coded } from '../../base/errors.ts';
import type { BatchBuilder } from '../../native/batch-builder.ts';
import { PLACE_COLUMNS, placeColumn } from '../../native/batch-builder.ts';
import { SEGMENT_OWN } from '../../store/batch-header.ts';
import type { ChunkAppend, LaneStore } from '../../store/lane-store.ts';
import type { Acker } from '../intake/acker.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';
import { type DuplicateRun, type MicroBatch, ROW_COLUMNS, row } from '../intake/micro-batch.ts';
import type { Producers } from '../intake/producers.ts';
import type { Journal, Pressure } from './journal.ts';
import { type HeadRequest, JournalHead } from './journal-head.ts';
import type { QuotaMarks } from './outbox-journal.ts';

/** Parts of a {@link LogJournal}. */
export interface LogJournalParts {
  readonly store: LaneStore;
  readonly log: EmbeddedLog;
  readonly own: OwnRecords;
  readonly clock: Clock;
  readonly producers: Producers;
  readonly stats: LaneStats;
  readonly marks: QuotaMarks;
  /** Answer `replicated` though there are no replicas. */
  readonly allowDegradedAck: boolean;
}

/**
 * The journal of a node without Kafka: the embedded log itself. Log and dedupe share one store
 * and one fsync, so an answer names partition and offset at once.
 */
export class LogJournal implements Journal {
  readonly refusesReplicated: boolean;
  private readonly parts: LogJournalParts;
  private readonly head: JournalHead;
  private plan: ChunkAppend | undefined;
  private riding: OwnAppend | undefined;
  private places: Float64Array = new Float64Array(0);

  constructor(parts: LogJournalParts) {
    this.parts = parts;
    this.head = new JournalHead(parts);
    this.refusesReplicated = !parts.allowDegradedAck;
  }

  /** What the volume has left, as last looked at. */
  noteFreeBytes(bytes: number): void {
    this.head.noteFreeBytes(bytes);
  }

  /** The log frees by retention; only the volume's free space can stop it. */
  get pressure(): Pressure {
    const { freeBytesMin } = this.parts.marks;
    const { freeBytes } = this.head;
    if (freeBytes < freeBytesMin / 2) return 'hard';
    return freeBytes < freeBytesMin ? 'soft' : 'none';
  }

  encode(batch: MicroBatch, builder: BatchBuilder): void {
    this.plan = this.parts.log.plan(builder, {
      ids: batch.ids.subarray(0, batch.segments * 16),
      acceptedSegments: batch.counts.subarray(0, batch.segments),
    });
    this.places = builder.places;
    this.parts.stats.add(stat.storedBytes, this.plan.bytes.length);
  }

  append(batch: MicroBatch): Promise<void> {
    const request = this.head.request(batch);
    // Only a batch with messages is answered through here, and with it what rides along.
    if (batch.messages === 0) return this.write(request, undefined, undefined);
    return this.write(request, this.plan, this.parts.own.take(batch.acceptedMs));
  }

  get hasOwn(): boolean {
    return !this.parts.own.isEmpty;
  }

  async appendOwn(): Promise<void> {
    const nowMs = this.parts.clock.now();
    const own = this.parts.own.take(nowMs);
    // All that waited was refused. A header that is begun has taken the windows with it.
    if (own === undefined) return;
    await this.write(this.head.begin(nowMs), undefined, own);
    this.riding = undefined;
    own.stored();
  }

  private async write(
    request: HeadRequest,
    plan: ChunkAppend | undefined,
    own: OwnAppend | undefined,
  ): Promise<void> {
    this.riding = own;
    if (own !== undefined) {
      // They count in the lane's chain, so that their loss would be noticed like any other.
      const { messages: count } = own;
      const nobody = { producerId: 0n, epoch: 0, flags: SEGMENT_OWN, firstSequence: 0 };
      request.header.addSegment({ ...nobody, count });
    }
    let chunks = plan ?? own?.chunks;
    if (plan !== undefined && own !== undefined) chunks = joinAppends(plan, own.chunks);
    try {
      await this.parts.store.append({ ...request, ...(chunks === undefined ? {} : { chunks }) });
    } catch (error) {
      own?.failed(error);
      throw error;
    }
  }

  answer(batch: MicroBatch, acker: Acker): void {
    const { log, stats } = this.parts;
    if (this.plan !== undefined) log.stored(this.plan);
    this.plan = undefined;
    this.riding?.stored();
    this.riding = undefined;
    stats.add(stat.confirmed, batch.messages);
    const { places } = this;
    const { rows } = batch;
    // Places name messages by their number in the scan, rows by their number among the accepted;
    // both rise together, so one walk over the two pairs them up.
    let segment = 0;
    let done = 0;
    for (let p = 0; p < places.length; p += PLACE_COLUMNS) {
      let count = places[p + placeColumn.count] as number;
      let offset = places[p + placeColumn.offset] as number;
      const partition = places[p + placeColumn.partition] as number;
      while (count > 0) {
        const at = segment * ROW_COLUMNS;
        const left = (rows[at + row.count] as number) - done;
        const n = Math.min(left, count);
        const id = ((rows[at + row.correlationId] as number) + done) >>> 0;
        const session = rows[at + row.session] as number;
        const scheduled = rows[at + row.due] === 1 && rows[at + row.replicated] === 0;
        if (scheduled) acker.scheduled(session, id, n, batch.acceptedMs);
        else acker.placed(session, id, n, { cluster: 0, partition, offset });
        count -= n;
        offset += n;
        done += n;
        if (n === left) {
          segment++;
          done = 0;
        }
      }
    }
  }

  answerDuplicate(run: DuplicateRun, acker: Acker): void {
    acker.plain(run.session, run.correlationId, run.count);
  }

  forward(): void {}

  /** The store failed: readers that wait are answered, and nothing is freed any more. */
  abandon(): Promise<void> {
    const error = coded('STORE_FAILED', 'the lane left its store: it is unknown what was written');
    this.riding?.failed(error);
    this.parts.own.end(error);
    return this.parts.log.close();
  }

  async close(): Promise<void> {
    this.parts.own.end(coded('DRAINING', 'the lane is closed'));
    await this.parts.log.close();
    await this.parts.store.close();
  }
}
