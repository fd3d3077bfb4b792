import { type Delivery, RUN_MESSAGES } from './delivery.ts';
import type { Grant } from './lease/grant.ts';
import type { FailureCause } from './lease/settle.ts';
import type { ConsumeStats } from './partition/consume-stats.ts';
import type { Said } from './partition/failures.ts';
import type { ConsumePartition } from './partition/partition.ts';
import type { Subscription } from './partition/subscription.ts';

/** Bytes of one run at most, unless its first message alone is longer. */
const RUN_BYTES = 128 * 1024;
/** Messages that one turn of a subscription brings at most. */
const TURN_MESSAGES = 256;
/** In place of a number of messages: the record that was next fits no frame. */
const REFUSED = -1;

/** The partitions of one topic, taken in turn. */
interface TopicRow {
  readonly topic: string;
  readonly partitions: ConsumePartition[];
  next: number;
}

/** What a dispatcher shares with all others of the node. */
export interface DispatchShared {
  readonly delivery: Delivery;
  readonly stats: ConsumeStats;
  /** Serial of the next run. */
  nextRun(): number;
  /** Ms of the engine's clock, and ms since 1970. */
  monotonic(): number;
  now(): number;
  /** The leased message at `block` and `index` of the partition's window failed. */
  onFailed(partition: ConsumePartition, cause: FailureCause, said: Said): void;
}

/**
 * Gives a group's messages to its subscriptions: in turn over the subscriptions that have room,
 * over the topics, and over the partitions of a topic, so that neither a busy consumer nor a long
 * topic makes the others wait. What there is, is shared out: with few messages and many consumers
 * everybody gets a few.
 */
