import { ErrorCode } from '../../../protocol/src/generated.ts';
import type { Verdict } from '../../backend/kafka/verdict-codes.ts';
import type { Clock } from '../../base/clock.ts';
import type { ClusterNumber } from '../../lanes/lane-calls.ts';
import type { BatchBuilder } from '../../native/batch-builder.ts';
import type { AsideEntry, LaneStore, Refusal } from '../../store/lane-store.ts';
import type { Acker } from '../intake/acker.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';
import { type DuplicateRun, type MicroBatch, ROW_COLUMNS, row } from '../intake/micro-batch.ts';
import type { Producers } from '../intake/producers.ts';
import { REFUSED_IDS_MAX, RefusedIds, refusalCode } from '../intake/refused-ids.ts';
import type { Forwarder } from '../sending/forwarder.ts';
import { Pending, type Place } from '../sending/pending.ts';
import type { Journal, Pressure } from './journal.ts';
import { JournalHead } from './journal-head.ts';

/** Parts of an {@link OutboxJournal}. */
export interface OutboxJournalParts {
  readonly store: LaneStore;
  readonly producers: Producers;
  readonly acker: Acker;
  readonly stats: LaneStats;
  readonly clock: Clock;
  readonly marks: QuotaMarks;
  /** Messages leave and nobody else may answer any more. */
  onFailure(error: unknown): void;
}

/** When the outbox refuses, in bytes that wait. May be changed while it runs. */
export interface QuotaMarks {
  softBytes: number;
  hardBytes: number;
  /** Free bytes of the volume below which it counts as the soft mark. */
  freeBytesMin: number;
  /** What the parked log may hold; above it topics that take no messages wait in the outbox. */
  parkedBytes: number;
  /** What the undeliverable log may hold; above it what is refused is tried again and again. */
  undeliverableBytes: number;
  /** A backlog is sent only as fast as new messages stay quick ({@link DrainPace}). */
  drainsGently: boolean;
}

/**
 * The journal before Kafka: a micro-batch is one value and one fsync in the outbox, and stays
 * there until the backend has confirmed all of it.
 */
