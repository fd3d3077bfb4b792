import { ErrorCode } from '../../../protocol/src/generated.ts';
import type { LaneStore } from '../../store/lane-store.ts';
import type { Acker } from '../intake/acker.ts';
import {
  type DuplicateRun,
  type MicroBatch,
  ownArrays,
  ROW_COLUMNS,
  row,
} from '../intake/micro-batch.ts';

/** Segments that are remembered for resends of pending ids; above it they are told to wait. */
const SEGMENTS_MAX = 500_000;
const RETRY_AFTER_MS = 200;

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

interface Waiter {
  readonly session: number;
  readonly correlationId: number;
  /** The lane's sequence of its first message. */
  readonly sequence: number;
  readonly count: number;
}

interface PendingBatch {
  readonly batch: MicroBatch;
  waiters: Waiter[] | undefined;
  open: number;
}

/** Messages of a producer inside a waiting batch. */
interface Found {
  readonly pending: PendingBatch;
  /** The producer's own sequence of the first. */
  readonly from: number;
  readonly count: number;
  /** The lane's sequence of the first. */
  readonly lane: number;
}

/**
 * Stored batches whose verdicts are still out: who waits for which of their messages. Batches
 * leave from the front, once all their messages have a verdict.
 */
export class Pending {
  private readonly acker: Acker;
  /** Slots before `head` are empty: what was settled must not live until the array is cut. */
  private queue: (PendingBatch | undefined)[] = [];
  private head = 0;
  private segments = 0;
  /** Who waits for the verdict of a message that was parked, by its sequence in the lane. */
  private readonly parked = new Map<number, Pick<Waiter, 'session' | 'correlationId'>[]>();
  /** Of messages before this sequence of the lane it is not remembered who waits. */
  private forgottenUntil: number;
  private readonly store: Pick<LaneStore, 'floor' | 'isConfirmed'>;
  private readonly isParked: (topic: number) => boolean;

  /**
   * @param isParked whether messages of the topic (-1: of several) may be parked, and so not be
   * with the backend though the outbox has done with them
   * @param store knows what is confirmed, of former runs too
   */
  constructor(
    acker: Acker,
    store: Pick<LaneStore, 'floor' | 'isConfirmed' | 'nextSequence'>,
    isParked: (topic: number) => boolean = () => false,
  ) {
    this.acker = acker;
    this.isParked = isParked;
    this.store = store;
    // What a former run left unconfirmed is not in here, and a resend of it must not be taken for
    // confirmed.
    this.forgottenUntil = store.nextSequence;
  }

  /** Batches that wait. */
  get size(): number {
    return this.queue.length - this.head;
  }

  /** Adds a stored batch, in the order of the lane's sequences. */
  add(batch: MicroBatch): void {
    if (this.segments > SEGMENTS_MAX) {
      if (!batch.hasReplicated) {
        this.forgottenUntil = batch.firstSequence + batch.messages;
        return;
      }
      // One that is kept among many that are not must not keep the block of all of them.
      ownArrays(batch);
    }
    this.queue.push({ batch, waiters: undefined, open: batch.messages });
    this.segments += batch.segments;
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
    const waiters = this.parked.get(sequence);
    this.parked.delete(sequence);
    for (const { session, correlationId } of waiters ?? []) {
      this.answer(session, correlationId, 1, verdict, 0);
    }
  }

  /**
   * A resend of known messages at level `replicated`: answers what is confirmed, and lets the
   * rest wait for the verdict that is still out.
   */
  attach(run: DuplicateRun): void {
    let from = run.sequence;
    const end = run.sequence + run.count;
    while (from < end) {
      const found = this.find(run, from, end);
      const answered = found === undefined ? end - from : found.from - from;
      if (answered > 0) this.answerKnown(run, from, answered);
      if (found === undefined) return;
      this.attachTo(run, found);
      from = found.from + found.count;
    }
  }

  /** Everybody who waits hears `UNKNOWN`: the store failed, and verdicts count no more. */
  abandon(): void {
    const { queue, head } = this;
    this.queue = [];
    this.head = 0;
    this.segments = 0;
    for (const sequence of this.parked.keys()) {
      const place = { cluster: 0, partition: 0, offset: -1 };
      this.settleParked(sequence, verdictAt(ErrorCode.UNKNOWN, place));
    }
    for (let i = head; i < queue.length; i++) {
      const { batch, waiters } = queue[i] as PendingBatch;
      const first = batch.firstSequence;
      if (batch.hasReplicated) {
        for (let s = 0; s < batch.segments; s++) {
          const at = s * ROW_COLUMNS;
          if (batch.rows[at + row.replicated] !== 1) continue;
          this.unknown({
            session: batch.rows[at + row.session] as number,
            correlationId: batch.rows[at + row.correlationId] as number,
            sequence: first + (batch.rows[at + row.ordinal] as number),
            count: batch.rows[at + row.count] as number,
          });
        }
      }
      for (const waiter of waiters ?? []) this.unknown(waiter);
    }
  }

  /** Answers `UNKNOWN` for those of a run that have no verdict. */
  private unknown({ session, correlationId, sequence, count }: Waiter): void {
    for (let i = 0; i < count; i++) {
      if (this.store.isConfirmed(sequence + i)) continue;
      const why = { code: ErrorCode.UNKNOWN, detail: 0 };
      this.acker.refused(session, (correlationId + i) >>> 0, 1, why);
    }
  }

