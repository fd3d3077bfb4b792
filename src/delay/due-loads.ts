import { type Clock, sleep } from '../base/clock.ts';
import { afterKey, type DelayIndex, dueKey, type IndexedDelay } from './delay-index.ts';
import { peekTopic, readDelayRecord, topicOf } from './delay-record.ts';
import type { DelayStats } from './delay-stats.ts';
import type { DueQueues } from './due-queues.ts';
import type { DueWindow, NewDelay } from './due-window.ts';

/** What {@link DueLoads} are made of. */
export interface DueLoadsParts {
  readonly index: DelayIndex;
  readonly clock: Clock;
  readonly stats: DelayStats;
  readonly window: DueWindow;
  readonly queues: DueQueues;
  /** Runs a task that reads the index, after those before it: while it runs no other changes it. */
  work(task: () => Promise<void>): void;
  /** Its partition of the log is ours, and takes what ends a message. */
  mayFire(id: Buffer): boolean;
  /** Its message stands elsewhere by now, or nowhere. */
  isStray(id: Buffer, dueMs: number): false | Promise<boolean>;
  /** Something may have come near. */
  onLoaded(): void;
}

const HORIZON_MS = 30_000;
/** So far ahead all is loaded: what others have may lie behind a million of one topic. */
const LEAD_MS = 25_000;
/** What is due sooner is read without a pause: then the load itself is late. */
const URGENT_MS = 5_000;
/** Lines of the index that are read in one task: what is to change it waits for the task. */
const LINES_MAX = 4_000;
/** Of them without a pause: everything else waits for these. */
const LINES_PER_TURN = 1_000;

/** Brings what comes near from the index into the window, and what topics left there. */
export class DueLoads {
  readonly #parts: DueLoadsParts;
  /** Before it everything of the index is in the window, or was left by a full queue. */
  #cursor: Buffer = dueKey(0, undefined);
  /** So often the cursor went back. */
  #movedBack = 0;
  #loading = false;
  #refilling = false;
  #closed = false;

  constructor(parts: DueLoadsParts) {
    this.#parts = parts;
  }

  /** Whether a message of this due time belongs into the window. */
  isNear(dueMs: number, id: Buffer): boolean {
    return Buffer.compare(dueKey(dueMs, id), this.#cursor) < 0;
  }

  /** What lies between is loaded again, also by a load that is under way. */
  moveBack(cursor: Buffer): void {
    if (Buffer.compare(cursor, this.#cursor) >= 0) return;
    this.#cursor = cursor;
    this.#movedBack++;
  }

  /** Loads what comes near, where that is not done and there is room. */
  load(nowMs: number): void {
    const { work, window, onLoaded } = this.#parts;
    if (this.#loading || window.isFull) return;
    if (this.#upToMs >= nowMs + LEAD_MS) return;
    this.#loading = true;
    work(async () => {
      await this.#load().finally(() => {
        this.#loading = false;
      });
      onLoaded();
    });
  }

  /** Takes up what topics left in the index, where they have room. */
  refill(): void {
    const { work, queues } = this.#parts;
    if (this.#refilling) return;
    this.#refilling = true;
    work(async () => {
      const from = queues.beginRefill();
      const next = from === undefined ? undefined : await this.#refill(from);
      this.#refilling = false;
      queues.refilled(next);
    });
  }

  /** Nothing more is taken up. */
  close(): void {
    this.#closed = true;
  }

  /** All that is due before it was looked at. */
  get #upToMs(): number {
    return this.#cursor.readUIntBE(3, 6);
  }

  async #load(): Promise<void> {
    const { index, clock, stats, window, queues, isStray } = this.#parts;
    const end = dueKey(clock.now() + HORIZON_MS, undefined);
    stats.loads++;
    let read = 0;
    const movedBack = this.#movedBack;
    const isOver = () => this.#closed || window.isFull || this.#movedBack !== movedBack;
    const range = { from: this.#cursor, to: end };
    for await (const line of index.between(range, LINES_MAX)) {
      const { id, dueMs, bytes } = line;
      const isTurn = read > 0 && read % LINES_PER_TURN === 0;
      if (isTurn && dueMs > clock.now() + URGENT_MS) await sleep(clock, 0);
      if (isOver()) return;
      read++;
      this.#cursor = afterKey(dueMs, id);
      // A topic may have left a million: what others have lies between them.
      if (queues.isLeft(peekTopic(bytes) ?? '', dueMs, id)) continue;
      const stray = isStray(id, dueMs);
      if (stray !== false && (await stray)) continue;
      const near = this.#nearOf(line);
      if (near !== undefined && queues.admits(near.topic, dueMs, id)) window.add(near);
    }
    if (this.#movedBack !== movedBack) return;
    if (read < LINES_MAX) this.#cursor = end;
    await index.tidy(clock.now() - HORIZON_MS);
  }

  /** @returns the key of the first that was not looked at */
  async #refill(from: Buffer): Promise<Buffer | undefined> {
    const { index, clock, window, queues, isStray } = this.#parts;
    const now = clock.now();
    // What others have is not known yet: the load goes before.
    const linesMax = this.#upToMs < now + URGENT_MS ? LINES_PER_TURN : LINES_MAX;
    // Many may have one due time, so the end is a place and not a time.
    const range = { from, to: this.#cursor };
    let looked = 0;
    for await (const line of index.between(range, linesMax + 1)) {
      const { id, dueMs } = line;
      if (looked > 0 && looked < linesMax && looked % LINES_PER_TURN === 0) await sleep(clock, 0);
      const isEnough = looked === linesMax || queues.isRefilled || window.isFarOver;
      if (this.#closed || isEnough) return dueKey(dueMs, id);
      looked++;
      const stray = isStray(id, dueMs);
      if (stray !== false && (await stray)) continue;
      const near = this.#nearOf(line);
      if (near === undefined || !queues.wants(near.topic, dueMs, id)) continue;
      if (dueMs > now) window.add(near);
      else queues.take(window.addQueued(near));
    }
    return undefined;
  }

  /** What is to be held of a line of the index; undefined: nothing, or it is held. */
  #nearOf({ id, dueMs, bytes }: IndexedDelay): NewDelay | undefined {
    const { window, mayFire } = this.#parts;
    if (!mayFire(id) || window.find(id) !== undefined) return undefined;
    const record = readDelayRecord(bytes);
    if (record?.target === undefined) return undefined;
    const { offset, target } = record;
    return { id, dueMs, offset, bytes, topic: topicOf(target), isIndexed: true };
  }
}
