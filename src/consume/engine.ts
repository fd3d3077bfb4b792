import type { Frame } from '../../protocol/src/frame.ts';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { ErrorCode, Opcode } from '../../protocol/src/generated.ts';
import { ProtocolError } from '../../protocol/src/protocol-error.ts';
import type { Subscribe, Subscribed } from '../../protocol/src/subscribe.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { codeOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import type { Logger } from '../base/log.ts';
import { Delivery } from './delivery.ts';
import type { DispatchShared } from './dispatcher.ts';
import { type ConsumeCluster, ConsumeGroup } from './group.ts';
import { type Block, messageState } from './lease/block.ts';
import { BlockTimers } from './lease/block-timers.ts';
import type { Settler } from './lease/settle.ts';
import { Tokens } from './lease/token.ts';
import type { WindowState } from './lease/window-state.ts';
import { LeaseBook } from './lease-book.ts';
import type { ConsumeShared } from './partition/consume-shared.ts';
import { ConsumeStats } from './partition/consume-stats.ts';
import { EndOffsets } from './partition/end-offsets.ts';
import type { Failures } from './partition/failures.ts';
import { OwnerBook } from './partition/owner-book.ts';
import type { ConsumePartition } from './partition/partition.ts';
import type { Receiver, Subscription } from './partition/subscription.ts';
import type { PauseBook } from './pause-book.ts';
import { SettleDesk } from './settle-desk.ts';
import { SubscriptionBook } from './subscription-book.ts';

/** Bytes of payload that a partition may hold, however many there are. */
const PAYLOAD_BYTES_MIN = 512 * 1024;
/** Between two looks at leases and waits while there are any, in ms. */
const TICK_MS = 10;
/** The same while there are none: less than the shortest lease, so the next one is not late. */
const REST_MS = 50;
/** Between two rounds of tidying windows and of asking for ends, in ms. */
const SWEEP_MS = 1_000;

/** What an engine is made of. */
export interface EngineOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly nodeId: string;
  /** The secret of `cluster.secret`. */
  readonly secret: Uint8Array;
  readonly clusters: readonly ConsumeCluster[];
  readonly settler: Settler;
  readonly commitMs: number;
  readonly commitAcks: number;
  /** Longest frame that is sent, by its length field. */
  readonly frameBytesMax: number;
  readonly pauses: Pick<PauseBook, 'get'>;
  /** Runs something after what is being read now. */
  defer(fn: () => void): void;
}

interface Home {
  readonly group: ConsumeGroup;
  readonly failures: Failures;
}

/** All groups of a node: who is subscribed, what is leased, what was settled. */
export class ConsumeEngine {
  readonly stats = new ConsumeStats();
  readonly groups = new Map<string, ConsumeGroup>();
  readonly #options: EngineOptions;
  readonly #clock: Clock;
  readonly #timers: BlockTimers<WindowState>;
  readonly #book: LeaseBook;
  readonly #desk: SettleDesk;
  readonly #shared: ConsumeShared;
  readonly #dispatch: DispatchShared;
  readonly #ends: EndOffsets;
  readonly #subs = new SubscriptionBook();
  readonly #partitions = new Map<WindowState, ConsumePartition>();
  readonly #homes = new Map<ConsumePartition, Home>();
  readonly #stocked = new Set<ConsumeGroup>();
  readonly #writer = new FrameWriter();
  #run = 0;
  #deferred = false;
  #tick: Timer | undefined;
  #sweptMs = 0;
  #closed = false;

