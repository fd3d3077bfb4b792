import { DELAY_ID_BYTES } from '../../protocol/src/delay-id.ts';
import type {
  ConsumerBackend,
  FetchedRecords,
  GroupMember,
  TopicPartition,
} from '../backend/consumer-port.ts';
import type { Publisher, PublishRecord } from '../backend/publisher-port.ts';
import { type Clock, sleep, type Timer } from '../base/clock.ts';
import { coded, messageOf } from '../base/errors.ts';
import type { Logger } from '../base/log.ts';
import type { DelayIndex } from './delay-index.ts';
import { DelayOwners } from './delay-owners.ts';
import { delayRecord, dueOf, movedTarget, readDelayRecord, tombstone } from './delay-record.ts';
import { DelayStats } from './delay-stats.ts';
import { delayGroup, delayTopic } from './delay-topic.ts';
import { DelayWrites } from './delay-writes.ts';
import { DueLoop } from './due-loop.ts';
import { isAlone, LogApplier, type LogEffect, partsOf } from './log-applier.ts';
import { PendingCount } from './pending-count.ts';
import { isSeriesId } from './series-record.ts';

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
}

const CREDIT_BYTES = 2 * 1024 * 1024;
const RESTATE_AGAIN_MS = 1_000;
const NUDGE_MS = 3_000;
/** Partitions that were read wait so long for those that are still being read, in ms. */
const GATHER_MS = 1_000;
/** Records that are applied without a pause. */
const APPLY_MAX = 1_000;
/** About how long an index that failed takes to be opened again. */
const RETRY_AFTER_MS = 2_000;

type RestateEffect = Extract<LogEffect, { kind: 'restate' }>;

/** Waits for what a cluster is asked, not longer than it may take. */
export type InTime = <T>(asked: Promise<T>) => Promise<T>;

/** A partition that is ours. */
interface Own {
  /** Nothing of it fires before everything up to here was applied. */
  endOffset: number;
  applied: number;
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
  readonly #own = new Map<number, Own>();
  #member: GroupMember | undefined;
  #work: Promise<void> = Promise.resolve();
  #isAssigned = false;
  #gathering: Timer | undefined;
  #closed = false;
  #failed = false;
  #waiters: { partition: number; offset: number; resolve: () => void }[] = [];

