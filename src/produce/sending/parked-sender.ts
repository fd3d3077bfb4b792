import type { Verdict } from '../../backend/kafka/verdict-codes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import { DEFER_REASON, DEFERRED_COLUMNS, type ProduceRequest } from '../../native/kafka.ts';
import type { AsideEntry, AsidePlace, LaneStore } from '../../store/lane-store.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';
import { SEGMENT_ID_BYTES, writeU48 } from '../intake/micro-batch.ts';
import type { ParkedChunk, ParkedTopic } from './parked-topic.ts';
import type { ResentBatch } from './resend-log.ts';
import type { AloneProducer } from './road.ts';
import { Sender } from './sender.ts';
import { dealVerdicts, type MessageRun } from './verdict-rows.ts';

const CHUNK_ENTRIES = 500;
const CHUNK_BYTES = 1024 * 1024;
const RETRY_MS = 2_000;
const RECORD_HEAD_BYTES = 8;

/** Parts of a {@link ParkedSender}. */
export interface ParkedSenderParts {
  readonly store: LaneStore;
  readonly clock: Clock;
  readonly stats: LaneStats;
  readonly log: Logger;
  readonly originNode: Uint8Array;
  /** Opens a hold on the primary cluster's producer; its rows go to `onVerdicts`. */
  open(onVerdicts: (rows: Float64Array, count: number) => void): AloneProducer;
  /** About to be sent, perhaps again. */
  onResend(header: ResentBatch): void;
  onDelivered(entry: AsideEntry, partition: number, offset: number): void;
  /** Refused for good: moves them to the undeliverable log, or answers false when that is full. */
  onRefused(entries: readonly AsideEntry[], verdict: Verdict): Promise<boolean>;
  onMissing(topic: number): void;
  work(): void;
}

/** Sends what is parked: one message to see whether the topic takes it, then chunk after chunk. */
export class ParkedSender {
  private readonly parts: ParkedSenderParts;
  private opened: { producer: AloneProducer; sender: Sender } | undefined;
  private readonly registered = new Set<number>();
  private readonly topics = new Map<number, ParkedTopic>();
  private serial = 1;

  constructor(parts: ParkedSenderParts) {
    this.parts = parts;
  }

  /** The next entries of a topic. */
  async entriesOf(topic: ParkedTopic, countMax: number): Promise<AsideEntry[]> {
    const entries: AsideEntry[] = [];
    let bytes = 0;
    const from = { topic: topic.name, sequence: topic.from };
    for await (const entry of this.parts.store.aside.entries('parked', from)) {
      entries.push(entry);
      bytes += entry.body.length;
      if (entries.length >= countMax || bytes >= CHUNK_BYTES) break;
    }
    return entries;
  }

  /**
   * Hands the next entries over. That not all of them are taken is ordinary: a partition has what
   * it may have in flight, or the queue is full. The rest follows what was taken.
   */
  async send(topic: ParkedTopic): Promise<void> {
    const { sender } = this.open(topic.id);
    if (!sender.isUsable) return;
    const countMax = topic.from < topic.aloneUntil ? 1 : topic.chunkMax;
    const entries = await this.entriesOf(topic, countMax);
    // What was put into the log before the place it is read from is found the next time.
    if (entries.length === 0) topic.from = 0;
    if (entries.length === 0 || !sender.isUsable) return;
    this.topics.set(topic.id, topic);
    const first = this.serial;
    const sent = this.handOver(topic, entries, sender);
    if (sent === 0) {
      // That the queue is full says nothing of the topic, and the queue says when it has room.
      if (sender.isUsable) this.fail(topic);
      return;
    }
    this.serial += sent;
    const taken = entries.slice(0, sent);
    const verdicts = { left: sent, delivered: [], cameBack: false, refusal: undefined };
    topic.chunk = { entries: taken, first, ...verdicts };
    topic.from = (taken.at(-1)?.sequence ?? 0) + 1;
    topic.chunkMax = sent < entries.length ? Math.min(2 * sent, CHUNK_ENTRIES) : CHUNK_ENTRIES;
  }

  /** Writes down what became of the topic's messages. */
  async settle(topic: ParkedTopic): Promise<void> {
    const { store, stats, onRefused } = this.parts;
    const { name, chunk } = topic;
    const remove = async (places: readonly AsidePlace[]): Promise<void> => {
      if (places.length === 0) return;
      const removed = await store.aside.remove('parked', places);
      stats.add(stat.unparked, removed);
      if (removed > 0) this.noteLeft(topic);
    };
    const { delivered } = topic;
    topic.delivered = [];
    await remove(delivered.map((sequence) => ({ topic: name, sequence })));
    if (chunk === undefined || chunk.left > 0) return;
    await remove(chunk.delivered);
    const { entries, refusal } = chunk;
    const isWhole = refusal !== undefined && entries.length > 1;
    if (isWhole) topic.aloneUntil = (entries.at(-1)?.sequence ?? 0) + 1;
    const isGone = refusal !== undefined && !isWhole && (await onRefused(entries, refusal));
    if (isGone) this.noteLeft(topic);
    const isStuck = refusal !== undefined && !isWhole && !isGone;
    topic.chunk = undefined;
    if (!chunk.cameBack && !isWhole && !isStuck) return;
    topic.from = Math.min(topic.from, entries[0]?.sequence ?? 0);
    if (chunk.cameBack || isStuck) this.fail(topic);
  }

  close(): void {
    this.opened?.sender.close();
  }

