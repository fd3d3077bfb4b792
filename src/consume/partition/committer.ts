import type { GroupMember, OffsetCommit } from '../../backend/consumer-port.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { codeOf, messageOf } from '../../base/errors.ts';
import type { ConsumeStats } from './consume-stats.ts';
import type { ConsumePartition } from './partition.ts';

/** Between a commit that failed and the next, in ms. */
const RETRY_MS = 500;

/** Most of one request, in characters, and what an entry has beside its topic and metadata. */
const REQUEST_CHARS_MAX = 512 * 1024;
const ENTRY_CHARS = 200;

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
  /** The commits of a partition begin to fail, fail for another reason, or are taken again. */
  onFault(partition: ConsumePartition): void;
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
    // Not at once: whoever flushes sees what came meanwhile, and has the next turn.
    const nextMs = this.#waits ? 0 : this.#options.commitMs;
    if (!this.#isBusy && this.#isDirty) {
      this.#timer?.cancel();
      this.#timer = undefined;
      this.#schedule(failed.length === 0 ? nextMs : RETRY_MS);
    }
    if (failed.length > 0) throw failed[0];
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    for (const partition of [...this.#waiting.keys()]) this.forget(partition);
  }

  #schedule(delayMs: number): void {
    if (this.#closed) return;
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
    let failure: unknown;
    const onError = (error: unknown): void => {
      failure = error;
    };
    void this.#run(dirty, onError).then(() => {
      if (this.#isBusy || !this.#isDirty) return;
      if (failure === undefined) this.#after();
      else this.#schedule(codeOf(failure) === 'FENCED' ? this.#options.commitMs : RETRY_MS);
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

  get #isDirty(): boolean {
    for (const partition of this.#options.partitions()) {
      if (partition.isDirty && !partition.isClosed) return true;
    }
    return false;
  }

  /** What came while a commit was on its way is in the next. */
  #after(): void {
    const { commitAcks, commitMs } = this.#options;
    if (this.#waits || this.#acks >= commitAcks) this.#begin();
    else this.#schedule(commitMs);
  }

  /** Who asked for a commit that began without him should not wait for the interval again. */
  get #waits(): boolean {
    for (const partition of this.#options.partitions()) {
      if (this.#waiting.has(partition)) return true;
    }
    return false;
  }

  async #commit(partitions: readonly ConsumePartition[]): Promise<void> {
    if (partitions.length === 0) return;
    const { clock, stats } = this.#options;
    const taken = new Map<ConsumePartition, CommitWaiter[]>();
    const began = clock.monotonic();
    this.#acks = 0;
    const { entries, unsaid } = await this.#encode(partitions, taken);
    const done = new Set<ConsumePartition>();
    let [error] = unsaid.values();
    try {
      for (const part of inParts(entries)) {
        // One that was lost meanwhile would make the whole request FENCED.
        const open = part.filter(([partition]) => !partition.isClosed);
        if (open.length > 0) await this.#send(open);
        for (const [partition] of open) done.add(partition);
      }
    } catch (cause) {
      error = cause;
    }
    stats.commitMs += clock.monotonic() - began;
    for (const partition of partitions) {
      if (!done.has(partition)) partition.isDirty = true;
      this.#judge(partition, done.has(partition) ? undefined : (unsaid.get(partition) ?? error));
      const waiters = taken.get(partition) ?? [];
      if (!done.has(partition)) this.#putBack(partition, waiters);
      else for (const waiter of waiters) settleWaiter(waiter, false);
    }
    if (error === undefined) return;
    stats.commitFailures++;
    throw error;
  }

  #judge(partition: ConsumePartition, error: unknown): void {
    const before = partition.commitFault?.code;
    const code = error === undefined ? undefined : codeOf(error);
    if (partition.isClosed || code === before) return;
    partition.commitFault = code === undefined ? undefined : { code, message: messageOf(error) };
    this.#options.onFault(partition);
  }

  /** What is committed of each; one that cannot be said now does not hold back the others. */
  async #encode(
    partitions: readonly ConsumePartition[],
    taken: Map<ConsumePartition, CommitWaiter[]>,
  ) {
    const entries = new Map<ConsumePartition, OffsetCommit>();
    /** Why. */
    const unsaid = new Map<ConsumePartition, unknown>();
    for (const partition of partitions) {
      // In one step with what they wait for: who comes later is dirty again.
      taken.set(partition, this.#take(partition));
      partition.isDirty = false;
      if (partition.isClosed) continue;
      try {
        const entry = this.#options.encode(partition);
        entries.set(partition, entry instanceof Promise ? await entry : entry);
      } catch (error) {
        unsaid.set(partition, error);
      }
    }
    return { entries, unsaid };
  }

  async #send(part: readonly (readonly [ConsumePartition, OffsetCommit])[]): Promise<void> {
    const { clock, stats, member, onCommitted } = this.#options;
    await member.commit(part.map(([, entry]) => entry));
    stats.commits++;
    const now = clock.monotonic();
    for (const [partition, { offset }] of part) {
      if (offset > partition.committedFloor) partition.floorSinceMs = now;
      partition.committedFloor = offset;
      onCommitted(partition);
    }
  }

  #take(partition: ConsumePartition): CommitWaiter[] {
    const waiting = this.#waiting.get(partition) ?? [];
    this.#waiting.delete(partition);
    return waiting;
  }

  /** They go on waiting, before those that came meanwhile. */
  #putBack(partition: ConsumePartition, waiters: CommitWaiter[]): void {
    if (partition.isClosed || this.#closed) {
      for (const waiter of waiters) settleWaiter(waiter, true);
    } else if (waiters.length > 0) {
      const later = this.#take(partition);
      this.#waiting.set(partition, later.length === 0 ? waiters : waiters.concat(later));
    }
  }
}

/**
 * What goes in one request: Kafka writes it as one batch of `__consumer_offsets`, whose length has
 * a limit (`max.message.bytes`, 1 MiB by default).
 */
export function* inParts<T>(
  entries: Iterable<readonly [T, OffsetCommit]>,
): Generator<(readonly [T, OffsetCommit])[]> {
  let part: (readonly [T, OffsetCommit])[] = [];
  let chars = 0;
  for (const entry of entries) {
    const length = entry[1].metadata.length + entry[1].topic.length + ENTRY_CHARS;
    if (part.length > 0 && chars + length > REQUEST_CHARS_MAX) {
      yield part;
      part = [];
      chars = 0;
    }
    part.push(entry);
    chars += length;
  }
  if (part.length > 0) yield part;
}

function settleWaiter(waiter: CommitWaiter, failed: boolean): void {
  if (failed) waiter.failed = true;
  if (--waiter.left === 0) waiter.done(waiter.failed);
}
