import type { Publisher } from '../backend/publisher-port.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { codeOf, messageOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import { afterKey, type DelayIndex, dueKey } from './delay-index.ts';
import {
  type DelayRecord,
  dueOf,
  firedRecord,
  readDelayRecord,
  tombstone,
  topicOf,
} from './delay-record.ts';
import type { DelayStats } from './delay-stats.ts';
import { DueWindow, type NearDelay } from './due-window.ts';
import { FireQueue } from './fire-queue.ts';
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
}

const HORIZON_MS = 30_000;
const LOOK_MS = 500;
const LOAD_STEP = 2_000;
const QUEUE_MAX = 10_000;
const QUEUE_BYTES_MAX = 8 * 1024 * 1024;
const BATCH_MAX = 1_000;
/** A clock that went so far against the other is said to have stepped, in ms. */
const STEP_MS = 1_000;
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
  readonly #queues = new Map<string, FireQueue>();
  readonly #enders: FireQueue;
  /** By topic: due time from which on some of it is left in the index, its queue being full. */
  readonly #skipped = new Map<string, number>();
  readonly #touched = new Set<FireQueue>();
  /** Before it everything of the index is in the window, or skipped. */
  #cursor: Buffer = dueKey(0, undefined);
  #loading = false;
  #timer: Timer | undefined;
  #wakeAtMs = 0;
  #driftMs: number;
  #closed = false;

  constructor(parts: DueLoopParts) {
    this.#parts = parts;
    const { clock, publisher } = parts;
    const most = { entriesMax: limits.delayNearMax, bytesMax: limits.delayNearBytesMax };
    this.window = new DueWindow(most, clock.now(), (entry) => this.#due(entry));
    this.#driftMs = clock.now() - clock.monotonic();
    this.#enders = new FireQueue({
      publisher,
      clock,
      batchMax: BATCH_MAX,
      // It fired: no command may take it for one that waits.
      leftState: 'ended',
      record: (entry) => this.#endOf(entry),
      onDone: (entries) => {
        for (const entry of entries) {
          entry.state = 'ended';
          this.window.empty(entry);
        }
      },
      onRefused: (count, code, message) => {
        parts.log.warn({ count, code, message }, 'fired messages could not be ended yet');
      },
      onRoom: () => {},
    });
  }

  /** Messages that are due and not published. */
  get queued(): number {
    let sum = 0;
    for (const queue of this.#queues.values()) sum += queue.size;
    return sum;
  }

  /** Topics whose messages wait because they are not taken. */
  get stuckTopics(): number {
    return this.#skipped.size;
  }

  /** Whether a message of this due time belongs into the window. */
  isNear(dueMs: number, id: Buffer): boolean {
    return Buffer.compare(dueKey(dueMs, id), this.#cursor) < 0;
  }

  /** A record of the log was applied that is near. */
  add(record: { id: Buffer; offset: number; bytes: Buffer; target: Buffer }, dueMs: number): void {
    const { id, offset, target } = record;
    const bytes = Buffer.from(record.bytes);
    this.window.add({ id: Buffer.from(id), dueMs, offset, bytes, topic: topicOf(target) });
    const cut = this.window.shrink();
    if (cut !== undefined) this.#cursor = dueKey(cut, undefined);
    this.wake(dueMs);
  }

  /** Takes up a message that is far, held: a command is about to change it. */
  hold(record: DelayRecord): NearDelay {
    const target = record.target as Buffer;
    const { id, offset, bytes } = record;
    const entry = this.window.add({
      id,
      dueMs: dueOf(target),
      offset,
      bytes,
      topic: topicOf(target),
    });
    this.window.hold(entry);
    return entry;
  }

  /** The command failed: it waits as before. */
  release(entry: NearDelay): void {
    this.window.release(entry);
    this.wake(entry.dueMs);
  }

  /** Loads from the beginning again: other partitions are ready, or are not ours any more. */
  reload(): void {
    this.#cursor = dueKey(0, undefined);
    this.#skipped.clear();
    this.#look();
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

  /** Stops firing; resolves when nothing is on its way. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()));
    await this.#enders.close();
  }

  #look(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#closed) return;
    const now = this.#parts.clock.now();
    this.#watchClock(now);
    const more = this.window.advance(now);
    for (const queue of this.#touched) queue.pump();
    this.#touched.clear();
    if (this.#wantsLoad(now)) this.#startLoad();
    this.wake(more ? now : this.window.nextWakeMs());
  }

  #watchClock(now: number): void {
    const { clock, log, stats } = this.#parts;
    const drift = now - clock.monotonic();
    const stepMs = Math.round(drift - this.#driftMs);
    this.#driftMs = drift;
    if (Math.abs(stepMs) > STEP_MS) {
      stats.clockSteps++;
      log.error({ stepMs }, 'the wall clock stepped: due times follow it');
    }
    // Less is made up for by waiting; the wheel itself never goes back.
    if (stepMs < -REWIND_MS) this.window.rewind(now);
  }

  #due(entry: NearDelay): void {
    const { topic } = entry;
    let queue = this.#queues.get(topic);
    if (queue === undefined) {
      queue = this.#openQueue(topic);
      this.#queues.set(topic, queue);
    }
    if (queue.size >= QUEUE_MAX || queue.bytes >= QUEUE_BYTES_MAX) {
      this.#skip(topic, entry.dueMs);
      this.window.drop(entry);
      return;
    }
    queue.push(entry);
    this.#touched.add(queue);
  }

  #skip(topic: string, dueMs: number): void {
    this.#skipped.set(topic, Math.min(dueMs, this.#skipped.get(topic) ?? dueMs));
  }

  #openQueue(topic: string): FireQueue {
    const { publisher, clock, log, stats } = this.#parts;
    return new FireQueue({
      publisher,
      clock,
      batchMax: BATCH_MAX,
      leftState: 'queued',
      record: (entry) => this.#recordOf(entry),
      onDone: (entries) => this.#fired(entries),
      onRefused: (count, code, message) => {
        stats.refused += count;
        log.warn({ topic, count, code, message }, 'due messages were not taken yet');
      },
      onRoom: () => this.#room(topic),
    });
  }

  #recordOf(entry: NearDelay) {
    if (entry.state !== 'queued' || this.window.find(entry.id) !== entry) return undefined;
    if (!this.#parts.isReady(entry.id[1] as number)) {
      // Known here, it would not be loaded when its partition is ready again.
      this.window.drop(entry);
      return undefined;
    }
    const record = readDelayRecord(entry.bytes);
    if (record === undefined) return undefined;
    return isSeriesId(entry.id) ? this.#turnOf(entry, record) : firedRecord(record);
  }

  /** What a series publishes now; undefined: it passes a firing over, or cannot be read here. */
  #turnOf(entry: NearDelay, record: DelayRecord) {
    const { clock, log } = this.#parts;
    try {
      const series = seriesOf(record);
      entry.turn = series.rule.turn(series.stands, clock.now());
      const { fires } = entry.turn;
      if (fires !== undefined) return seriesFiring(record, series, fires);
    } catch (error) {
      log.error({ code: codeOf(error), message: messageOf(error) }, 'a series cannot fire');
      return undefined;
    }
    this.#endSeries(entry, entry.turn);
    this.#enders.pump();
    return undefined;
  }

  #endSeries(entry: NearDelay, { fires, passed }: Turn): void {
    const { stats } = this.#parts;
    if (fires !== undefined) stats.seriesFired++;
    stats.seriesMissed += passed;
    entry.state = 'ended';
    this.#enders.push(entry);
  }

  /** What goes into the delay log after a firing. */
  #endOf({ id, offset, dueMs, bytes, turn }: NearDelay) {
    const { topic } = this.#parts;
    if (turn === undefined) return tombstone(topic, id, { offset, dueMs });
    return seriesFollower(topic, readDelayRecord(bytes) as DelayRecord, turn);
  }

  #fired(entries: readonly NearDelay[]): void {
    const { clock, stats } = this.#parts;
    const now = clock.now();
    for (const entry of entries) {
      const { turn } = entry;
      stats.fire(now - (turn?.fires?.dueMs ?? entry.dueMs));
      if (turn !== undefined) {
        this.#endSeries(entry, turn);
        continue;
      }
      entry.state = 'ended';
      this.window.empty(entry);
      this.#enders.push(entry);
    }
    this.#enders.pump();
  }

  #room(topic: string): void {
    const queue = this.#queues.get(topic);
    if (queue === undefined) return;
    const from = this.#skipped.get(topic);
    if (from !== undefined && queue.size < QUEUE_MAX / 2) {
      this.#skipped.delete(topic);
      this.#parts.work(() => this.#refill(topic, from));
    } else if (from === undefined && queue.size === 0) this.#queues.delete(topic);
  }

  /** Takes up what was left in the index while a target's queue was full. */
  async #refill(topic: string, fromMs: number): Promise<void> {
    let added = 0;
    const endMs = this.#cursor.readUIntBE(3, 6);
    for await (const { id, dueMs, bytes } of this.#parts.index.from(
      dueKey(fromMs, undefined),
      endMs,
    )) {
      if (this.#closed) return;
      if (this.window.find(id) !== undefined || !this.#parts.isReady(id[1] as number)) continue;
      const record = readDelayRecord(bytes);
      if (record?.target === undefined || topicOf(record.target) !== topic) continue;
      if (added >= QUEUE_MAX / 2) {
        this.#skip(topic, dueMs);
        break;
      }
      this.window.add({ id, dueMs, offset: record.offset, bytes, topic });
      added++;
    }
    this.#look();
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
    const { index, clock, stats, isReady } = this.#parts;
    const endMs = clock.now() + HORIZON_MS;
    stats.loads++;
    let read = 0;
    for await (const { id, dueMs, bytes } of index.from(this.#cursor, endMs, LOAD_STEP)) {
      read++;
      this.#cursor = afterKey(dueMs, id);
      if (!isReady(id[1] as number) || this.window.find(id) !== undefined) continue;
      const record = readDelayRecord(bytes);
      if (record?.target === undefined) continue;
      this.window.add({ id, dueMs, offset: record.offset, bytes, topic: topicOf(record.target) });
    }
    if (read < LOAD_STEP) this.#cursor = dueKey(endMs, undefined);
    await index.tidy(clock.now() - HORIZON_MS);
  }
}
