import type { Publisher } from '../backend/publisher-port.ts';
import { type Clock, sleep, type Timer } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import { ClockSteps } from './clock-steps.ts';
import { afterKey, type DelayIndex, dueKey, type IndexedDelay } from './delay-index.ts';
import {
  type DelayRecord,
  firedRecord,
  peekTopic,
  readDelayRecord,
  tombstone,
  topicOf,
} from './delay-record.ts';
import type { DelayStats } from './delay-stats.ts';
import { DueQueues } from './due-queues.ts';
import {
  DueWindow,
  goesOn,
  hasFired,
  type NearDelay,
  type NewDelay,
  type WindowLimits,
} from './due-window.ts';
import { EndQueues } from './end-queues.ts';
import { isSeriesId, seriesFiring, seriesFollower, seriesOf } from './series-record.ts';
import type { Turn } from './series-rule.ts';

/** What a {@link DueLoop} is made of. */
export interface DueLoopParts {
  /** The delay log. */
  readonly topic: string;
  readonly index: DelayIndex;
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stats: DelayStats;
  /** Runs a task that reads the index, after those before it. */
  work(task: () => Promise<void>): void;
  /** Everything up to the log's end was applied, and it is ours. */
  isReady(partition: number): boolean;
  /** It is ours, if only since a moment. */
  isGiven(partition: number): boolean;
  /** A line of the index is no longer where its message stands. */
  isStray(id: Buffer, dueMs: number): boolean | Promise<boolean>;
  /** What may be held in memory; default: the node's limits. */
  readonly near?: WindowLimits;
  /** Between the turns of two partitions of the log to end what fired, in ms; default 8. */
  readonly endsTurnMs?: number;
}

/** A message of the index that a command is about to change. */
export interface FarDelay extends Pick<NearDelay, 'id' | 'dueMs' | 'offset' | 'isIndexed'> {
  /** Absent: the command does not need the record. */
  readonly bytes?: Buffer;
}

const nearMax = { entriesMax: limits.delayNearMax, bytesMax: limits.delayNearBytesMax };
const NONE = Buffer.alloc(0);
const HORIZON_MS = 30_000;
const LOOK_MS = 500;
/** With 16 partitions: what fired is in the log an eighth of a second later. */
const ENDS_TURN_MS = 8;
const FLUSH_MS = 2_000;
/** Lines of the index that are looked at in one step: others wait for it. */
const LOAD_STEP = 500;
const REFILL_STEP = 1_000;
const REWIND_MS = 20;

/**
 * Fires what is due: the index is loaded into the window ahead of time, the wheel wakes it, a
 * queue for each target publishes it, then its tombstone is written. Time is the wall clock, as it
 * is now: after a step forward what lies between is due at once, after a step back everything
 * waits until the clock says so again.
 */
export class DueLoop {
  readonly window: DueWindow;
  readonly #parts: DueLoopParts;
  readonly #queues: DueQueues;
  readonly #ends: EndQueues;
  readonly #steps: ClockSteps;
  /** Before it everything of the index is in the window, or was left by a full queue. */
  #cursor: Buffer = dueKey(0, undefined);
  /** So often the cursor went back. */
  #movedBack = 0;
  #loading = false;
  #refilling = false;
  #timer: Timer | undefined;
  #wakeAtMs = 0;
  #closed = false;

