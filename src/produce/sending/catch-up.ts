import type { Clock } from '../../base/clock.ts';
import { DEFER_REASON, DEFERRED_COLUMNS, type ProduceResult } from '../../native/kafka.ts';
import type { BatchHeader } from '../../store/batch-header.ts';
import type { StoredBatch } from '../../store/lane-store.ts';
import type { Backlog } from './backlog.ts';
import { Lag } from './lag.ts';
import type { Sender } from './sender.ts';

/** What came back, or met an unknown topic, is tried again after so long. */
export const TOPIC_RETRY_MS = 1_000;
/** A full partition says itself when it has room; this is for the case that it does not. */
const FULL_RETRY_MS = 10_000;
/** So many tries in a row that met an unknown topic are worth asking the cluster about it. */
const MISSING_TRIES = 3;

/** Parts of a {@link CatchUp}. */
export interface CatchUpParts {
  readonly sender: Sender;
  readonly backlog: Backlog;
  readonly clock: Clock;
  /** Where the walk ends: from here on the messages are somebody else's. */
  end(): number;
  /** A topic became ready by itself. */
  onReady(): void;
  onSent(result: ProduceResult): void;
  /** Messages of the batch are about to be sent again, and why. */
  onResend(cause: string, header: BatchHeader): void;
  /** The cluster does not seem to know the topic. */
  onMissing(topic: number): void;
  /** The topic is level with {@link end}, and no lag any more. */
  onLevel(topic: number): void;
}

/**
 * The topics that are behind, and the walk that brings them back. One walk over the backlog takes
 * every topic along that is ready, from where each of them stands, so that many topics that wait
 * for the same cluster cost one reading.
 */
export class CatchUp {
  private readonly parts: CatchUpParts;
  private readonly lags = new Map<number, Lag>();

  constructor(parts: CatchUpParts) {
    this.parts = parts;
  }

  /** Topics that are behind. */
  get size(): number {
    return this.lags.size;
  }

  get(topic: number): Lag | undefined {
    return this.lags.get(topic);
  }

  /** The lag of a topic; a new one stands at `from` and waits for {@link defer} or a ready row. */
  begin(topic: number, from: number): Lag {
    let lag = this.lags.get(topic);
    if (lag === undefined) {
      lag = new Lag(topic, from);
      this.lags.set(topic, lag);
    }
    return lag;
  }

  all(): Iterable<Lag> {
    return this.lags.values();
  }

  /** Gives up all lags, for others to take over. */
  takeAll(): Lag[] {
    const lags = [...this.lags.values()];
    for (const lag of lags) lag.timer?.cancel();
    this.lags.clear();
    return lags;
  }

  /** Takes over a lag; it is ready. */
  adopt(lag: Lag): void {
    this.lags.set(lag.topic, lag);
    this.ready(lag.topic);
  }

  /** A lag has to wait; `reason` as in {@link DEFER_REASON}, 0 for messages that came back. */
  defer(lag: Lag, reason: number): void {
    lag.isReady = false;
    if (reason === DEFER_REASON.topicUnknown && ++lag.missing >= MISSING_TRIES) {
      this.parts.onMissing(lag.topic);
    }
    lag.timer?.cancel();
    const delayMs = reason === DEFER_REASON.partitionFull ? FULL_RETRY_MS : TOPIC_RETRY_MS;
    lag.timer = this.parts.clock.setTimer(() => {
      lag.isReady = true;
      this.parts.onReady();
    }, delayMs);
  }

  /** What was deferred of a topic may be sent. */
  ready(topic: number): void {
    const lag = this.lags.get(topic);
    if (lag === undefined) return;
    lag.timer?.cancel();
    lag.isReady = true;
  }

  readyAll(): void {
    for (const topic of this.lags.keys()) this.ready(topic);
  }

  close(): void {
    for (const lag of this.lags.values()) lag.timer?.cancel();
    this.lags.clear();
  }

  /** Sends one chunk of backlog for all that are ready. False when there is nothing to do now. */
  async step(): Promise<boolean> {
    const { sender, backlog, end } = this.parts;
    this.level();
    const from = this.start();
    if (from >= end() || !sender.isUsable) return false;
    const read = await backlog.read(from);
    let position = from;
    for (const batch of read.batches) {
      const next = batch.firstSequence + batch.messages;
      if (next <= position) continue;
      if (!sender.isUsable) return true;
      // Cut short by a full queue or a broken instance: what follows must not overtake the rest.
      if (!this.sendBatch(batch, position)) return true;
      position = next;
    }
    const reached = Math.min(Math.max(position, read.nextSequence), end());
    for (const lag of this.lags.values()) {
      if (isWalking(lag) && lag.next >= from) lag.advance(reached);
    }
    this.level();
    return true;
  }

  /** Where the walk has to begin. */
  private start(): number {
    let from = Number.POSITIVE_INFINITY;
    for (const lag of this.lags.values()) if (isWalking(lag)) from = Math.min(from, lag.next);
    return from;
  }

  /** Sends what the walking topics want of a batch. False when it was cut short. */
  private sendBatch(batch: StoredBatch, position: number): boolean {
    const { sender, backlog } = this.parts;
    const end = Math.min(batch.firstSequence + batch.messages, this.parts.end());
    const members = new Map<number, Lag>();
    let cause: string | undefined;
    for (const lag of this.lags.values()) {
      const { next } = lag;
      // One that stands before this walk's position became ready meanwhile: the next walk is its.
      if (!isWalking(lag) || next < position || next >= end) continue;
      members.set(lag.topic, lag);
      const isRepeated = lag.returned.first < end || batch.firstSequence < lag.repeatsUntil;
      if (isRepeated) cause ??= lag.cause;
    }
    if (members.size === 0) return true;
    const wants = (topic: number, sequence: number): boolean =>
      sequence < end && members.get(topic)?.wants(sequence) === true;
    const { skip, wanted } = backlog.skipBut(batch, wants);
    let reached = end;
    if (wanted > 0) {
      if (cause !== undefined) this.parts.onResend(cause, batch.header);
      const result = sender.send(backlog.request(batch, skip), batch.messages);
      this.parts.onSent(result);
      reached = Math.min(end, batch.firstSequence + result.nextOrdinal);
      this.takeDeferred(result, members);
    }
    for (const lag of members.values()) {
      lag.advance(reached);
      if (wanted > 0) lag.missing = 0;
    }
    return reached === end;
  }

  /** Topics that were left out stand where the call left them; they are members no more. */
  private takeDeferred({ deferred }: ProduceResult, members: Map<number, Lag>): void {
    for (let i = 0; i < deferred.length; i += DEFERRED_COLUMNS) {
      const lag = members.get(deferred[i] as number);
      if (lag === undefined) continue;
      members.delete(lag.topic);
      lag.advance(deferred[i + 1] as number);
      this.defer(lag, deferred[i + 3] as number);
    }
  }

  private level(): void {
    const end = this.parts.end();
    for (const lag of this.lags.values()) {
      if (!isWalking(lag) || lag.isGuest || lag.next < end) continue;
      lag.timer?.cancel();
      this.lags.delete(lag.topic);
      this.parts.onLevel(lag.topic);
    }
  }
}

function isWalking(lag: Lag): boolean {
  return lag.isReady && !lag.isDropping && !lag.isAlone && !lag.isParked;
}