  /** Messages of a batch that waits: some of them may have their verdict. */
  private attachTo(run: DuplicateRun, { pending, from, lane, count }: Found): void {
    const { store } = this;
    for (let done = 0; done < count; ) {
      const isConfirmed = store.isConfirmed(lane + done);
      let n = 1;
      while (done + n < count && store.isConfirmed(lane + done + n) === isConfirmed) n++;
      const correlationId = (run.correlationId + (from + done - run.sequence)) >>> 0;
      if (isConfirmed) this.acker.plain(run.session, correlationId, n);
      else {
        pending.waiters ??= [];
        const { session } = run;
        pending.waiters.push({ session, correlationId, sequence: lane + done, count: n });
      }
      done += n;
    }
  }

  private answerKnown(run: DuplicateRun, from: number, count: number): void {
    const correlationId = (run.correlationId + (from - run.sequence)) >>> 0;
    if (this.store.floor < this.forgottenUntil || this.isParked(run.topic)) {
      const why = { code: ErrorCode.RETRY_LATER, detail: RETRY_AFTER_MS };
      this.acker.refused(run.session, correlationId, count, why);
    } else {
      this.acker.plain(run.session, correlationId, count);
    }
  }

  /** The first stretch of `[from, end)` of the producer that lies in a waiting batch. */
  private find(run: DuplicateRun, from: number, end: number): Found | undefined {
    let best: Found | undefined;
    for (let i = this.head; i < this.queue.length; i++) {
      const pending = this.queue[i] as PendingBatch;
      const { batch } = pending;
      for (let s = 0; s < batch.segments; s++) {
        const producer = batch.producers[s];
        if (producer?.producerId !== run.producer.producerId) continue;
        if (producer.epoch !== run.producer.epoch) continue;
        const at = s * ROW_COLUMNS;
        const first = batch.rows[at + row.sequence] as number;
        const last = first + (batch.rows[at + row.count] as number);
        const start = Math.max(first, from);
        const stop = Math.min(last, end);
        if (start >= stop || (best !== undefined && best.from <= start)) continue;
        const ordinal = batch.rows[at + row.ordinal] as number;
        const lane = batch.firstSequence + ordinal + (start - first);
        best = { pending, from: start, count: stop - start, lane };
      }
    }
    return best;
  }

  /** Answers each stretch of waiting messages inside a verdict's run. */
  private settle(firstSequence: number, count: number, verdict: Verdict): void {
    const end = firstSequence + count;
    for (let index = this.indexOf(firstSequence); index < this.queue.length; index++) {
      const pending = this.queue[index] as PendingBatch;
      const { batch, waiters } = pending;
      if (batch.firstSequence >= end) break;
      const from = Math.max(firstSequence, batch.firstSequence);
      const to = Math.min(end, batch.firstSequence + batch.messages);
      if (from >= to) continue;
      pending.open -= to - from;
      if (batch.hasReplicated) this.settleRows(batch, from, to, firstSequence, verdict);
      if (waiters !== undefined) this.settleWaiters(waiters, from, to, firstSequence, verdict);
    }
    this.trim();
  }

  /** The replicated messages of a batch between two of the lane's sequences. */
  private settleRows(
    batch: MicroBatch,
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

  private settleWaiters(
    waiters: readonly Waiter[],
    from: number,
    to: number,
    firstSequence: number,
    verdict: Verdict,
  ): void {
    for (const waiter of waiters) {
      const start = Math.max(from, waiter.sequence);
      const stop = Math.min(to, waiter.sequence + waiter.count);
      if (start >= stop) continue;
      const id = (waiter.correlationId + (start - waiter.sequence)) >>> 0;
      this.answer(waiter.session, id, stop - start, verdict, start - firstSequence);
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
      const sequence = verdict.offset + skipped;
      const waiters = this.parked.get(sequence) ?? [];
      waiters.push({ session, correlationId });
      this.parked.set(sequence, waiters);
      return;
    }
    if (code !== ErrorCode.OK) {
      this.acker.refused(session, correlationId, count, { code, detail: 0 });
      return;
    }
    const offset = verdict.offset < 0 ? -1 : verdict.offset + skipped;
    this.acker.placed(session, correlationId, count, { cluster, partition, offset });
  }

  private indexOf(sequence: number): number {
    let low = this.head;
    let high = this.queue.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const { batch } = this.queue[middle] as PendingBatch;
      if (batch.firstSequence + batch.messages <= sequence) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  private trim(): void {
    while (this.head < this.queue.length) {
      const pending = this.queue[this.head] as PendingBatch;
      if (pending.open > 0) break;
      this.segments -= pending.batch.segments;
      this.queue[this.head++] = undefined;
    }
    if (this.head > 1024 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    }
  }
}

/** Field by field: a spread for each run of verdicts costs more than all else in here. */
function verdictAt(code: number, { cluster, partition, offset }: Place): Verdict {
  return { code, cluster, partition, offset };
}

/** The segment of a batch that holds the message of this ordinal. */
function rowOf(batch: MicroBatch, ordinal: number): number {
  const { rows } = batch;
  let low = 0;
  let high = batch.segments;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const at = middle * ROW_COLUMNS;
    if ((rows[at + row.ordinal] as number) + (rows[at + row.count] as number) <= ordinal) {
      low = middle + 1;
    } else high = middle;
  }
  return low;
}