  constructor(parts: DueLoopParts) {
    this.#parts = parts;
    const { clock, publisher, log, stats } = parts;
    const { near = nearMax, endsTurnMs = ENDS_TURN_MS } = parts;
    this.window = new DueWindow(near, clock.now(), (entry) => this.#queues.push(entry));
    this.#queues = new DueQueues({
      publisher,
      clock,
      log,
      stats,
      window: this.window,
      record: (entry) => this.#recordOf(entry),
      onFired: (entries, sentMs) => this.#fired(entries, sentMs),
      onRoom: () => this.#startRefill(),
    });
    this.#steps = new ClockSteps({ clock, log, stats });
    this.#ends = new EndQueues({
      publisher,
      clock,
      log,
      turnMs: endsTurnMs,
      record: (entry) => this.#endOf(entry),
      onEnded: (entries) => this.window.over(entries, parts.isGiven),
      onRoom: () => this.reload(),
    });
  }

  /** Messages that are due and not published. */
  get queued(): number {
    return this.#queues.size;
  }

  /** Topics that did not take all that was sent last. */
  get stuckTopics(): readonly string[] {
    return this.#queues.stuckTopics;
  }

  /** Whether a message of this due time belongs into the window. */
  #isNear(dueMs: number, id: Buffer): boolean {
    return Buffer.compare(dueKey(dueMs, id), this.#cursor) < 0;
  }

  /** A record of the log was applied; what is far stays in the index. */
  scheduled(record: DelayRecord, dueMs: number, isReady: boolean): void {
    const { id, name, offset, target } = record;
    const entry = this.window.named(name);
    if (entry !== undefined && target !== undefined && goesOn(entry, record, dueMs)) {
      const bytes = Buffer.from(record.bytes);
      this.window.change(entry, { dueMs, offset, bytes, topic: topicOf(target), isIndexed: true });
      // Its end may be on its way, and ends what was before.
      if (hasFired(entry)) {
        this.#ends.push(entry);
        this.#ends.pump();
      }
      return;
    }
    if (entry !== undefined) this.window.drop(entry);
    if (!isReady || target === undefined || !this.#isNear(dueMs, id)) return;
    const topic = topicOf(target);
    if (this.#queues.isLeft(topic, dueMs, id)) return;
    const bytes = Buffer.from(record.bytes);
    this.window.add({ id: Buffer.from(id), name, dueMs, offset, bytes, topic, isIndexed: true });
    const ownCut = this.window.shrinkTopic(topic);
    if (ownCut !== undefined) this.#queues.leaveFrom(topic, dueKey(ownCut, undefined));
    const cut = this.window.shrink();
    if (cut !== undefined) this.#moveBack(dueKey(cut, undefined));
    this.wake(dueMs);
  }

  /** A message ended, or the record of it at an offset. */
  ended(name: string, endsOffset: number | undefined): void {
    const entry = this.window.named(name);
    const isIt = endsOffset === undefined || entry?.offset === endsOffset;
    if (entry !== undefined && isIt) this.window.drop(entry);
    if (this.#queues.isShort) this.wake(this.#parts.clock.now());
  }

  /** Takes up a message that is far, held: a command is about to change it. */
  hold(far: FarDelay): NearDelay {
    const { id, dueMs, offset, bytes = NONE, isIndexed } = far;
    const entry = this.window.addQueued({ id, dueMs, offset, bytes, topic: '', isIndexed });
    this.window.hold(entry);
    return entry;
  }

  /** The command failed: it waits as before. */
  release(entry: NearDelay): void {
    if (entry.state !== 'held' || this.window.find(entry.id) !== entry) return;
    const { id, dueMs } = entry;
    const isNear = this.#isNear(dueMs, id);
    if (isNear && entry.topic !== '') this.window.release(entry);
    else {
      this.window.drop(entry);
      // It came near meanwhile, and is loaded as others are.
      if (isNear) this.#moveBack(dueKey(dueMs, id));
    }
    if (isNear) this.wake(dueMs);
  }

  /** Loads from the beginning again: other partitions are ready, or are not ours any more. */
  reload(): void {
    this.#moveBack(dueKey(0, undefined));
    this.#queues.forgetLeft();
    this.#look();
  }

  /** What lies between is loaded again, also by a load that is under way. */
  #moveBack(cursor: Buffer): void {
    if (Buffer.compare(cursor, this.#cursor) >= 0) return;
    this.#cursor = cursor;
    this.#movedBack++;
  }

  /** Looks again no later than at `atMs`. */
  wake(atMs: number): void {
    if (this.#timer !== undefined && this.#wakeAtMs <= atMs) return;
    const { clock } = this.#parts;
    this.#timer?.cancel();
    const now = clock.now();
    this.#wakeAtMs = Math.min(Math.max(atMs, now), now + LOOK_MS);
    if (!this.#closed) this.#timer = clock.setTimer(() => this.#look(), this.#wakeAtMs - now);
  }

  /**
   * Resolves when what is being fired has fired, and what fired of these partitions is ended in the
   * log; where that takes it, and after two seconds at the latest.
   */
  async flush(partitions: readonly number[]): Promise<void> {
    const flushed = this.#queues.underWay().then(() => this.#ends.flush(partitions));
    await Promise.race([flushed, sleep(this.#parts.clock, FLUSH_MS)]);
  }

  /** Stops firing; resolves when nothing is on its way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await this.#queues.close();
    await this.#ends.close();
  }

  #look(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#closed) return;
    const now = this.#parts.clock.now();
    // Less is made up for by waiting; the wheel itself never goes back.
    if (this.#steps.watch(now) < -REWIND_MS) this.window.rewind(now);
    const more = this.window.advance(now);
    this.#queues.pump();
    if (this.#wantsLoad(now)) this.#startLoad();
    this.wake(more ? now : this.window.nextWakeMs());
  }

  /** Its partition of the log is ours, and takes what ends a message. */
  #mayFire(id: Buffer): boolean {
    const partition = id[1] as number;
    return this.#parts.isReady(partition) && !this.#ends.isFull(partition);
  }

  #recordOf(entry: NearDelay) {
    if (entry.state !== 'queued' || !this.window.holds(entry)) return undefined;
    if (!this.#mayFire(entry.id)) {
      // Known here, it would not be loaded when its partition may fire again.
      this.window.drop(entry);
      return undefined;
    }
    if (entry.dueMs > this.#parts.clock.now()) {
      this.window.putBack(entry);
      this.wake(entry.dueMs);
      return undefined;
    }
    const record = readDelayRecord(entry.bytes);
    if (record === undefined) return undefined;
    try {
      return isSeriesId(entry.id) ? this.#turnOf(entry, record) : firedRecord(record);
    } catch (error) {
      // Somebody else wrote it, or a newer version, which fires it.
      const reason = { code: codeOf(error), message: messageOf(error), offset: record.offset };
      this.#parts.log.error(reason, 'a delayed message cannot fire');
      return undefined;
    }
  }

  /** What a series publishes now; undefined: it passes a firing over. */
  #turnOf(entry: NearDelay, record: DelayRecord) {
    const series = seriesOf(record);
    entry.turn = series.rule.turn(series.stands, this.#parts.clock.now());
    const { fires } = entry.turn;
    if (fires !== undefined) return seriesFiring(record, series, fires);
    this.#endSeries(entry, entry.turn);
    this.#ends.pump();
    return undefined;
  }

  #endSeries(entry: NearDelay, { fires, passed }: Turn): void {
    const { stats } = this.#parts;
    if (fires !== undefined) stats.seriesFired++;
    stats.seriesMissed += passed;
    this.#ends.push(entry);
  }

  /** What goes into the delay log after a firing. */
  #endOf({ id, offset, dueMs, bytes, turn }: NearDelay) {
    const { topic } = this.#parts;
    if (turn === undefined) return tombstone(topic, id, { offset, dueMs });
    return seriesFollower(topic, readDelayRecord(bytes) as DelayRecord, turn);
  }

  #fired(entries: readonly NearDelay[], sentMs: number): void {
    const { clock, stats } = this.#parts;
    const doneMs = clock.now();
    for (const entry of entries) {
      const { turn } = entry;
      stats.fire({ dueMs: turn?.fires?.dueMs ?? entry.dueMs, sentMs, doneMs });
      if (turn !== undefined) {
        this.#endSeries(entry, turn);
        continue;
      }
      this.window.empty(entry);
      this.#ends.push(entry);
    }
    this.#ends.pump();
  }

  #startRefill(): void {
    if (this.#refilling) return;
    this.#refilling = true;
    this.#parts.work(async () => {
      const from = this.#queues.beginRefill();
      const next = from === undefined ? undefined : await this.#refill(from);
      this.#refilling = false;
      this.#queues.refilled(next);
    });
  }

  /**
   * Takes up what topics left in the index once they had their share.
   * @returns the key of the first that was not looked at
   */
  async #refill(from: Buffer): Promise<Buffer | undefined> {
    const { index, clock, isStray } = this.#parts;
    const now = clock.now();
    // Many may have one due time, so the end is a place and not a time.
    const range = { from, to: this.#cursor };
    let looked = 0;
    for await (const line of index.between(range, REFILL_STEP + 1)) {
      const { id, dueMs } = line;
      const isEnough = looked === REFILL_STEP || this.#queues.isRefilled || this.window.isFarOver;
      if (this.#closed || isEnough) return dueKey(dueMs, id);
      looked++;
      if (await isStray(id, dueMs)) continue;
      const near = this.#nearOf(line);
      if (near === undefined || !this.#queues.wants(near.topic, dueMs, id)) continue;
      if (dueMs > now) this.window.add(near);
      else this.#queues.take(this.window.addQueued(near));
    }
    return undefined;
  }

  /** What is to be held of a line of the index; undefined: nothing, or it is held. */
  #nearOf({ id, dueMs, bytes }: IndexedDelay): NewDelay | undefined {
    if (!this.#mayFire(id) || this.window.find(id) !== undefined) return undefined;
    const record = readDelayRecord(bytes);
    if (record?.target === undefined) return undefined;
    const { name, offset, target } = record;
    return { id, name, dueMs, offset, bytes, topic: topicOf(target), isIndexed: true };
  }

  #wantsLoad(now: number): boolean {
    if (this.#loading || this.window.isFull) return false;
    return this.#cursor.readUIntBE(3, 6) < now + HORIZON_MS / 2;
  }

  #startLoad(): void {
    this.#loading = true;
    this.#parts.work(async () => {
      await this.#load().finally(() => {
        this.#loading = false;
      });
      this.#look();
    });
  }

  async #load(): Promise<void> {
    const { index, clock, stats, isStray } = this.#parts;
    const end = dueKey(clock.now() + HORIZON_MS, undefined);
    stats.loads++;
    let read = 0;
    const movedBack = this.#movedBack;
    const range = { from: this.#cursor, to: end };
    for await (const line of index.between(range, LOAD_STEP)) {
      const { id, dueMs, bytes } = line;
      if (this.window.isFull || this.#movedBack !== movedBack) return;
      read++;
      this.#cursor = afterKey(dueMs, id);
      // A topic may have left a million: what others have lies between them.
      if (this.#queues.isLeft(peekTopic(bytes) ?? '', dueMs, id)) continue;
      if (await isStray(id, dueMs)) continue;
      const near = this.#nearOf(line);
      if (near !== undefined && this.#queues.admits(near.topic, dueMs, id)) this.window.add(near);
    }
    if (this.#movedBack !== movedBack) return;
    if (read < LOAD_STEP) this.#cursor = end;
    await index.tidy(clock.now() - HORIZON_MS);
  }
}
