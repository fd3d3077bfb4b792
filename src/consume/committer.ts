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
  /** Flushes that wait for their turn or are under way: nothing else is begun before them. */
  #flushes = 0;
  #closed = false;

  constructor(options: CommitterOptions) {
    this.#options = options;
  }

  /** Acks, or something else that the commit must say, came to a partition. */
  note(partition: ConsumePartition, acks: number): void {
    partition.isDirty = true;
    partition.uncommitted += acks;
    this.#acks += acks;
    if (this.#isBusy || this.#closed) return;
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
    this.#flushes++;
    const failed: unknown[] = [];
    while (this.#running !== undefined) await this.#running;
    await this.#run(
      partitions.filter((partition) => !partition.isClosed),
      (error) => failed.push(error),
    );
    this.#flushes--;
    if (!this.#isBusy) this.#after(failed.length === 0 ? this.#options.commitMs : RETRY_MS);
    if (failed.length > 0) throw failed[0];
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
    if (this.#isBusy || this.#closed) return;
    const dirty = [...this.#options.partitions()].filter((p) => p.isDirty && !p.isClosed);
    if (dirty.length === 0) return;
    let next = this.#options.commitMs;
    const onError = (error: unknown): void => {
      this.#options.onError(error);
      next = codeOf(error) === 'FENCED' ? this.#options.commitMs : RETRY_MS;
    };
    void this.#run(dirty, onError).then(() => {
      if (!this.#isBusy) this.#after(next);
    });
  }

  get #isBusy(): boolean {
    return this.#running !== undefined || this.#flushes > 0;
  }

  /** Commits, one at a time: what was read of a partition earlier must not land later. */
  #run(partitions: readonly ConsumePartition[], onError: (error: unknown) => void): Promise<void> {
    this.#running = this.#commit(partitions)
      .catch(onError)
      .finally(() => {
        this.#running = undefined;
      });
    return this.#running;
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
    const entries = new Map<ConsumePartition, OffsetCommit>();
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
        if (partition.isClosed) continue;
        const entry = encode(partition);
        const made = entry instanceof Promise ? await entry : entry;
        entries.set(partition, made);
      }
      // One that was lost while others were encoded would make the whole request FENCED.
      for (const partition of partitions) if (partition.isClosed) entries.delete(partition);
      if (entries.size > 0) await member.commit([...entries.values()]);
    } catch (error) {
      stats.commitFailures++;
      for (const partition of partitions) partition.isDirty = true;
      for (const [i, waiter] of taken.entries()) {
        this.#putBack(owners[i] as ConsumePartition, waiter);
      }
      throw error;
    }
    const now = clock.monotonic();
    if (entries.size > 0) stats.commits++;
    stats.commitMs += now - began;
    for (const [partition, { offset }] of entries) {
      if (offset > partition.committedFloor) partition.floorSinceMs = now;
      partition.committedFloor = offset;
      this.#options.onCommitted(partition);
    }
    for (const [i, waiter] of taken.entries()) {
      settleWaiter(waiter, !entries.has(owners[i] as ConsumePartition));
    }
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