export class Dispatcher {
  readonly #shared: DispatchShared;
  #rows: TopicRow[] = [];
  #nextRow = 0;
  #nextSub = 0;
  #round = 0;
  readonly #grant: Grant = {
    messagesMax: 0,
    bytesMax: 0,
    firstBytesMax: 0,
    run: 0,
    sub: 0,
    dueMs: 0,
    staleBeforeMs: 0,
  };

  constructor(shared: DispatchShared) {
    this.#shared = shared;
  }

  /** The group's partitions are these from now on. */
  setPartitions(partitions: Iterable<ConsumePartition>): void {
    const rows = new Map<string, TopicRow>();
    for (const partition of partitions) {
      const { topic } = partition;
      const row = rows.get(topic) ?? { topic, partitions: [], next: 0 };
      row.partitions.push(partition);
      rows.set(topic, row);
    }
    this.#rows = [...rows.values()];
    this.#nextRow = 0;
  }

  /** Delivers up to `bytesMax`. True: there is more, and somebody has room for it. */
  dispatch(subs: readonly Subscription[], bytesMax: number): boolean {
    let left = bytesMax;
    this.#round++;
    for (;;) {
      const stock = this.#stock();
      if (stock === 0) return false;
      const open = subs.filter((sub) => sub.room > 0);
      if (open.length === 0) return false;
      this.#bind(subs);
      const share = Math.min(TURN_MESSAGES, Math.max(1, Math.ceil(stock / open.length)));
      let moved = 0;
      for (let i = 0; i < open.length; i++) {
        const sub = open[(this.#nextSub + i) % open.length] as Subscription;
        const bytes = this.#serve(sub, Math.min(share, sub.room));
        moved += bytes;
        left -= bytes;
        if (left > 0) continue;
        this.#nextSub = (this.#nextSub + i + 1) % open.length;
        return true;
      }
      this.#nextSub = (this.#nextSub + 1) % open.length;
      if (moved === 0) return false;
    }
  }

  #stock(): number {
    let stock = 0;
    for (const row of this.#rows) {
      for (const partition of row.partitions) {
        // Without this, ordered messages that cannot go would look like work for ever.
        if (partition.dryRound !== this.#round) stock += partition.stock;
      }
    }
    return stock;
  }

  /** Gives one subscription its turn; the bytes that it got. */
  #serve(sub: Subscription, messages: number): number {
    let left = messages;
    let idle = 0;
    const savedFor = this.#saving.get(sub);
    let first = savedFor;
    let share = this.#shareOf(sub, left);
    this.#short = undefined;
    this.#bytes = 0;
    while (left > 0 && idle < this.#rows.length && this.#short === undefined) {
      const most = Math.min(left, sub.room, share);
      const got = first === undefined ? this.#next(sub, most) : this.#from(first, sub, most);
      left -= got;
      if (got > 0) idle = 0;
      else if (first === undefined) idle++;
      if (sub.room === 0) break;
      // What a topic has no messages for is for those that have.
      if (got < most) share = this.#shareOf(sub, left);
      first = undefined;
    }
    if (this.#short !== undefined) this.#saving.set(sub, this.#short);
    else if (savedFor !== undefined) this.#saving.delete(sub);
    this.#shared.delivery.send(sub);
    return this.#bytes;
  }

  /** As much for each topic that has something for a subscription. */
  #shareOf(sub: Subscription, messages: number): number {
    if (this.#rows.length === 1) return messages;
    let topics = 0;
    for (const { topic, partitions } of this.#rows) {
      if (sub.covers(topic) && partitions.some((one) => this.#has(one, sub))) topics++;
    }
    return Math.ceil(messages / Math.max(1, topics));
  }

  #has(partition: ConsumePartition, sub: Subscription): boolean {
    if (partition.stock === 0 || partition.dryRound === this.#round) return false;
    return partition.bound === undefined || partition.bound === sub;
  }

  /** The partition whose next message a subscription's credit was too little for. */
  readonly #saving = new WeakMap<Subscription, ConsumePartition>();
  /** That of this turn. */
  #short: ConsumePartition | undefined;
  /** Delivered in this turn. */
  #bytes = 0;
  readonly #grantedAt = { run: 0, nowMs: 0 };

  /** A run of each partition of the next topic that has something; how many messages. */
  #next(sub: Subscription, messages: number): number {
    this.#nextRow = (this.#nextRow + 1) % this.#rows.length;
    const row = this.#rows[this.#nextRow] as TopicRow;
    if (!sub.covers(row.topic)) return 0;
    let left = messages;
    for (let i = 0; i < row.partitions.length && left > 0; i++) {
      row.next = (row.next + 1) % row.partitions.length;
      left -= this.#from(row.partitions[row.next] as ConsumePartition, sub, left);
      if (this.#short !== undefined || sub.room === 0) break;
    }
    return messages - left;
  }

  #from(partition: ConsumePartition, sub: Subscription, messages: number): number {
    if (!this.#has(partition, sub)) return 0;
    for (;;) {
      const count = this.#run(partition, sub, messages);
      if (count !== REFUSED) return count;
    }
  }

  /** One run of a partition; the number of its messages, or {@link REFUSED}. */
  #run(partition: ConsumePartition, sub: Subscription, messages: number): number {
    const { window, policy } = partition;
    const grant = this.#grant;
    const nowMs = this.#shared.monotonic();
    const run = this.#shared.nextRun();
    grant.messagesMax = Math.min(messages, RUN_MESSAGES);
    const room = Math.max(0, sub.creditBytes - sub.outBytes);
    const frameRoom = this.#shared.delivery.roomFor(partition);
    grant.bytesMax = Math.min(RUN_BYTES, frameRoom, room);
    grant.firstBytesMax = sub.out === 0 ? Number.POSITIVE_INFINITY : room;
    grant.run = run >>> 0;
    grant.sub = sub.slot;
    grant.dueMs = nowMs + sub.leaseMs;
    grant.staleBeforeMs = Number.isFinite(policy.ttlMs) ? this.#shared.now() - policy.ttlMs : 0;
    window.stale = 0;
    const count = window.pick(grant);
    if (window.stale > 0) {
      policy.expired(window.stale);
      partition.isDirty = true;
    }
    if (count === 0) {
      // Another may take what is too long for this one, whose credit shorter ones would use up
      // for ever: it gets nothing else until it can have that.
      if (window.isShort) this.#short = partition;
      else partition.dryRound = this.#round;
      return 0;
    }
    const bytes = window.block.sizeOf(window.picked[0] as number);
    if (bytes > frameRoom) {
      this.#refuse(partition, sub, bytes);
      return REFUSED;
    }
    this.#countAgain(partition, count);
    this.#grantedAt.run = run;
    this.#grantedAt.nowMs = nowMs;
    const sent = this.#shared.delivery.add(sub, partition, count, this.#grantedAt);
    this.#bytes += sent;
    sub.took(count, sent);
    this.#shared.stats.delivered += count;
    this.#shared.stats.deliveredBytes += sent;
    sub.activeMs = nowMs;
    return count;
  }

  /** What fits no frame was picked alone: no attempt does better, so the dead letters have it. */
  #refuse(partition: ConsumePartition, sub: Subscription, bytes: number): void {
    const { window } = partition;
    // A mean share, as will be taken off when it is refused.
    sub.took(1, sub.out > 0 ? sub.outBytes / sub.out : 0);
    window.index = window.picked[0] as number;
    const reason = `a record of ${bytes} bytes fits no frame of limits.frameBytesMax`;
    this.#shared.onFailed(partition, 'dead', { delayMs: undefined, reason });
  }

  /** Counts what had been given out before, by this owner or by one before. */
  #countAgain({ window, givenBefore }: ConsumePartition, count: number): void {
    const { block, picked } = window;
    const { again } = this.#shared.stats;
    for (let i = 0; i < count; i++) {
      const index = picked[i] as number;
      if (block.attemptOf(index) > 1) again.failed++;
      else if (block.isContested(index)) again.returned++;
      else if (block.offsetOf(index) < givenBefore) again.owner++;
    }
  }

  /** Of a partition-ordered group, each partition has one subscription at a time. */
  #bind(subs: readonly Subscription[]): void {
    if (this.#rows[0]?.partitions[0]?.window.mode !== 'partition-ordered') return;
    this.#countBound(subs);
    for (const row of this.#rows) {
      for (const partition of row.partitions) {
        const { bound } = partition;
        if (bound !== undefined && !bound.ended) {
          if (partition.window.leased > 0) continue;
          if (takesMore(bound) && !this.#isCrowded(bound, subs)) continue;
        }
        if (partition.stock === 0) continue;
        if (bound !== undefined) bound.bound--;
        partition.bound = leastBound(subs, partition.topic);
        if (partition.bound !== undefined) partition.bound.bound++;
      }
    }
  }

  /** Counted each time: partitions come and go, and subscriptions end. */
  #countBound(subs: readonly Subscription[]): void {
    for (const sub of subs) sub.bound = 0;
    for (const row of this.#rows) {
      for (const { bound } of row.partitions) if (bound !== undefined) bound.bound++;
    }
  }

  /** Whether a subscription has two partitions more than another one. */
  #isCrowded(sub: Subscription, subs: readonly Subscription[]): boolean {
    return subs.some((other) => takesMore(other) && other.bound + 1 < sub.bound);
  }
}

/** Who holds deliveries, as one that is about to end does, must not hold a partition. */
function takesMore(sub: Subscription): boolean {
  return !sub.ended && sub.creditMessages > 0 && sub.creditBytes > 0;
}

function leastBound(subs: readonly Subscription[], topic: string): Subscription | undefined {
  let least: Subscription | undefined;
  for (const sub of subs) {
    if (!takesMore(sub) || !sub.covers(topic)) continue;
    if (least === undefined || sub.bound < least.bound) least = sub;
  }
  return least;
}
