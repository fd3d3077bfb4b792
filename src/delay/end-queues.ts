import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import type { Publisher, PublishRecord } from '../backend/publisher-port.ts';
import type { Clock } from '../base/clock.ts';
import { limits } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import type { NearDelay } from './due-window.ts';
import { FireQueue } from './fire-queue.ts';

/** What {@link EndQueues} are made of. */
export interface EndQueuesParts {
  readonly publisher: Publisher;
  readonly clock: Clock;
  readonly log: Logger;
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
 */
export class EndQueues {
  readonly #queues: readonly FireQueue[];
  readonly #full = new Set<number>();

  constructor(parts: EndQueuesParts) {
    const { publisher, clock, log } = parts;
    this.#queues = Array.from({ length: DELAY_PARTITIONS }, (_, partition) => {
      const queue: FireQueue = new FireQueue({
        publisher,
        clock,
        batchMax: BATCH_MAX,
        // It fired: no command may take it for one that waits.
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
        },
      });
      return queue;
    });
  }

  /** So many of this partition wait that no more of it is to fire. */
  isFull(partition: number): boolean {
    return this.#full.has(partition);
  }

  /** It fired, and ends with the next {@link pump}. */
  push(entry: NearDelay): void {
    const partition = entry.id[1] as number;
    const queue = this.#queues[partition] as FireQueue;
    queue.push(entry);
    if (queue.size >= limits.delayEndsMax) this.#full.add(partition);
  }

  /** Sends what was pushed. */
  pump(): void {
    for (const queue of this.#queues) queue.pump();
  }

  /** Resolves when no call is under way; nothing is sent after it. */
  async close(): Promise<void> {
    await Promise.all(this.#queues.map((queue) => queue.close()));
  }
}
