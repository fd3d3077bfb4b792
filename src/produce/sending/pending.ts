import assert from 'node:assert';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import type { LaneStore } from '../../store/lane-store.ts';
import type { Acker } from '../intake/acker.ts';
import { ArraySlab } from '../intake/array-slab.ts';
import { type DuplicateRun, type MicroBatch, ROW_COLUMNS, row } from '../intake/micro-batch.ts';
import { moveRows, type PendingBatch, rowOf } from './pending-batch.ts';
import { SegmentIndex, type Stretch } from './segment-index.ts';
import { Waiters } from './waiters.ts';

const RETRY_AFTER_MS = 200;
const NOWHERE = { cluster: 0, partition: 0, offset: -1 };

/** How much a {@link Pending} remembers. */
export interface PendingBounds {
  /** Segments that are remembered for resends of pending ids; above it they are told to wait. */
  readonly segmentsMax: number;
  /** Settled segments that may stay behind what is not. */
  readonly settledMin: number;
}

const BOUNDS: PendingBounds = { segmentsMax: 500_000, settledMin: 4_096 };

/** A place in the backend, as a verdict names it. */
export interface Place {
  readonly cluster: number;
  readonly partition: number;
  /** -1 when unknown. */
  readonly offset: number;
}

interface Verdict extends Place {
  readonly code: number;
}

/** Not a verdict: the message waits elsewhere, and so does who asked for its verdict. */
const PARKED = -1;

/** Parts of a {@link Pending}. */
export interface PendingParts {
  readonly acker: Acker;
  /** Knows what is confirmed, of former runs too. */
  readonly store: Pick<LaneStore, 'floor' | 'isConfirmed' | 'nextSequence'>;
  /**
   * Whether messages of the topic (-1: of several) may be parked, and so not be with the backend
   * though the outbox has done with them.
   */
  isParked(topic: number): boolean;
  /** Whether the session is still connected: nobody else is remembered as waiting. */
  isOpen(session: number): boolean;
  readonly bounds?: PendingBounds;
}

/**
 * Stored batches whose verdicts are still out: who waits for which of their messages. Batches
 * leave from the front, once all their messages have a verdict; what is settled behind one that
 * is not leaves as soon as it is more than the rest.
 */
export class Pending {
  private readonly parts: PendingParts;
  private readonly bounds: PendingBounds;
  /** Slots before `head` are empty: what was settled must not live until the array is cut. */
  private queue: (PendingBatch | undefined)[] = [];
  private head = 0;
  private segments = 0;
  /** Those of `segments` whose batch is settled, behind one that is not. */
  private settled = 0;
  /** Made of the queue by the first resend, and gone on with by the next ones. */
  private readonly index = new SegmentIndex();
  /** Resends, and what found no room in the queue. */
  private readonly waiters: Waiters;
  /** Who waits for the verdict of a message that was parked. */
  private readonly parked: Waiters;
  /**
   * Of messages before this sequence of the lane it is not remembered who sent them, where their
   * producer is {@link ProducerSession.forgotten} that far.
   */
  private forgottenUntil: number;

  constructor(parts: PendingParts) {
    this.parts = parts;
    this.bounds = parts.bounds ?? BOUNDS;
    const isOpen = (session: number): boolean => parts.isOpen(session);
    this.waiters = new Waiters(isOpen);
    this.parked = new Waiters(isOpen);
    // What a former run left unconfirmed is not in here, and a resend of it must not be taken for
    // confirmed.
    this.forgottenUntil = parts.store.nextSequence;
  }

  /** Batches that are held. */
  get size(): number {
    return this.queue.length - this.head;
  }

  /** Segments that are held, those for resends too. */
  get segmentCount(): number {
    return this.segments + this.index.size;
  }

  /** Stretches of messages that resends, or connections without room in the queue, wait for. */
  get waiterCount(): number {
    return this.waiters.size + this.parked.size;
  }

  /** Adds a stored batch, in the order of the lane's sequences. */
  add(batch: MicroBatch): void {
    if (this.segments - this.settled >= this.bounds.segmentsMax) {
      this.forget(batch);
      return;
    }
    // Not the batch itself, which has more than what is needed here.
    const { firstSequence, messages, segments, rows, producers, hasReplicated } = batch;
    const open = messages;
    this.queue.push({ firstSequence, messages, segments, rows, producers, hasReplicated, open });
    this.segments += segments;
  }

  /** These messages are confirmed: answers those that wait for it. */
  confirm(firstSequence: number, count: number, place: Place): void {
    this.settle(firstSequence, count, verdictAt(ErrorCode.OK, place));
  }

  /** These messages were refused for good, and their tombstone is durable. */
  refuse(firstSequence: number, count: number, code: number): void {
    this.settle(firstSequence, count, { code, cluster: 0, partition: 0, offset: -1 });
  }

  /** A message left for the parked log: whoever waits for its verdict goes on waiting. */
  park(sequence: number): void {
    this.settle(sequence, 1, { code: PARKED, cluster: 0, partition: 0, offset: sequence });
  }

