import type {
  ConsumerBackend,
  FetchedRecords,
  GroupMember,
  TopicPartition,
} from '../backend/consumer-port.ts';
import type { PartitionOffsets } from '../backend/port.ts';
import type { Publisher } from '../backend/publisher-port.ts';
import type { Clock, Timer } from '../base/clock.ts';
import { coded } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import { Seldom } from '../base/seldom.ts';
import { AppliedWaiters } from './applied-waiters.ts';
import type { DelayIndex } from './delay-index.ts';
import { DelayOwners } from './delay-owners.ts';
import { DelayStats } from './delay-stats.ts';
import { delayGroup, delayReading, delayTopic } from './delay-topic.ts';
import { DelayWrites } from './delay-writes.ts';
import { DueLoop, type DueLoopParts } from './due-loop.ts';
import { hasFired, isTooLate } from './due-window.ts';
import { type Applied, isAlone, LogApplier, type LogEffect } from './log-applier.ts';
import { LogEnds } from './log-ends.ts';
import { type AppliedPartition, LogIntake } from './log-intake.ts';
import { PendingCount } from './pending-count.ts';
import { Restating } from './restating.ts';

/** What a {@link DelayCluster} is made of. */
export interface DelayClusterParts {
  readonly consumers: ConsumerBackend;
  readonly publisher: Publisher;
  readonly index: DelayIndex;
  readonly clock: Clock;
  readonly log: Logger;
  /** The node's id. */
  readonly clientId: string;
  /** Its index failed: nothing is applied or fired any more. Told once. */
  onFailed(error: unknown): void;
  /** Those of the one before it, whose index failed: counts go on. */
  readonly stats?: DelayStats;
  /** What its loop has other than by default. */
  readonly loop?: Pick<DueLoopParts, 'near' | 'endsTurnMs'>;
}

const SAY_MS = 10_000;
/** Partitions that were read wait so long for those that are still being read, in ms. */
const GATHER_MS = 1_000;
/** What is this node's is noted as heard of so often, in ms. */
const HEARD_EVERY_MS = 3_600_000;
/**
 * An index that heard nothing for so long begins anew, in ms: what ended meanwhile may be gone from
 * the log after its `delete.retention.ms` of a day.
 */
const STALE_MS = 12 * 3_600_000;
/** About how long an index that failed takes to be opened again. */
const RETRY_AFTER_MS = 2_000;

/** Waits for what a cluster is asked, not longer than it may take. */
export type InTime = <T>(asked: Promise<T>) => Promise<T>;

/** A partition that is ours. */
interface Own extends AppliedPartition {
  /** Nothing of it fires before everything up to here was applied. */
  endOffset: number;
  /** It fires, and commands are answered. */
  ready: boolean;
}

/** The delayed messages of one cluster: its log is applied to the index, and what is due fires. */
export class DelayCluster {
  readonly stats: DelayStats;
  readonly index: DelayIndex;
  readonly writes: DelayWrites;
  readonly loop: DueLoop;
  readonly owners: DelayOwners;
  readonly #parts: DelayClusterParts;
  readonly #count: PendingCount;
  readonly #applier: LogApplier;
  readonly #restating: Restating;
  readonly #intake: LogIntake<Own>;
  readonly #ends: LogEnds;
  readonly #own = new Map<number, Own>();
  /** Partitions as the group gave them last, by which assignment. */
  readonly #given = new Map<number, object>();
  #hearing: Timer | undefined;
  #member: GroupMember | undefined;
  #work: Promise<void> = Promise.resolve();
  #isTold = false;
  #gathering: Timer | undefined;
  #closed = false;
  #failed = false;
  readonly #waiters = new AppliedWaiters();

