import type { GroupMember, OffsetCommit } from '../backend/consumer-port.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import type { ConsumeStats } from './consume-stats.ts';
import type { ConsumePartition } from './partition.ts';

/** Between a commit that failed and the next, in ms. */
const RETRY_MS = 500;

/** Somebody who waits until what was settled is committed. */
export interface CommitWaiter {
  /** Partitions that have not committed yet. */
  left: number;
  /** One of them was lost before. */
  failed: boolean;
  done(failed: boolean): void;
}

/** What a {@link Committer} needs. */
export interface CommitterOptions {
  readonly clock: Clock;
  readonly member: GroupMember;
  readonly stats: ConsumeStats;
  /** Longest wait of an ack for its commit to begin, in ms. */
  readonly commitMs: number;
  /** A commit begins at once with so many acks. */
  readonly commitAcks: number;
  partitions(): Iterable<ConsumePartition>;
  /** Floor and metadata as they are now; may have to write the map elsewhere first. */
  encode(partition: ConsumePartition): OffsetCommit | Promise<OffsetCommit>;
  onCommitted(partition: ConsumePartition): void;
  onError(error: unknown): void;
}

/** Commits what changed in the partitions of one membership: one request at a time. */
export class Committer {
  readonly #options: CommitterOptions;
  readonly #waiting = new Map<ConsumePartition, CommitWaiter[]>();
  #timer: Timer | undefined;
  #acks = 0;
  #running: Promise<void> | undefined;
  #closed = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** Acks, or something else that the commit must say, came to a partition. */
  note(partition: ConsumePartition, acks: number): void {
    partition.isDirty = true;
    partition.uncommitted += acks;
    this.#acks += acks;
    if (this.#running !== undefined || this.#closed) return;
    if (this.#acks >= this.#options.commitAcks) this.#begin();
    else this.#schedule(this.#options.commitMs);
  }

  /** `waiter` is told when everything settled so far in the partition is committed. */
  wait(partition: ConsumePartition, waiter: CommitWaiter): void {
    waiter.left++;
    const waiting = this.#waiting.get(partition);
    if (waiting === undefined) this.#waiting.set(partition, [waiter]);
    else waiting.push(waiter);
    this.note(partition, 0);
  }

  /** A partition is gone: who waits for its commit waits in vain. */
  forget(partition: ConsumePartition): void {
    for (const waiter of this.#take(partition)) settleWaiter(waiter, true);
  }

  /** Commits what there is now; rejects when that failed. */
  async flush(partitions: readonly ConsumePartition[]): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    await this.#commit(partitions.filter((partition) => !partition.isClosed));
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const partition of [...this.#waiting.keys()]) this.forget(partition);
  }

  #schedule(delayMs: number): void {
    this.#timer ??= this.#options.clock.setTimer(() => {
      this.#timer = undefined;
      this.#begin();
    }, delayMs);
  }

  #begin(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#running !== undefined || this.#closed) return;
    const dirty = [...this.#options.partitions()].filter((p) => p.isDirty && !p.isClosed);
    if (dirty.length === 0) return;
    let next = this.#options.commitMs;
    this.#running = this.#commit(dirty)
      .catch((error: unknown) => {
        this.#options.onError(error);
        next = codeOf(error) === 'FENCED' ? this.#options.commitMs : RETRY_MS;
      })
      .finally(() => {
        this.#running = undefined;
        this.#after(next);
      });
  }

  #after(delayMs: number): void {
    if (this.#closed) return;
    let isDirty = false;
    let waits = false;
    for (const partition of this.#options.partitions()) {
      if (partition.isDirty && !partition.isClosed) isDirty = true;
      if (this.#waiting.has(partition)) waits = true;
    }
    if (!isDirty) return;
    // Who asked for a commit that began without him should not wait for the interval again.
    const isSoon = waits && delayMs !== RETRY_MS;
    if (isSoon || this.#acks >= this.#options.commitAcks) this.#begin();
    else this.#schedule(delayMs);
  }

  async #commit(partitions: readonly ConsumePartition[]): Promise<void> {
    if (partitions.length === 0) return;
    const { clock, stats, member, encode } = this.#options;
    const taken: CommitWaiter[] = [];
    const owners: ConsumePartition[] = [];
    const entries: OffsetCommit[] = [];
    const began = clock.monotonic();
    this.#acks = 0;
    try {
      for (const partition of partitions) {
        for (const waiter of this.#take(partition)) {
          taken.push(waiter);
          owners.push(partition);
        }
        partition.isDirty = false;
        partition.uncommitted = 0;
        const entry = encode(partition);
        entries.push(entry instanceof Promise ? await entry : entry);
      }
      await member.commit(entries);
    } catch (error) {
      stats.commitFailures++;
      for (const partition of partitions) partition.isDirty = true;
      for (const [i, waiter] of taken.entries()) {
        this.#putBack(owners[i] as ConsumePartition, waiter);
      }
      throw error;
    }
    const now = clock.monotonic();
    stats.commits++;
    stats.commitMs += now - began;
    partitions.forEach((partition, i) => {
      const { offset } = entries[i] as OffsetCommit;
      if (offset > partition.committedFloor) partition.floorSinceMs = now;
      partition.committedFloor = offset;
      this.#options.onCommitted(partition);
    });
    for (const waiter of taken) settleWaiter(waiter, false);
  }

  #take(partition: ConsumePartition): CommitWaiter[] {
    const waiting = this.#waiting.get(partition) ?? [];
    this.#waiting.delete(partition);
    return waiting;
  }

  #putBack(partition: ConsumePartition, waiter: CommitWaiter): void {
    if (partition.isClosed || this.#closed) settleWaiter(waiter, true);
    else {
      const waiting = this.#waiting.get(partition);
      if (waiting === undefined) this.#waiting.set(partition, [waiter]);
      else waiting.unshift(waiter);
    }
  }
}

function settleWaiter(waiter: CommitWaiter, failed: boolean): void {
  if (failed) waiter.failed = true;
  if (--waiter.left === 0) waiter.done(waiter.failed);
}