  /** A parked message was delivered, or (with another code than OK) refused for good. */
  settleParked(sequence: number, verdict: Verdict): void {
    for (const { session, correlationId } of this.parked.take(sequence, 1)) {
      this.answer(session, correlationId, 1, verdict, 0);
    }
  }

  /**
   * A resend of known messages at level `replicated`: answers what is confirmed, and lets the
   * rest wait for the verdict that is still out.
   */
  attach(run: DuplicateRun): void {
    this.bringIndexUp();
    const end = run.sequence + run.count;
    for (let from = run.sequence; from < end; ) {
      const found = this.index.find(run.producer, from, end);
      const known = (found === undefined ? end : found.first) - from;
      if (known > 0) this.answerKnown(run, from, known);
      if (found === undefined) return;
      this.attachTo(run, found);
      from = found.first + found.count;
    }
  }

  /** Everybody who waits hears `UNKNOWN`: the store failed, and verdicts count no more. */
  abandon(): void {
    const { queue, head } = this;
    this.queue = [];
    this.head = 0;
    this.segments = 0;
    this.settled = 0;
    this.index.clear();
    for (const waiters of [this.parked, this.waiters]) {
      for (const { session, correlationId, count } of waiters.takeAll()) {
        this.answer(session, correlationId, count, verdictAt(ErrorCode.UNKNOWN, NOWHERE), 0);
      }
    }
    for (let i = head; i < queue.length; i++) {
      const batch = queue[i] as PendingBatch;
      if (!batch.hasReplicated) continue;
      for (let s = 0; s < batch.segments; s++) this.unknown(batch, s * ROW_COLUMNS);
    }
  }

  /** Answers `UNKNOWN` for those of a replicated row that have no verdict. */
  private unknown({ rows, firstSequence }: PendingBatch, at: number): void {
    if (rows[at + row.replicated] !== 1) return;
    const first = firstSequence + (rows[at + row.ordinal] as number);
    const count = rows[at + row.count] as number;
    const session = rows[at + row.session] as number;
    for (let i = 0; i < count; i++) {
      if (this.parts.store.isConfirmed(first + i)) continue;
      const id = ((rows[at + row.correlationId] as number) + i) >>> 0;
      this.answer(session, id, 1, verdictAt(ErrorCode.UNKNOWN, NOWHERE), 0);
    }
  }

  /** There is no room for a batch: only who waits for its verdicts now will hear of them. */
  private forget(batch: MicroBatch): void {
    const { rows, firstSequence } = batch;
    for (let s = 0; s < batch.segments; s++) {
      batch.producers[s]?.forget();
      const at = s * ROW_COLUMNS;
      if (rows[at + row.replicated] !== 1) continue;
      this.waiters.add({
        session: rows[at + row.session] as number,
        correlationId: rows[at + row.correlationId] as number,
        sequence: firstSequence + (rows[at + row.ordinal] as number),
        count: rows[at + row.count] as number,
      });
    }
    this.forgottenUntil = firstSequence + batch.messages;
  }

  /** Each segment is looked at once, however many resends there are while it waits. */
  private bringIndexUp(): void {
    const { index, queue } = this;
    for (let i = this.indexOf(index.end); i < queue.length; i++) {
      const { rows, producers, segments, firstSequence, messages } = queue[i] as PendingBatch;
      for (let s = 0; s < segments; s++) {
        const at = s * ROW_COLUMNS;
        const producer = producers[s];
        if (producer === undefined) continue;
        index.add(producer, {
          first: rows[at + row.sequence] as number,
          count: rows[at + row.count] as number,
          lane: firstSequence + (rows[at + row.ordinal] as number),
        });
      }
      index.end = firstSequence + messages;
    }
  }

  /** Messages of which it is known where they are: some of them may have their verdict. */
  private attachTo(run: DuplicateRun, { first, lane, count }: Stretch): void {
    const { store } = this.parts;
    for (let done = 0; done < count; ) {
      const isConfirmed = store.isConfirmed(lane + done);
      let n = 1;
      while (done + n < count && store.isConfirmed(lane + done + n) === isConfirmed) n++;
      const from = first + done;
      if (isConfirmed) this.answerConfirmed(run, from, n);
      else {
        const { session } = run;
        const correlationId = (run.correlationId + (from - run.sequence)) >>> 0;
        this.waiters.add({ session, correlationId, sequence: lane + done, count: n });
      }
      done += n;
    }
  }

  /** Messages that are confirmed, unless they are of those that were forgotten. */
  private answerKnown(run: DuplicateRun, from: number, count: number): void {
    const isDoubtful = this.parts.store.floor < this.forgottenUntil;
    const behind = isDoubtful ? run.producer.forgotten + 1 - from : 0;
    const forgotten = Math.min(Math.max(behind, 0), count);
    if (forgotten > 0) this.retryLater(run, from, forgotten);
    if (forgotten < count) this.answerConfirmed(run, from + forgotten, count - forgotten);
  }