  constructor(parts: DelayClusterParts) {
    this.#parts = parts;
    const { consumers, index, publisher, clock, log, stats = new DelayStats() } = parts;
    this.stats = stats;
    this.index = index;
    index.onFailed = (error) => this.#fail(error);
    this.writes = new DelayWrites(publisher);
    this.#ends = new LogEnds({ consumers, writes: this.writes, clock, log });
    this.owners = new DelayOwners({ consumers, clock, group: delayGroup, topic: delayTopic });
    const work = (task: () => Promise<void>): Promise<void> => this.work(task);
    this.#count = new PendingCount({ index, clock, work });
    const known = (name: string) => this.loop.window.placeOf(name);
    this.#applier = new LogApplier({ index, count: this.#count, clock, known });
    this.#restating = new Restating({
      index,
      clock,
      log,
      isOwn: (id) => !this.#closed && this.isOwn(id[1] as number),
      isFiring: (id) => isTooLate(this.loop.window.find(id)),
      write: (record) => this.writes.write(record),
      untilApplied: (partition, offset) => this.untilApplied(partition, offset),
      caughtUp: (partition) => this.caughtUp(partition, (asked) => asked),
      onDone: (id) => this.#applier.restated(id),
    });
    this.#intake = new LogIntake<Own>({
      applier: this.#applier,
      work,
      own: (partition) => this.#own.get(partition),
      onApplied: (own, part, applied) => this.#applied(own, part, applied),
      want: (partition, bytes) => {
        if (this.isOwn(partition)) this.#member?.want(delayTopic, partition, bytes);
      },
    });
    this.loop = new DueLoop({
      topic: delayTopic,
      index,
      publisher,
      clock,
      log,
      stats,
      work: (task) => void work(task),
      isReady: (partition) => this.isReady(partition),
      isGiven: (partition) => this.isGiven(partition),
      isStray: (id, dueMs) => this.#applier.isStray(id, dueMs),
      ...parts.loop,
    });
  }

  get nodeId(): string {
    return this.#parts.clientId;
  }

  /** Messages that wait in this node's partitions. */
  get pending(): number {
    return this.#count.total;
  }

  /** Partitions of this node, and how many of them are applied up to where they began. */
  get partitions(): { own: number; ready: number } {
    const ready = [...this.#own.values()].filter((own) => own.ready).length;
    return { own: this.#given.size, ready };
  }

  /** Joins the others; what is this node's is read, applied and fired from now on. */
  start(): void {
    const seldom = new Seldom(this.#parts.clock, SAY_MS);
    this.#member = this.#parts.consumers.join({
      group: delayGroup,
      topics: [delayTopic],
      clientId: this.#parts.clientId,
      aheadBytesMax: delayReading.aheadBytesMax,
      onAssigned: (partitions) => {
        this.#isTold = true;
        for (const { partition } of partitions) this.#takeOver(partition);
      },
      onRevoking: (partitions, done) => {
        this.#revoke(partitions);
        const flushed = this.loop.flush(partitions.map(({ partition }) => partition));
        void flushed.then(() => this.work(async () => {})).then(done);
      },
      onLost: (partitions) => {
        // Nobody said who has them now: it may be that the cluster is away.
        this.#isTold = false;
        this.#revoke(partitions);
      },
      onRecords: (batch) => this.#intake.receive(batch),
      onError: ({ code, message }, place) => {
        const what = { code, message, place };
        if (seldom.isDue(code)) this.#parts.log.warn(what, 'reading the delay log');
      },
    });
    this.#hearLater();
  }

  isReady(partition: number): boolean {
    return this.#own.get(partition)?.ready === true;
  }

  /** Changes with all that changes where a partition's messages stand in the index. */
  appliedUpTo(partition: number): number | undefined {
    return this.#own.get(partition)?.applied;
  }

  isOwn(partition: number): boolean {
    return this.#own.has(partition);
  }

  /** Another object each time that a partition becomes this node's; undefined while it is not. */
  ownOf(partition: number): object | undefined {
    return this.#own.get(partition);
  }

  /** The group gave it to this node, whether it is known by now where it lies or not. */
  isGiven(partition: number): boolean {
    return this.#given.has(partition);
  }

  /** Its index failed: it is closed by whoever was told. */
  get hasFailed(): boolean {
    return this.#failed;
  }

  /**
   * @throws RETRY_LATER once its index failed: what it has is not what waits; and until this node
   * was told its partitions, at first or after it lost them: whose they are is not known
   */
  mustStand(): void {
    if (this.#isTold && !this.#failed) return;
    const words = this.#failed
      ? 'the index of delayed messages failed, and is opened again'
      : 'the cluster has not told this node its partitions of the delay log';
    throw coded('RETRY_LATER', words, this.#failed ? { retryAfterMs: RETRY_AFTER_MS } : {});
  }

  /**
   * For what is asked of all that is this node's.
   * @throws RETRY_LATER as mustStand, and while it is not known where one of its partitions lies
   */
  mustBeWhole(): void {
    this.mustStand();
    if (this.#own.size === this.#given.size) return;
    throw coded('RETRY_LATER', 'a partition of the delay log is not told of by its cluster');
  }

  /**
   * Runs a task after all before it. One that throws is the last: what comes after it in the log
   * must not be applied over the gap.
   */
  work(task: () => Promise<void>): Promise<void> {
    this.#work = this.#work
      .then(() => (this.#failed ? undefined : task()))
      .catch((error: unknown) => this.#fail(error));
    return this.#work;
  }

  /** Resolves when the partition is applied up to before `offset`, or is not ours any more. */
  untilApplied(partition: number, offset: number): Promise<void> {
    const own = this.#own.get(partition);
    if (own === undefined || own.applied >= offset || this.#closed) return Promise.resolve();
    return this.#waiters.wait(partition, offset);
  }

  /** Resolves when what is in the log now was applied. */
  async caughtUp(partition: number, inTime: InTime): Promise<void> {
    const place = { topic: delayTopic, partition };
    const { endOffset } = await inTime(this.#parts.consumers.span(place));
    await this.untilApplied(partition, endOffset);
  }

  /** Nothing is in this partition of the log, whosever it is. @throws BACKEND_UNAVAILABLE */
  async isEmpty(partition: number): Promise<boolean> {
    const span = await this.#parts.consumers.span({ topic: delayTopic, partition });
    return span.startOffset === span.endOffset;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#hearing?.cancel();
    await this.loop.close();
    await this.#member?.close();
    this.#intake.stop();
    await this.#work;
    for (const partition of this.#own.keys()) this.#waiters.gaveUp(partition);
    await this.index.close();
  }

  #fail(error: unknown): void {
    if (this.#failed || this.#closed) return;
    this.#failed = true;
    this.#parts.onFailed(error);
  }

  /** It is ours from when it is known where it lies, and read from where the index ends. */
  #takeOver(partition: number): void {
    const mark = {};
    this.#given.set(partition, mark);
    // Taken away meanwhile it is another's, whose word on it nobody here would hear.
    const isGiven = () => this.#given.get(partition) === mark && !this.#closed;
    this.#ends.ask(partition, isGiven, (span) => {
      void this.work(() => this.#begin(span, isGiven));
    });
  }

  async #begin(span: PartitionOffsets, isGiven: () => boolean): Promise<void> {
    const { partition, startOffset, endOffset } = span;
    if (!isGiven()) return;
    let applied = await this.#indexed(partition, endOffset);
    if (!isGiven()) {
      this.#applier.end(partition);
      return;
    }
    if (applied < startOffset) applied = startOffset;
    if (applied === startOffset && endOffset > startOffset) this.stats.replays++;
    const own: Own = { endOffset, applied, ready: false };
    this.#own.set(partition, own);
    this.#member?.start(delayTopic, partition, applied);
    this.#member?.want(delayTopic, partition, delayReading.creditBytes);
    const isOver = () => isRead(own) || this.#own.get(partition) !== own || this.#closed;
    this.#ends.reach({ partition, applied: () => (isOver() ? undefined : own.applied) });
    this.#readySoon();
  }

  /** How far the index has it; one that cannot know what ended meanwhile begins anew. */
  async #indexed(partition: number, endOffset: number): Promise<number> {
    const { clock, log } = this.#parts;
    const { applied, heardMs } = await this.#applier.begin(partition);
    const isStale = applied > 0 && heardMs !== undefined && clock.now() - heardMs > STALE_MS;
    if (applied <= endOffset && !isStale) return applied;
    if (isStale)
      log.warn({ partition, heardMs }, 'the index of a partition is old, and begins anew');
    else log.error({ partition, applied, endOffset }, 'the delay log is another one');
    await this.index.forget(partition);
    this.loop.window.doubt(({ id }) => id[1] === partition);
    return (await this.#applier.begin(partition)).applied;
  }

  /** Notes that nothing was missed, also where nothing comes. */
  #hearLater(): void {
    this.#hearing = this.#parts.clock.setTimer(() => {
      void this.work(async () => {
        for (const [partition, own] of this.#own) {
          if (own.ready) await this.#applier.heard(partition, own.applied);
        }
      });
      this.#hearLater();
    }, HEARD_EVERY_MS);
  }

  #revoke(partitions: readonly TopicPartition[]): void {
    for (const { partition } of partitions) {
      this.#own.delete(partition);
      this.#given.delete(partition);
      this.#applier.end(partition);
      this.#waiters.gaveUp(partition);
    }
    this.loop.window.dropIdle(({ id }) => !this.#own.has(id[1] as number));
  }

  #applied(own: Own, part: FetchedRecords, { effects, foreign }: Applied): void {
    this.stats.applied += part.count;
    this.stats.foreign += foreign;
    if (!own.ready) this.#readySoon();
    for (const effect of effects) this.#effect(effect, own);
    this.#waiters.applied(part.partition, own.applied);
  }

  #effect(effect: LogEffect, own: Own): void {
    if (effect.kind === 'restate') {
      this.#restating.restate(effect).catch((error: unknown) => this.#fail(error));
      return;
    }
    if (effect.kind === 'ended') {
      this.loop.ended(effect.name, effect.endsOffset);
      return;
    }
    const { record, dueMs } = effect;
    // A copy of what fired, whose end is not applied yet: another follows, and both count it out.
    const isEndedAgain = isAlone(record.id) && hasFired(this.loop.window.named(record.name));
    if (isEndedAgain) this.#count.doubt(record.id[1] as number);
    this.loop.scheduled(record, dueMs, own.ready);
  }

  /**
   * Partitions are read one after the other; they are loaded together, so that what is overdue
   * fires in the order of its due times. One that takes long to be read holds back no other.
   */
  #readySoon(): void {
    const own = [...this.#own.values()];
    const isWhole = own.length === this.#given.size && own.every(isRead);
    if (!own.some((one) => isRead(one) && !one.ready)) return;
    if (this.#gathering !== undefined && !isWhole) return;
    this.#gathering?.cancel();
    this.#gathering = this.#parts.clock.setTimer(
      () => {
        this.#gathering = undefined;
        if (this.#closed) return;
        for (const one of this.#own.values()) one.ready ||= isRead(one);
        this.loop.reload();
      },
      isWhole ? 0 : GATHER_MS,
    );
  }
}

/** What was in the log when the partition became ours was applied. */
function isRead({ applied, endOffset }: Own): boolean {
  return applied >= endOffset;
}
