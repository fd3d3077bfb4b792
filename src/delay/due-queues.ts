import type { Publisher, PublishRecord } from '../backend/publisher-port.ts';
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import { dueKey } from './delay-index.ts';
import type { DelayStats } from './delay-stats.ts';
import type { DueWindow, NearDelay } from './due-window.ts';
import { FireQueue } from './fire-queue.ts';

/** What {@link DueQueues} are made of. */
export interface DueQueuesParts {
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly log: Logger;
  readonly stats: DelayStats;
  readonly window: DueWindow;
  /** The record of a message; undefined: it does not fire now. */
  record(entry: NearDelay): PublishRecord | undefined;
  onFired(entries: readonly NearDelay[]): void;
  /** A topic has room again for what it left in the index: see {@link DueQueues.refill}. */
  onRoom(topic: string): void;
}

/** What a queue may hold. */
interface Room {
  readonly entries: number;
  readonly bytes: number;
}

interface TopicQueue {
  readonly topic: string;
  readonly queue: FireQueue;
  /** From here on, by due time, its messages stay in the index until those before are gone. */
  left: Buffer | undefined;
  isRefilling: boolean;
  /** The first that was left since the refilling began. */
  leftMeanwhile: Buffer | undefined;
}

const WELL: Room = { entries: 10_000, bytes: 8 * 1024 * 1024 };
/** Of what may be near, all topics together that take nothing have one part in so many. */
const STUCK_PART = 4;
const BATCH_MAX = 4_000;

/**
 * What is due, a queue for each topic, so that none waits for another. A queue has its bounds, and
 * what is beyond stays in the index. Those of topics that refuse share a part of the window,
 * however many they are: the rest is for those that take what is due.
 */
export class DueQueues {
  readonly #parts: DueQueuesParts;
  readonly #byTopic = new Map<string, TopicQueue>();
  readonly #stuck = new Set<TopicQueue>();
  readonly #touched = new Set<FireQueue>();
  /** Those that have room while the window has none. */
  readonly #waiting = new Set<TopicQueue>();

  constructor(parts: DueQueuesParts) {
    this.#parts = parts;
  }

  /** Messages that are due and not published. */
  get size(): number {
    let sum = 0;
    for (const { queue } of this.#byTopic.values()) sum += queue.size;
    return sum;
  }

  /** Topics that did not take all that was sent last. */
  get stuckTopics(): number {
    return this.#stuck.size;
  }

  /** It is due: it fires with the next {@link pump}, or is left in the index. */
  push(entry: NearDelay): void {
    const own = this.#of(entry.topic);
    if (isBehind(own.left, entry.dueMs, entry.id) || this.#isFull(own)) {
      this.#leave(own, entry);
    } else this.#take(own, entry);
  }

  /** Sends what was pushed. */
  pump(): void {
    for (const own of this.#waiting) this.#room(own);
    for (const queue of this.#touched) queue.pump();
    this.#touched.clear();
  }

  /** Where a topic's messages were left in the index; undefined: none was, or not any more. */
  leftOf(topic: string): Buffer | undefined {
    return this.#byTopic.get(topic)?.left;
  }

  /** It stays in the index, behind what was left before it. */
  isLeft(topic: string, dueMs: number, id: Buffer): boolean {
    return isBehind(this.leftOf(topic), dueMs, id);
  }

  /** Takes up what was left, in the order of due times; false: there is no more room for it. */
  refill(entry: NearDelay): boolean {
    const own = this.#of(entry.topic);
    if (this.#isFull(own)) return false;
    this.#take(own, entry);
    return true;
  }

  /** All before `next` was taken up; undefined: all. */
  refilled(topic: string, next: Buffer | undefined): void {
    const own = this.#of(topic);
    own.left = earlier(next, own.leftMeanwhile);
    own.leftMeanwhile = undefined;
    own.isRefilling = false;
    this.pump();
    this.#room(own);
  }

  /** What was left is loaded anew by somebody else. */
  forgetLeft(): void {
    for (const own of this.#byTopic.values()) own.left = undefined;
  }

  /** Resolves when no call is under way; nothing is sent after it. */
  async close(): Promise<void> {
    await Promise.all([...this.#byTopic.values()].map(({ queue }) => queue.close()));
  }

  #of(topic: string): TopicQueue {
    const known = this.#byTopic.get(topic);
    if (known !== undefined) return known;
    const { publisher, clock, log, stats } = this.#parts;
    const own: TopicQueue = {
      topic,
      left: undefined,
      isRefilling: false,
      leftMeanwhile: undefined,
      queue: new FireQueue({
        publisher,
        clock,
        batchMax: BATCH_MAX,
        leftState: 'queued',
        record: (entry) => this.#parts.record(entry),
        onDone: (entries) => this.#parts.onFired(entries),
        onRefused: (count, code, message) => {
          stats.refused += count;
          log.warn({ topic, count, code, message }, 'due messages were not taken yet');
          this.#stuck.add(own);
          this.#shed();
        },
        onRoom: () => this.#room(own),
      }),
    };
    this.#byTopic.set(topic, own);
    return own;
  }

  #isFull({ queue }: TopicQueue): boolean {
    const { entries, bytes } = queue.isRefused ? this.#stuckRoom() : WELL;
    return queue.size >= entries || queue.bytes >= bytes;
  }

  /** What each of the topics that take nothing may hold. */
  #stuckRoom(): Room {
    const share = STUCK_PART * Math.max(1, this.#stuck.size);
    return {
      entries: Math.min(WELL.entries, Math.ceil(limits.delayNearMax / share)),
      bytes: Math.min(WELL.bytes, Math.ceil(limits.delayNearBytesMax / share)),
    };
  }

  /** Gives back to the index what the topics that take nothing hold beyond their share. */
  #shed(): void {
    const room = this.#stuckRoom();
    for (const own of this.#stuck) {
      for (const entry of own.queue.shed(room)) {
        // One that is held or on its way is known elsewhere: this was a copy of the queue.
        if (entry.state === 'queued') this.#leave(own, entry);
      }
    }
  }

  #take({ queue }: TopicQueue, entry: NearDelay): void {
    queue.push(entry);
    this.#touched.add(queue);
  }

  #leave(own: TopicQueue, entry: NearDelay): void {
    const key = keyOf(entry);
    own.left = earlier(own.left, key);
    if (own.isRefilling) own.leftMeanwhile = earlier(own.leftMeanwhile, key);
    this.#parts.window.drop(entry);
  }

  #room(own: TopicQueue): void {
    const { topic, queue } = own;
    this.#waiting.delete(own);
    if (queue.isRefused) return;
    this.#stuck.delete(own);
    if (own.left === undefined) {
      if (queue.size === 0 && !own.isRefilling) this.#byTopic.delete(topic);
      return;
    }
    const isHalfEmpty = queue.size < WELL.entries / 2 && queue.bytes < WELL.bytes / 2;
    if (!isHalfEmpty || own.isRefilling) return;
    if (this.#parts.window.isFarOver) {
      this.#waiting.add(own);
      return;
    }
    own.isRefilling = true;
    this.#parts.onRoom(topic);
  }
}

function keyOf({ dueMs, id }: NearDelay): Buffer {
  return dueKey(dueMs, id);
}

function isBehind(left: Buffer | undefined, dueMs: number, id: Buffer): boolean {
  return left !== undefined && Buffer.compare(dueKey(dueMs, id), left) >= 0;
}

function earlier(one: Buffer | undefined, other: Buffer | undefined): Buffer | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Buffer.compare(one, other) <= 0 ? one : other;
}
