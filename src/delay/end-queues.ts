import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import type { Publisher, PublishRecord } from '../backend/publisher-port.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { NearDelay } from './due-window.ts';
import { FireQueue } from './fire-queue.ts';
import { isAlone } from './log-applier.ts';

/** What {@link EndQueues} are made of. */
export interface EndQueuesParts {
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly log: Logger;
  /** From one partition to the next, in ms; 0: all at once. */
  readonly turnMs: number;
  /** What goes into the delay log in the place of one that fired. */
  record(entry: NearDelay): PublishRecord;
  /** It is in the log. */
  onEnded(entries: readonly NearDelay[]): void;
  /** A partition that was full has room again. */
  onRoom(): void;
}

const BATCH_MAX = 2_000;

/**
 * What fired and is to be ended in the delay log: a queue for each of its partitions, so that one
 * that takes nothing keeps no other from being ended. Each has its bound, beyond which nothing of
 * its partition is to fire.
 *
 * The end of a message that its message id names is in no hurry: it only keeps it from firing
 * again after a crash. A cluster answers a connection in order, so that what is due stands behind
 * the ends before it. So they gather, and partitions have turns. The place of others, a key or a
 * series, may be wanted again, and they are ended at once.
 */
export class EndQueues {
  readonly #queues: readonly FireQueue[];
  readonly #full = new Set<number>();
  readonly #clock: Clock;
  readonly #turnMs: number;
  /** Partitions of which something is to be ended at once. */
  readonly #urgent = new Set<FireQueue>();
  #next = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(parts: EndQueuesParts) {
    const { publisher, clock, log, turnMs } = parts;
    this.#clock = clock;
    this.#turnMs = turnMs;
    this.#queues = Array.from({ length: DELAY_PARTITIONS }, (_, partition) => {
      const queue: FireQueue = new FireQueue({
        publisher,
        clock,
        batchMax: BATCH_MAX,
        callsMax: 1,
        // It fired: no command may take it for one that waits.
        sentState: 'ended',
        leftState: 'ended',
        record: (entry) => parts.record(entry),
        onDone: (entries) => parts.onEnded(entries),
        onRefused: (count, code, message) => {
          const words = 'fired messages could not be ended yet';
          log.warn({ partition, count, code, message }, words);
        },
        onRoom: () => {
          const isHalfEmpty = queue.size <= limits.delayEndsMax / 2;
          if (isHalfEmpty && this.#full.delete(partition)) parts.onRoom();
          if (queue.size > 0) this.pump();
        },
      });
      return queue;
    });
  }

  /** So many of this partition wait that no more of it is to fire. */
  isFull(partition: number): boolean {
    return this.#full.has(partition);
  }

  /** It fired: it is `ended`, which the log is told with the next {@link pump}. */
  push(entry: NearDelay): void {
    const partition = entry.id[1] as number;
    const queue = this.#queues[partition] as FireQueue;
    entry.state = 'ended';
    queue.push(entry);
    if (!isAlone(entry.id)) this.#urgent.add(queue);
    if (queue.size >= limits.delayEndsMax) this.#full.add(partition);
  }

  /** What was pushed is sent: what is urgent now, the rest when its partition has its turn. */
  pump(): void {
    if (this.#closed) return;
    for (const queue of this.#urgent) {
      if (!queue.maySend) continue;
      queue.pump();
      this.#urgent.delete(queue);
    }
    if (this.#turnMs === 0) for (const queue of this.#queues) queue.pump();
    else this.#timer ??= this.#clock.setTimer(() => this.#turn(), this.#turnMs);
  }

  /** Sends what was pushed of these partitions now, and resolves when it was taken or refused. */
  async flush(partitions: readonly number[]): Promise<void> {
    await Promise.all(partitions.map((partition) => this.#queues[partition]?.flush()));
  }

  /** What was pushed is ended where the log takes it; nothing is sent after it. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    await Promise.all(this.#queues.map((queue) => queue.flush().then(() => queue.close())));
  }

  /** The next partition that has something to send sends it. */
  #turn(): void {
    this.#timer = undefined;
    const from = this.#next;
    for (let i = 0; i < DELAY_PARTITIONS; i++) {
      const partition = (from + i) % DELAY_PARTITIONS;
      const queue = this.#queues[partition] as FireQueue;
      if (!queue.maySend) continue;
      this.#next = (partition + 1) % DELAY_PARTITIONS;
      queue.pump();
      break;
    }
    if (this.#queues.some((queue) => queue.maySend)) this.pump();
  }
}