  /** The outbox has done with these. */
  private answerConfirmed(run: DuplicateRun, from: number, count: number): void {
    if (this.parts.isParked(run.topic)) {
      this.retryLater(run, from, count);
      return;
    }
    const correlationId = (run.correlationId + (from - run.sequence)) >>> 0;
    this.parts.acker.plain(run.session, correlationId, count);
  }

  private retryLater(run: DuplicateRun, from: number, count: number): void {
    const correlationId = (run.correlationId + (from - run.sequence)) >>> 0;
    const why = { code: ErrorCode.RETRY_LATER, detail: RETRY_AFTER_MS };
    this.parts.acker.refused(run.session, correlationId, count, why);
  }

  /** Answers each stretch of waiting messages inside a verdict's run. */
  private settle(firstSequence: number, count: number, verdict: Verdict): void {
    const end = firstSequence + count;
    const before = this.settled;
    for (let index = this.indexOf(firstSequence); index < this.queue.length; index++) {
      const batch = this.queue[index] as PendingBatch;
      if (batch.firstSequence >= end) break;
      const from = Math.max(firstSequence, batch.firstSequence);
      const to = Math.min(end, batch.firstSequence + batch.messages);
      if (from >= to) continue;
      batch.open -= to - from;
      assert(batch.open >= 0, 'a message was settled twice');
      if (batch.open === 0) this.settled += batch.segments;
      if (batch.hasReplicated) this.settleRows(batch, from, to, firstSequence, verdict);
    }
    if (this.waiters.size > 0) {
      for (const waiter of this.waiters.take(firstSequence, count)) {
        const skipped = waiter.sequence - firstSequence;
        this.answer(waiter.session, waiter.correlationId, waiter.count, verdict, skipped);
      }
    }
    if (this.settled > before) this.trim();
  }

  /** The replicated messages of a batch between two of the lane's sequences. */
  private settleRows(
    batch: PendingBatch,
    from: number,
    to: number,
    firstSequence: number,
    verdict: Verdict,
  ): void {
    const { rows } = batch;
    const base = batch.firstSequence;
    for (let s = rowOf(batch, from - base); s < batch.segments; s++) {
      const at = s * ROW_COLUMNS;
      const first = base + (rows[at + row.ordinal] as number);
      if (first >= to) break;
      if (rows[at + row.replicated] !== 1) continue;
      const start = Math.max(first, from);
      const stop = Math.min(first + (rows[at + row.count] as number), to);
      const id = ((rows[at + row.correlationId] as number) + (start - first)) >>> 0;
      const session = rows[at + row.session] as number;
      this.answer(session, id, stop - start, verdict, start - firstSequence);
    }
  }

  /** `skipped`: how far into the verdict's run the stretch begins. */
  private answer(
    session: number,
    correlationId: number,
    count: number,
    verdict: Verdict,
    skipped: number,
  ): void {
    const { code, cluster, partition } = verdict;
    if (code === PARKED) {
      this.parked.add({ session, correlationId, sequence: verdict.offset + skipped, count });
      return;
    }
    if (code !== ErrorCode.OK) {
      this.parts.acker.refused(session, correlationId, count, { code, detail: 0 });
      return;
    }
    const offset = verdict.offset < 0 ? -1 : verdict.offset + skipped;
    this.parts.acker.placed(session, correlationId, count, { cluster, partition, offset });
  }

  private indexOf(sequence: number): number {
    let low = this.head;
    let high = this.queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const batch = this.queue[middle] as PendingBatch;
      if (batch.firstSequence + batch.messages <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private trim(): void {
    while (this.head < this.queue.length) {
      const batch = this.queue[this.head] as PendingBatch;
      if (batch.open > 0) break;
      this.segments -= batch.segments;
      this.settled -= batch.segments;
      this.queue[this.head++] = undefined;
    }
    const { settledMin } = this.bounds;
    if (this.settled > settledMin && this.settled * 2 > this.segments) this.sweep();
    else if (this.head > 1024 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
    // What it knows of batches that left must not outgrow what is here.
    if (this.index.size > this.segments * 2 + settledMin) this.index.clear();
  }

  /** Keeps what is not settled, in memory that it does not share with what is. */
  private sweep(): void {
    const slab = new ArraySlab();
    const open: PendingBatch[] = [];
    for (let i = this.head; i < this.queue.length; i++) {
      const batch = this.queue[i] as PendingBatch;
      if (batch.open === 0) continue;
      moveRows(batch, slab);
      open.push(batch);
    }
    this.queue = open;
    this.head = 0;
    this.segments -= this.settled;
    this.settled = 0;
  }
}

/** Field by field: a spread for each run of verdicts costs more than all else in here. */
function verdictAt(code: number, { cluster, partition, offset }: Place): Verdict {
  return { code, cluster, partition, offset };
}