  constructor(parts: DelayClusterParts) {
    this.#parts = parts;
    const { index, publisher, clock, log, stats = new DelayStats() } = parts;
    this.stats = stats;
    this.index = index;
    index.onFailed = (error) => this.#fail(error);
    this.writes = new DelayWrites(publisher);
    const { consumers } = parts;
    this.owners = new DelayOwners({ consumers, clock, group: delayGroup, topic: delayTopic });
    const work = (task: () => Promise<void>): Promise<void> => this.work(task);
    this.#count = new PendingCount({ index, clock, work });
    this.#applier = new LogApplier(index, this.#count);
    this.loop = new DueLoop({
      topic: delayTopic,
      index,
      publisher,
      clock,
      log,
      stats,
      work: (task) => void work(task),
      isReady: (partition) => this.isReady(partition),
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
    let ready = 0;
    for (const own of this.#own.values()) if (own.ready) ready++;
    return { own: this.#own.size, ready };
  }

  /** Joins the others; what is this node's is read, applied and fired from now on. */
  start(): void {
    this.#member = this.#parts.consumers.join({
      group: delayGroup,
      topics: [delayTopic],
      clientId: this.#parts.clientId,
      onAssigned: (partitions) => void this.work(() => this.#assigned(partitions)),
      onRevoking: (partitions, done) => {
        this.#revoke(partitions);
        void this.work(async () => {}).then(done);
      },
      onLost: (partitions) => {
        // Nobody said who has them now: it may be that the cluster is away.
        this.#isAssigned = false;
        this.#revoke(partitions);
      },
      onRecords: (batch) => void this.work(() => this.#apply(batch)),
      onError: (error, place) => {
        const { code, message } = error;
        this.#parts.log.warn({ code, message, place }, 'reading the delay log');
      },
    });
  }

  isReady(partition: number): boolean {
    return this.#own.get(partition)?.ready === true;
  }

  isOwn(partition: number): boolean {
    return this.#own.has(partition);
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
    if (this.#isAssigned && !this.#failed) return;
    const words = this.#failed
      ? 'the index of delayed messages failed, and is opened again'
      : 'the cluster has not told this node its partitions of the delay log';
    throw coded('RETRY_LATER', words, this.#failed ? { retryAfterMs: RETRY_AFTER_MS } : {});
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
    return new Promise((resolve) => {
      this.#waiters.push({ partition, offset, resolve });
    });
  }

  /** Resolves when what is in the log now was applied. */
  async caughtUp(partition: number, inTime: InTime): Promise<void> {
    const offsets = await inTime(this.#parts.consumers.offsets(delayTopic));
    const end = offsets.find((p) => p.partition === partition)?.endOffset ?? 0;
    await this.untilApplied(partition, end);
  }

  /** Nothing is in this partition of the log, whosever it is. @throws BACKEND_UNAVAILABLE */
  async isEmpty(partition: number): Promise<boolean> {
    const span = (await this.#parts.consumers.offsets(delayTopic))[partition];
    return span !== undefined && span.startOffset === span.endOffset;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.loop.close();
    await this.#member?.close();
    await this.#work;
    for (const { resolve } of this.#waiters.splice(0)) resolve();
    await this.index.close();
  }

  #fail(error: unknown): void {
    if (this.#failed || this.#closed) return;
    this.#failed = true;
    this.#parts.onFailed(error);
  }

  async #assigned(partitions: readonly TopicPartition[]): Promise<void> {
    if (partitions.length === 0) this.#isAssigned = true;
    if (partitions.length === 0 || this.#closed) return;
    const offsets = await this.#offsets();
    for (const { partition } of partitions) {
      const span = offsets.find((p) => p.partition === partition);
      const endOffset = span?.endOffset ?? 0;
      const startOffset = span?.startOffset ?? 0;
      let applied = await this.#applier.begin(partition);
      if (applied > endOffset) {
        this.#parts.log.error({ partition, applied, endOffset }, 'the delay log is another one');
        await this.index.forget(partition);
        applied = await this.#applier.begin(partition);
      }
      if (applied < startOffset) applied = startOffset;
      if (applied === startOffset && endOffset > startOffset) this.stats.replays++;
      const own: Own = { endOffset, applied, ready: false };
      this.#own.set(partition, own);
      this.#member?.start(delayTopic, partition, applied);
      this.#member?.want(delayTopic, partition, CREDIT_BYTES);
      if (!isRead(own)) this.#nudgeLater(partition, applied);
    }
    this.#readySoon();
    this.#isAssigned = true;
  }

  /**
   * What the cleaner took from the end of the log is never read, so that the end would never be
   * reached. Then a tombstone that ends nothing is written: the end is behind it.
   */
  #nudgeLater(partition: number, before: number): void {
    this.#parts.clock.setTimer(() => {
      const own = this.#own.get(partition);
      if (own === undefined || isRead(own) || this.#closed) return;
      if (own.applied === before) {
        const id = Buffer.alloc(DELAY_ID_BYTES);
        id[1] = partition;
        this.writes.write(tombstone(delayTopic, id)).catch((error: unknown) => {
          this.#parts.log.warn({ partition, message: messageOf(error) }, 'the end is not reached');
        });
      }
      this.#nudgeLater(partition, own.applied);
    }, NUDGE_MS);
  }

  async #offsets() {
    for (;;) {
      try {
        return await this.#parts.consumers.offsets(delayTopic);
      } catch (error) {
        if (this.#closed) return [];
        this.#parts.log.warn({ message: messageOf(error) }, 'the delay log cannot be asked');
        await sleep(this.#parts.clock, RESTATE_AGAIN_MS);
      }
    }
  }

  #revoke(partitions: readonly TopicPartition[]): void {
    for (const { partition } of partitions) {
      this.#own.delete(partition);
      this.#applier.end(partition);
    }
    this.loop.window.dropIdle(({ id }) => !this.#own.has(id[1] as number));
    this.#wakeWaiters();
  }

  async #apply(batch: FetchedRecords): Promise<void> {
    // What is due meanwhile does not wait for the whole of a long one.
    for (const part of partsOf(batch, APPLY_MAX)) await this.#applyPart(part);
    if (this.isOwn(batch.partition)) {
      this.#member?.want(delayTopic, batch.partition, batch.records.length);
    }
  }

  async #applyPart(part: FetchedRecords): Promise<void> {
    const own = this.#own.get(part.partition);
    if (own === undefined || part.nextOffset <= own.applied) return;
    const { effects, foreign } = await this.#applier.apply(part);
    this.stats.applied += part.count;
    this.stats.foreign += foreign;
    own.applied = part.nextOffset;
    if (!own.ready) this.#readySoon();
    for (const effect of effects) this.#effect(effect, own);
    this.#wakeWaiters();
  }

  #effect(effect: LogEffect, own: Own): void {
    const { loop } = this;
    if (effect.kind === 'restate') {
      this.#restate(effect).catch((error: unknown) => this.#fail(error));
      return;
    }
    if (effect.kind === 'ended') {
      const entry = loop.window.find(effect.id);
      const { endsOffset } = effect;
      const isIt = endsOffset === undefined || entry?.offset === endsOffset;
      if (entry !== undefined && isIt) loop.window.drop(entry);
      return;
    }
    const { record, dueMs } = effect;
    this.stats.scheduled++;
    const entry = loop.window.find(record.id);
    if (entry !== undefined) {
      // The same message again, by a resend after a crash: the first goes on.
      const isOnItsWay = entry.state !== 'waiting' && entry.state !== 'held';
      if (isOnItsWay && entry.dueMs === dueMs && isAlone(record.id)) return;
      loop.window.drop(entry);
    }
    if (!own.ready || record.target === undefined || !loop.isNear(dueMs, record.id)) return;
    const { id, offset, bytes, target } = record;
    loop.add({ id, offset, bytes, target }, dueMs);
  }

  /** Writes what stands again, so that it is the newest of its key. */
  async #restate(effect: RestateEffect): Promise<void> {
    while (!this.#closed) {
      const again = await this.#restated(effect);
      if (again === undefined) break;
      try {
        const { partition, offset } = await this.writes.write(again);
        await this.untilApplied(partition, offset + 1);
        break;
      } catch (error) {
        this.#parts.log.warn({ message: messageOf(error) }, 'a delayed message is written again');
        await sleep(this.#parts.clock, RESTATE_AGAIN_MS);
      }
    }
    this.#applier.restated(effect.id);
  }

  async #restated({ id, upTo, over }: RestateEffect): Promise<PublishRecord | undefined> {
    const place = await this.index.find(id);
    if (place === undefined) return over && tombstone(delayTopic, id, over);
    const bytes = await this.index.record(id, place.dueMs);
    const record = bytes === undefined ? undefined : readDelayRecord(bytes);
    if (record?.target === undefined) return undefined;
    // It may be replaced or end meanwhile, and must not come back.
    const target = isSeriesId(id)
      ? record.target
      : movedTarget(record.target, dueOf(record.target));
    const ends = { offset: Math.max(place.offset, upTo), dueMs: place.dueMs };
    return delayRecord(delayTopic, record, target, ends);
  }

  /**
   * Partitions are read one after the other; they are loaded together, so that what is overdue
   * fires in the order of its due times. One that takes long to be read holds back no other.
   */
  #readySoon(): void {
    const own = [...this.#own.values()];
    const isWhole = own.every(isRead);
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

  #wakeWaiters(): void {
    if (this.#waiters.length === 0) return;
    this.#waiters = this.#waiters.filter(({ partition, offset, resolve }) => {
      const own = this.#own.get(partition);
      if (own !== undefined && own.applied < offset) return true;
      resolve();
      return false;
    });
  }
}

/** What was in the log when the partition became ours was applied. */
function isRead({ applied, endOffset }: Own): boolean {
  return applied >= endOffset;
}