export class OutboxJournal implements Journal {
  readonly refusesReplicated = false;
  private readonly parts: OutboxJournalParts;
  private readonly pending: Pending;
  private readonly refusedIds = new RefusedIds();
  private readonly head: JournalHead;
  /** Two, since one batch is sent while the next is written. */
  private readonly payloads: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)];
  private turn: 0 | 1 = 0;
  private payloadCrc = 0;
  private forwarder: Forwarder | undefined;
  private readonly noteDelivered = (acceptedMs: number, messages: number): void =>
    this.parts.stats.delivered(this.parts.clock.now() - acceptedMs, messages);

  constructor(parts: OutboxJournalParts) {
    this.parts = parts;
    this.head = new JournalHead(parts);
    const { acker, store, producers } = parts;
    this.pending = new Pending({
      acker,
      store,
      isParked: (topic) => this.isParked(topic),
      isOpen: (session) => producers.session(session) !== undefined,
    });
  }

  /** The sender; handed in after construction, since it reports back to this journal. */
  attach(forwarder: Forwarder): void {
    this.forwarder = forwarder;
  }

  /** What the volume has left, as last looked at. */
  noteFreeBytes(bytes: number): void {
    this.head.noteFreeBytes(bytes);
  }

  get pressure(): Pressure {
    const { liveBytes } = this.parts.store.stats();
    const { marks } = this.parts;
    if (liveBytes >= marks.hardBytes) return 'hard';
    return liveBytes >= marks.softBytes || this.head.freeBytes < marks.freeBytesMin
      ? 'soft'
      : 'none';
  }

  encode(batch: MicroBatch, builder: BatchBuilder): void {
    const length = builder.encodePayload();
    this.turn = this.turn === 0 ? 1 : 0;
    let buffer = this.payloads[this.turn];
    if (buffer.length < length) {
      buffer = Buffer.allocUnsafeSlow(Math.max(length, buffer.length * 2, 65_536));
      this.payloads[this.turn] = buffer;
    }
    buffer.set(builder.payload, 0);
    batch.payload = buffer.subarray(0, length);
    this.payloadCrc = builder.payloadCrc;
  }

  append(batch: MicroBatch): Promise<void> {
    const { store, stats } = this.parts;
    const request = this.head.request(batch);
    const { payload } = batch;
    if (payload === undefined) return store.append(request);
    stats.add(stat.storedBytes, payload.length);
    return store.append({ ...request, payload, payloadCrc: this.payloadCrc });
  }

  /** What is moved goes to Kafka directly: nothing of the node's own passes the outbox. */
  get hasOwn(): boolean {
    return false;
  }

  async appendOwn(): Promise<void> {}

  answer(batch: MicroBatch, acker: Acker): void {
    const { stats, store } = this.parts;
    // Before the answer: whoever was answered finds the message counted.
    stats.set(stat.outboxMessages, store.unconfirmedMessages);
    this.pending.add(batch);
    const { rows } = batch;
    for (let s = 0; s < batch.segments; s++) {
      const at = s * ROW_COLUMNS;
      if (rows[at + row.replicated] === 1) continue;
      const session = rows[at + row.session] as number;
      const first = rows[at + row.correlationId] as number;
      const count = rows[at + row.count] as number;
      if (rows[at + row.due] === 1) acker.scheduled(session, first, count, batch.acceptedMs);
      else acker.plain(session, first, count);
    }
  }

  answerDuplicate(run: DuplicateRun, acker: Acker): void {
    const { producerId, epoch } = run.producer;
    const stretches = this.refusedIds.split(producerId, epoch, run.sequence, run.count);
    if (stretches === undefined) {
      this.answerKnown(run, acker);
      return;
    }
    for (const { first, count, code } of stretches) {
      const correlationId = (run.correlationId + (first - run.sequence)) >>> 0;
      if (code === 0) this.answerKnown({ ...run, sequence: first, correlationId, count }, acker);
      else acker.refused(run.session, correlationId, count, { code, detail: 0 });
    }
  }

  forward(batch: MicroBatch): void {
    const { payload } = batch;
    batch.payload = undefined;
    if (payload !== undefined) this.forwarder?.forward(batch, payload);
  }

  /** The backend has these; partition and offset are -1 when nobody asked. */
  confirmed(
    firstSequence: number,
    count: number,
    partition: number,
    offset: number,
    cluster: ClusterNumber = 0,
  ): void {
    const { store, stats } = this.parts;
    stats.add(stat.confirmed, store.confirm(firstSequence, count, this.noteDelivered));
    stats.set(stat.outboxMessages, store.unconfirmedMessages);
    this.pending.confirm(firstSequence, count, { cluster, partition, offset });
  }

  /** Remembers what the undeliverable log holds, so that a resend hears the same refusal. */
  async restore(): Promise<void> {
    const newest: (readonly [id: bigint, epoch: number, sequence: number, code: number])[] = [];
    for await (const entry of this.parts.store.aside.newest(REFUSED_IDS_MAX)) {
      const { producerId, epoch, producerSequence, code } = entry;
      newest.push([producerId, epoch, producerSequence, refusalCode(code)]);
    }
    // The oldest first, as they were refused: they are the first to be forgotten.
    for (const ids of newest.toReversed()) this.refusedIds.add(...ids);
  }

  /**
   * The backend refuses these for good: first the tombstones, then the answers. Answers how many
   * it moved: what was settled meanwhile stays so. Never rejects; a failure goes to `onFailure`.
   */
  async refused(refusals: readonly Refusal[]): Promise<number> {
    const { store, acker, stats } = this.parts;
    let moved = 0;
    try {
      const entries = await store.aside.put('undeliverable', refusals);
      moved = entries.length;
      stats.add(stat.undeliverable, moved);
      for (const { producerId, epoch, producerSequence, sequence, code } of entries) {
        const number = refusalCode(code);
        this.refusedIds.add(producerId, epoch, producerSequence, number);
        this.pending.refuse(sequence, 1, number);
      }
    } catch (error) {
      this.parts.onFailure(error);
      return 0;
    }
    acker.flush();
    return moved;
  }

  /** These left for the parked log. */
  parked(sequences: readonly number[]): void {
    for (const sequence of sequences) this.pending.park(sequence);
  }

  /** A parked message is with the backend. */
  parkedDelivered(sequence: number, place: Place): void {
    this.parts.stats.add(stat.confirmed, 1);
    this.pending.settleParked(sequence, { code: ErrorCode.OK, ...place });
    this.parts.acker.flush();
  }

  /** Half of what the outbox holds before it refuses: what can leave it otherwise has to. */
  get isHalfFull(): boolean {
    return 2 * this.parts.store.stats().liveBytes >= this.parts.marks.softBytes;
  }

  get isParkedFull(): boolean {
    const { store, marks } = this.parts;
    return store.aside.bytes('parked') >= marks.parkedBytes;
  }

  /** As {@link stat.asideFull} says it. */
  get asideFull(): number {
    return (this.isUndeliverableFull ? 1 : 0) + (this.isParkedFull ? 2 : 0);
  }

  /** What is refused for good has no room: it is tried again. */
  get isUndeliverableFull(): boolean {
    const { store, marks } = this.parts;
    return store.aside.bytes('undeliverable') >= marks.undeliverableBytes;
  }

  /**
   * Parked messages are refused for good: first the tombstones, then the answers. False: there is
   * no room for them, they stay parked.
   */
  async parkedRefused(entries: readonly AsideEntry[], verdict: Verdict): Promise<boolean> {
    if (this.isUndeliverableFull) return false;
    const { store, stats, acker } = this.parts;
    const code = verdict.code ?? 'UNDELIVERABLE';
    const reason = verdict.name === undefined ? 'given up' : `kafka: ${verdict.name}`;
    const moved = entries.map((entry) => ({ ...entry, code, reason }));
    await store.aside.move('parked', 'undeliverable', moved);
    stats.add(stat.undeliverable, entries.length);
    for (const { producerId, epoch, producerSequence, sequence } of entries) {
      const number = refusalCode(code);
      this.refusedIds.add(producerId, epoch, producerSequence, number);
      const place = { cluster: 0, partition: 0, offset: -1 };
      this.pending.settleParked(sequence, { code: number, ...place });
    }
    acker.flush();
    return true;
  }

  /** -1: of several topics. */
  private isParked(topic: number): boolean {
    if (topic < 0) return this.parts.store.aside.topics('parked').size > 0;
    return this.forwarder?.isParked(topic) === true;
  }

  /** The store failed: whoever waits for a verdict hears `UNKNOWN`. */
  abandon(): void {
    this.pending.abandon();
  }

  async close(): Promise<void> {
    this.forwarder?.close();
    await this.parts.store.close();
  }

  private answerKnown(run: DuplicateRun, acker: Acker): void {
    if (run.replicated) this.pending.attach(run);
    else acker.plain(run.session, run.correlationId, run.count);
  }
}