  /** Produces entries in order until one is not taken. Answers how many were. */
  private handOver(topic: ParkedTopic, entries: readonly AsideEntry[], sender: Sender): number {
    let sent = 0;
    while (sent < entries.length && sender.isUsable) {
      let end = sent + 1;
      const { acceptedMs } = entries[sent] as AsideEntry;
      while (entries[end]?.acceptedMs === acceptedMs) end++;
      const run = entries.slice(sent, end);
      this.parts.onResend(headerOf(run));
      const result = sender.send(this.requestOf(topic, run, this.serial + sent), run.length);
      sent += result.sent;
      this.noteDeferred(topic, result.deferred);
      if (sent < end) break;
    }
    this.parts.stats.add(stat.sent, sent);
    return sent;
  }

  /** The topic takes nothing for now: a single message finds out when it does. */
  private fail(topic: ParkedTopic): void {
    topic.chunkMax = 1;
    topic.retryAtMs = this.parts.clock.monotonic() + RETRY_MS;
  }

  private open(topic: number): { producer: AloneProducer; sender: Sender } {
    const { clock, log, open, work } = this.parts;
    if (this.opened === undefined) {
      const producer = open((rows, count) => this.verdicts(rows, count));
      const sender = new Sender({ producer: producer.producer, clock, log, onUsable: work });
      this.opened = { producer, sender };
    }
    if (!this.registered.has(topic)) this.opened.producer.register(topic);
    this.registered.add(topic);
    return this.opened;
  }

  private verdicts(rows: Float64Array, count: number): void {
    const sender = this.opened?.sender;
    const settled = dealVerdicts(rows, count, {
      hasRoom: () => sender?.hasRoom(),
      isReady: (id) => {
        const topic = this.topics.get(id);
        if (topic !== undefined) topic.retryAtMs = 0;
      },
      broken: (generation) => sender?.broken(generation),
      confirmed: (run, partition, offset) => {
        this.each(run, (entry, chunk, skipped) => {
          chunk.delivered.push(entry);
          this.parts.onDelivered(entry, partition, offset < 0 ? -1 : offset + skipped);
        });
      },
      refused: (run, verdict) => {
        this.each(run, (entry, chunk) => this.judge(run.topic, entry, chunk, verdict));
      },
      returned: (run) => {
        this.each(run, (_, chunk) => {
          chunk.cameBack = true;
        });
      },
    });
    sender?.settled(settled);
    this.parts.work();
  }

  private noteLeft(topic: ParkedTopic): void {
    topic.leftMs = this.parts.clock.monotonic();
  }

  /**
   * Only what was sent alone is refused for its own sake. Where a refusal counts the second time,
   * that of a chunk is the first of all its messages: they wait once, not each.
   */
  private judge(id: number, { sequence }: AsideEntry, chunk: ParkedChunk, verdict: Verdict): void {
    const topic = this.topics.get(id);
    if (topic === undefined) return;
    const run = { topic: id, first: sequence, count: 1 };
    const head = chunk.entries[0]?.sequence ?? 0;
    const isFinal = topic.strikes.isFinal(run, verdict, head);
    if (!isFinal) chunk.cameBack = true;
    if (isFinal || chunk.entries.length > 1) chunk.refusal = verdict;
  }

  private each(
    { topic: id, first, count }: MessageRun,
    take: (entry: AsideEntry, chunk: ParkedChunk, skipped: number) => void,
  ): void {
    const chunk = this.topics.get(id)?.chunk;
    if (chunk === undefined) return;
    for (let i = 0; i < count; i++) {
      const entry = chunk.entries[first + i - chunk.first];
      if (entry === undefined) continue;
      chunk.left--;
      take(entry, chunk, i);
    }
  }

  private noteDeferred({ id }: ParkedTopic, deferred: readonly number[]): void {
    for (let i = 0; i < deferred.length; i += DEFERRED_COLUMNS) {
      if (deferred[i + 3] === DEFER_REASON.topicUnknown) this.parts.onMissing(id);
    }
  }

  private requestOf(
    topic: ParkedTopic,
    entries: readonly AsideEntry[],
    firstSequence: number,
  ): ProduceRequest {
    const count = entries.length;
    const ids = new Uint8Array(count * SEGMENT_ID_BYTES);
    const view = new DataView(ids.buffer);
    const records: Buffer[] = [];
    for (const [i, { producerId, epoch, producerSequence, flags, body }] of entries.entries()) {
      const at = i * SEGMENT_ID_BYTES;
      view.setBigUint64(at, producerId);
      view.setUint16(at + 8, epoch);
      writeU48(ids, at + 10, producerSequence);
      const head = Buffer.alloc(RECORD_HEAD_BYTES);
      head.writeUInt32LE(body.length, 0);
      head.writeUInt16LE(topic.id, 4);
      head.writeUInt8(flags, 6);
      records.push(head, body);
    }
    return {
      payload: Buffer.concat(records),
      firstSequence,
      ids,
      segmentCounts: new Int32Array(count).fill(1),
      segmentFlags: new Uint8Array(count).fill(1),
      originNode: this.parts.originNode,
      acceptedMs: entries[0]?.acceptedMs ?? 0,
    };
  }
}

/** What the log of resends says of entries. */
function headerOf(entries: readonly AsideEntry[]): ResentBatch {
  const first = entries[0]?.sequence ?? 0;
  const last = entries.at(-1)?.sequence ?? first;
  const segments = entries.map(({ producerId, epoch, producerSequence }) => {
    return { producerId, epoch, flags: 0, count: 1, firstSequence: producerSequence };
  });
  return { firstSequence: first, messages: last - first + 1, segments };
}
