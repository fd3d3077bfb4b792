import type { Publisher, PublishRecord } from '../backend/publisher-port.ts';
import type { Clock, Timer } from '../base/clock.ts';
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
  onFired(entries: readonly NearDelay[], sentMs: number): void;
  /** Topics have room again for what they left in the index: see {@link DueQueues.beginRefill}. */
  onRoom(): void;
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
  /** The first that found no room in the refilling. */
  next: Buffer | undefined;
  /** The first that was left since the refilling began. */
  leftMeanwhile: Buffer | undefined;
}

/** What a topic that takes nothing may hold at most. */
const STUCK_MAX: Room = { entries: 10_000, bytes: 8 * 1024 * 1024 };
/** Of what may be near, all topics together that take nothing have one part in so many. */
const STUCK_PART = 4;
/** A call is a slice of what a topic has: between two of them others have their turn. */
const BATCH_MAX = 250;
/** Of a topic; so that what is due next does not wait for the answer to what was due before. */
const CALLS_MAX = 6;

/**
 * What is due, a queue for each topic, so that none waits for another. A topic has its share of
 * the window, and what is beyond stays in the index, due or not. Those of topics that refuse share
 * a part of the window, however many they are: the rest is for those that take what is due.
 */
export class DueQueues {
  readonly #parts: DueQueuesParts;
  readonly #byTopic = new Map<string, TopicQueue>();
  readonly #stuck = new Set<TopicQueue>();
  /** Those that may have more to send. */
  readonly #touched = new Set<FireQueue>();
  /** Until those that have more to send have their next turn. */
  #turn: Timer | undefined;
  #closed = false;
  /** Those that left something and have no room for it. */
  readonly #waiting = new Set<TopicQueue>();
  /** Those that have room, until they are refilled together. */
  readonly #wanting = new Set<TopicQueue>();
  /** Those of the refilling that is under way that have room. */
  readonly #refilling = new Set<TopicQueue>();

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
  get stuckTopics(): readonly string[] {
    return [...this.#stuck].map(({ topic }) => topic);
  }

  /** It is due: it fires with the next {@link pump}, or is left in the index. */
  push(entry: NearDelay): void {
    const own = this.#of(entry.topic);
    if (isBehind(own.left, entry.dueMs, entry.id) || this.#isStuckFull(own)) {
      this.#leave(own, entry);
    } else this.take(entry);
  }

  /** Some topic left something and has no room for it yet. */
  get isShort(): boolean {
    return this.#waiting.size > 0;
  }

  /** Sends what was pushed, and asks for what was left where there is room by now. */
  pump(): void {
    this.#pumpTouched();
    for (const own of [...this.#waiting]) this.#room(own);
  }

  /** False: a message of the index stays there, since its topic has its share or left others. */
  admits(topic: string, dueMs: number, id: Buffer): boolean {
    if (this.isLeft(topic, dueMs, id)) return false;
    const known = this.#byTopic.get(topic);
    if (!this.#parts.window.isOver(topic) && (known === undefined || !this.#isStuckFull(known))) {
      return true;
    }
    this.leaveFrom(topic, dueKey(dueMs, id));
    return false;
  }

  /** From here on a topic's messages are in the index alone. */
  leaveFrom(topic: string, key: Buffer): void {
    const own = this.#of(topic);
    own.left = earlier(own.left, key);
    if (own.isRefilling) own.leftMeanwhile = earlier(own.leftMeanwhile, key);
    else this.#waiting.add(own);
  }

  /** It stays in the index, behind what was left before it. */
  isLeft(topic: string, dueMs: number, id: Buffer): boolean {
    return isBehind(this.#byTopic.get(topic)?.left, dueMs, id);
  }

  /**
   * Where what was left begins, of all topics that have room for it; undefined: none has. They are
   * refilled together, in the order of due times, until {@link refilled}: the index is read once
   * for all of them.
   */
  beginRefill(): Buffer | undefined {
    let from: Buffer | undefined;
    for (const own of this.#wanting) {
      if (own.left === undefined) {
        this.#room(own);
        continue;
      }
      own.isRefilling = true;
      this.#refilling.add(own);
      from = earlier(from, own.left);
    }
    this.#wanting.clear();
    return from;
  }

  /** All that are refilled have their share: the rest stays left. */
  get isRefilled(): boolean {
    return this.#refilling.size === 0;
  }

  /** Whether a message of the index is taken up by the refilling. */
  wants(topic: string, dueMs: number, id: Buffer): boolean {
    const own = this.#byTopic.get(topic);
    if (own === undefined || !this.#refilling.has(own)) return false;
    if (!isBehind(own.left, dueMs, id)) return false;
    if (!this.#parts.window.isOver(topic) && !this.#isStuckFull(own)) return true;
    own.next = dueKey(dueMs, id);
    this.#refilling.delete(own);
    return false;
  }

  /** All before `next` was looked at; undefined: all. */
  refilled(next: Buffer | undefined): void {
    const owns = [...this.#byTopic.values()].filter(({ isRefilling }) => isRefilling);
    for (const own of owns) {
      const stays = this.#refilling.has(own) ? later(next, own.left) : own.next;
      own.left = earlier(stays, own.leftMeanwhile);
      own.next = undefined;
      own.leftMeanwhile = undefined;
      own.isRefilling = false;
    }
    this.#refilling.clear();
    this.pump();
    for (const own of owns) this.#room(own);
    if (this.#wanting.size > 0) this.#parts.onRoom();
  }

  /** It is due, and fires with the next {@link pump}. */
  take(entry: NearDelay): void {
    const { queue } = this.#of(entry.topic);
    queue.push(entry);
    this.#touched.add(queue);
  }

  /** What was left is loaded anew by somebody else. */
  forgetLeft(): void {
    for (const own of this.#byTopic.values()) own.left = undefined;
  }

  /** Resolves when the calls that are under way now have ended. */
  async underWay(): Promise<void> {
    await Promise.all([...this.#byTopic.values()].map(({ queue }) => queue.underWay()));
  }

  /** Resolves when no call is under way; nothing is sent after it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#turn?.cancel();
    await Promise.all([...this.#byTopic.values()].map(({ queue }) => queue.close()));
  }

  /** A call for each topic; what has more to send goes on once the event loop was round. */
  #pumpTouched(): void {
    for (const queue of [...this.#touched]) if (!queue.pump()) this.#touched.delete(queue);
    if (this.#touched.size === 0 || this.#closed) return;
    this.#turn ??= this.#parts.clock.setTimer(() => {
      this.#turn = undefined;
      this.#pumpTouched();
    }, 0);
  }

  #of(topic: string): TopicQueue {
    const known = this.#byTopic.get(topic);
    if (known !== undefined) return known;
    const { publisher, clock, log, stats } = this.#parts;
    const own: TopicQueue = {
      topic,
      left: undefined,
      isRefilling: false,
      next: undefined,
      leftMeanwhile: undefined,
      queue: new FireQueue({
        publisher,
        clock,
        batchMax: BATCH_MAX,
        callsMax: CALLS_MAX,
        sentState: 'firing',
        leftState: 'queued',
        record: (entry) => this.#parts.record(entry),
        onDone: (entries, sentMs) => this.#parts.onFired(entries, sentMs),
        onRefused: (count, code, message) => {
          stats.refused += count;
          log.warn({ topic, count, code, message }, 'due messages were not taken yet');
          this.#stuck.add(own);
          this.#shed();
        },
        onRoom: () => {
          this.#room(own);
          if (!own.queue.maySend) return;
          this.#touched.add(own.queue);
          this.#pumpTouched();
        },
      }),
    };
    this.#byTopic.set(topic, own);
    return own;
  }

  #isStuckFull({ queue }: TopicQueue): boolean {
    if (!queue.isRefused) return false;
    const { entries, bytes } = this.#stuckRoom();
    return queue.size >= entries || queue.bytes >= bytes;
  }

  /** What each of the topics that take nothing may hold. */
  #stuckRoom(): Room {
    const share = STUCK_PART * Math.max(1, this.#stuck.size);
    const { entriesMax, bytesMax } = this.#parts.window.limits;
    return {
      entries: Math.min(STUCK_MAX.entries, Math.ceil(entriesMax / share)),
      bytes: Math.min(STUCK_MAX.bytes, Math.ceil(bytesMax / share)),
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

  #leave(own: TopicQueue, entry: NearDelay): void {
    this.leaveFrom(own.topic, dueKey(entry.dueMs, entry.id));
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
    if (own.isRefilling || this.#wanting.has(own)) return;
    const { window } = this.#parts;
    if (window.isFarOver || !window.hasRoom(topic)) {
      this.#waiting.add(own);
      return;
    }
    this.#wanting.add(own);
    this.#parts.onRoom();
  }
}

function isBehind(left: Buffer | undefined, dueMs: number, id: Buffer): boolean {
  return left !== undefined && Buffer.compare(dueKey(dueMs, id), left) >= 0;
}

function earlier(one: Buffer | undefined, other: Buffer | undefined): Buffer | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Buffer.compare(one, other) <= 0 ? one : other;
}

function later(one: Buffer | undefined, other: Buffer | undefined): Buffer | undefined {
  if (one === undefined || other === undefined) return undefined;
  return Buffer.compare(one, other) >= 0 ? one : other;
}