  constructor(options: EngineOptions) {
    const { clock, secret } = options;
    const tokens = new Tokens(secret);
    this.#options = options;
    this.#clock = clock;
    this.#timers = new BlockTimers(clock.monotonic());
    this.#book = new LeaseBook(tokens);
    this.#dispatch = {
      delivery: new Delivery(tokens, this.#book.runs, options.frameBytesMax),
      stats: this.stats,
      nextRun: () => ++this.#run,
      monotonic: () => clock.monotonic(),
      now: () => clock.now(),
      onFailed: this.#failed,
    };
    const backends = options.clusters.map(({ backend }) => backend);
    this.#ends = new EndOffsets(clock, backends);
    const owners = new OwnerBook({
      clock,
      backends,
      groups: () => this.groups.keys(),
      nodeId: options.nodeId,
      isOpen: (cluster, group, topic, partition) =>
        this.groups.get(group)?.reads(cluster, topic, partition) === true,
    });
    this.#desk = new SettleDesk({
      clock,
      stats: this.stats,
      book: this.#book,
      onSettled: (slot, count, nowMs) => this.#subs.settled(slot, count, nowMs),
      onAcks: (partition, count) => this.#acked(partition, count),
      onFailed: this.#failed,
      onRefused: (partition, offset, refusal) =>
        this.#homes.get(partition)?.failures.refuse(offset, refusal),
      onWait: (partition, waiter) => this.#memberOf(partition)?.committer.wait(partition, waiter),
      ownersOf: (foreign) => owners.find(foreign),
      isOwn: (node) => node === options.nodeId,
    });
    this.#shared = this.#sharedParts(tokens.fingerprint);
  }

  /**
   * Adds a consumer to a group, which is joined when it is the first.
   * @throws ProtocolError GROUP_CONFLICT, TOO_MANY_GROUPS, DRAINING; RETRY_LATER while the group is
   * being left, ROLE_REFUSED when this node was found to be none for it
   */
  subscribe(receiver: Receiver, asked: Subscribe): Subscribed {
    if (this.#closed) throw new ProtocolError(ErrorCode.DRAINING, 'this node is going away');
    if (!this.isOpen) {
      throw new ProtocolError(ErrorCode.NOT_SUPPORTED, 'this node cannot consume');
    }
    this.#subs.checkRoom(receiver);
    const group = this.#groupFor(asked);
    const sub = this.#subs.add(receiver, asked, group);
    sub.activeMs = this.#clock.monotonic();
    group.add(sub);
    this.#startTicking();
    const { id: subscription, assigned, creditMessages, creditBytes, leaseMs } = sub;
    return { subscription, assigned, mode: group.mode, creditMessages, creditBytes, leaseMs };
  }

  /**
   * Checks what groups need of every cluster that answers; once is enough for each.
   * @throws ROLE_REFUSED with topic, setting, found and needed
   */
  async check(): Promise<void> {
    for (const { maps } of this.#options.clusters) {
      await maps.ensure().catch((error: unknown) => {
        // A cluster that is away is joined when it is back.
        if (codeOf(error) !== 'BACKEND_UNAVAILABLE') throw error;
      });
    }
  }

  /** Ends a subscription: what it had goes back at once. @throws UNKNOWN_SUBSCRIPTION */
  unsubscribe(receiverId: number, id: number): void {
    const sub = this.#subs.get(receiverId, id);
    const group = this.#subs.groupOf(sub);
    for (const { window } of group.partitions()) this.stats.returned += window.giveBack(sub.slot);
    this.#end(sub, group);
  }

  /** Sets what may be out on a subscription. @throws UNKNOWN_SUBSCRIPTION */
  credit(receiverId: number, id: number, credit: { messages: number; bytes: number }): void {
    const sub = this.#subs.get(receiverId, id);
    sub.creditMessages = credit.messages;
    sub.creditBytes = credit.bytes;
    this.#stock(this.#subs.groupOf(sub));
  }

  /** ACK, NACK, EXTEND or COMMIT, *borrowed*. @throws ProtocolError for a frame that is none */
  settle(frame: Frame, write: (bytes: Buffer) => void): void {
    const answer = (fill: (writer: FrameWriter) => void): void => {
      this.#writer.reset();
      fill(this.#writer);
      write(Buffer.from(this.#writer.view()));
    };
    const { opcode } = frame;
    if (opcode === Opcode.ACK) this.#desk.ack(frame, answer);
    else if (opcode === Opcode.NACK) this.#desk.nack(frame, answer);
    else if (opcode === Opcode.EXTEND) this.#desk.extend(frame, answer);
    else this.#desk.commit(frame, answer);
  }

  /** A connection can be written to again. */
  drained(receiverId: number): void {
    for (const sub of this.#subs.of(receiverId)) this.#stock(this.#subs.groupOf(sub));
  }

  /** A connection is gone: its leases last a little longer, in case that its client comes back. */
  connectionLost(receiverId: number): void {
    const dueMs = this.#clock.monotonic() + limits.connectionLostMs;
    for (const sub of this.#subs.of(receiverId)) {
      const group = this.#subs.groupOf(sub);
      for (const partition of group.partitions()) partition.window.shorten(sub.slot, dueMs);
      this.#end(sub, group);
    }
  }

  /** The engine's clock, in ms. */
  get nowMs(): number {
    return this.#clock.monotonic();
  }

  /** Whether there is a cluster to consume from. */
  get isOpen(): boolean {
    return this.#options.clusters.length > 0 && !this.#closed;
  }

  /** A group that is here. @throws UNKNOWN_GROUP */
  groupOf(name: string): ConsumeGroup {
    const group = this.groups.get(name);
    if (group !== undefined) return group;
    throw new ProtocolError(ErrorCode.UNKNOWN_GROUP, `this node has nobody of group ${name}`);
  }

  /** Leases nothing more, waits for what is out, commits, and leaves all groups. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.groups.values()].map((group) => group.close()));
    this.groups.clear();
    this.#tick?.cancel();
  }

  /** Leaves a group that has no subscription. */
  async leave(group: ConsumeGroup): Promise<void> {
    if (this.groups.get(group.name) !== group) return;
    await group.close();
    if (this.groups.get(group.name) === group) this.groups.delete(group.name);
  }

  /** Partitions that this node reads, with their groups. */
  *owned(): Generator<{ partition: ConsumePartition; group: ConsumeGroup; failures: Failures }> {
    for (const [partition, home] of this.#homes) yield { partition, ...home };
  }

  #groupFor(asked: Subscribe): ConsumeGroup {
    const known = this.groups.get(asked.group);
    const mode = asked.mode ?? known?.mode ?? 'shared';
    if (known !== undefined) {
      known.checkOpen();
      if (known.mode === mode) return known;
      const isUsed = known.subs.length > 0;
      const until = isUsed ? 'while it has subscriptions' : 'until it has left: try again in 5 s';
      const words = `group ${asked.group} is ${known.mode} ${until}`;
      throw new ProtocolError(ErrorCode.GROUP_CONFLICT, words);
    }
    if (this.groups.size >= limits.groupsPerNodeMax) {
      const words = `this node serves ${limits.groupsPerNodeMax} groups, its most`;
      throw new ProtocolError(ErrorCode.TOO_MANY_GROUPS, words);
    }
    const group = new ConsumeGroup({
      name: asked.group,
      mode,
      dedupe: asked.dedupe ?? true,
      start: asked.start ?? 'beginning',
      clusters: this.#options.clusters,
      shared: this.#shared,
      dispatch: this.#dispatch,
      onStock: (from) => this.#stock(from),
      onRefused: (from) => {
        for (const sub of from.subs) this.unsubscribe(sub.receiver.id, sub.id);
      },
    });
    group.isPaused = this.#options.pauses.get(asked.group) !== undefined;
    this.groups.set(asked.group, group);
    return group;
  }

  #end(sub: Subscription, group: ConsumeGroup): void {
    group.remove(sub);
    this.#subs.remove(sub);
    if (group.subs.length === 0 && !this.#closed) this.#leaveLater(group);
  }

  /** What failed is moved before the group is left: else it would be delivered once more. */
  #leaveLater(group: ConsumeGroup): void {
    group.leaving = this.#clock.setTimer(() => {
      if (group.subs.length > 0) return;
      if (group.isMoving) this.#leaveLater(group);
      else void this.leave(group);
    }, limits.groupLingerMs);
  }

  #sharedParts(fingerprint: Buffer): ConsumeShared {
    const { clock, log, nodeId, settler, commitMs, commitAcks } = this.#options;
    return {
      clock,
      log,
      nodeId,
      fingerprint,
      settler,
      stats: this.stats,
      timers: this.#timers,
      commitMs,
      commitAcks,
      payloadBytesMax: () =>
        Math.min(
          limits.partitionPayloadBytesMax,
          Math.max(PAYLOAD_BYTES_MIN, limits.payloadBytesMax / this.#homes.size),
        ),
      noteRun: (run) => {
        this.#run = Math.max(this.#run, run);
      },
      onOpened: (window, partition, failures) => this.#opened(window, partition, failures),
      onClosed: (partition) => this.#forget(partition),
      onReturned: (slot, count) => this.#subs.settled(slot, count),
    };
  }

  #opened(window: WindowState, partition: ConsumePartition, failures: Failures): void {
    const group = [...this.groups.values()].find((one) => one.owns(partition));
    if (group === undefined) return;
    this.#partitions.set(window, partition);
    this.#homes.set(partition, { group, failures });
    this.#book.opened(partition);
    this.#stock(group);
  }

  #forget(partition: ConsumePartition): void {
    // What is out of it cannot be settled any more: it no longer uses up credit.
    for (const { slot, count } of partition.window.leasesBySlot()) this.#subs.settled(slot, count);
    this.#partitions.delete(partition.window);
    this.#homes.delete(partition);
    this.#book.closed(partition);
  }

  #acked(partition: ConsumePartition, count: number): void {
    const home = this.#homes.get(partition);
    if (home === undefined) return;
    partition.policy.acked(count);
    this.#memberOf(partition)?.committer.note(partition, count);
    this.#stock(home.group);
  }

  #memberOf(partition: ConsumePartition): ConsumeGroup['members'][number] | undefined {
    return this.#homes.get(partition)?.group.members.find((m) => m.failures.has(partition));
  }

  readonly #failed: DispatchShared['onFailed'] = (partition, cause, said) => {
    const { block, index } = partition.window;
    const home = this.#homes.get(partition);
    if (home === undefined) return;
    home.failures.fail(block, index, cause, said);
    this.#stock(home.group);
  };

  /** Looks at a group once what is being read now has been taken. */
  #stock(group: ConsumeGroup): void {
    this.#stocked.add(group);
    if (this.#deferred) return;
    this.#deferred = true;
    this.#options.defer(this.#serve);
  }

  readonly #serve = (): void => {
    this.#deferred = false;
    const groups = [...this.#stocked];
    this.#stocked.clear();
    for (const group of groups) if (group.dispatch()) this.#stock(group);
  };

  #startTicking(): void {
    this.#tick ??= this.#clock.setTimer(this.#onTick, this.#timers.isEmpty ? REST_MS : TICK_MS);
  }

  readonly #onTick = (): void => {
    this.#tick = undefined;
    const now = this.#clock.monotonic();
    this.#timers.advance(now, this.#onDue);
    for (const { failures } of this.#homes.values()) failures.tick();
    this.#book.tidy();
    if (now - this.#sweptMs >= SWEEP_MS) {
      this.#sweptMs = now;
      for (const partition of this.#homes.keys()) partition.window.sweep();
      void this.#ends.ask(this.#homes.keys());
    }
    if ((this.groups.size > 0 && !this.#closed) || this.#homes.size > 0) this.#startTicking();
  };

  readonly #onDue = (window: WindowState, block: Block): void => {
    const partition = this.#partitions.get(window);
    const home = partition === undefined ? undefined : this.#homes.get(partition);
    if (partition === undefined || home === undefined) return;
    const leases = partition.window;
    const count = leases.collect(block, this.#clock.monotonic());
    for (let i = 0; i < count; i++) {
      const index = leases.picked[i] as number;
      // One that failed before it may have taken it back.
      if (block.stateOf(index) !== messageState.leased) continue;
      this.stats.expired++;
      home.failures.fail(block, index, 'expiry');
    }
    this.#stock(home.group);
  };
}
