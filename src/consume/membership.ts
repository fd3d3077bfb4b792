import type {
  ConsumerBackend,
  FetchedRecords,
  GroupMember,
  Place,
  TopicPartition,
} from '../backend/consumer-port.ts';
import { sleep } from '../base/clock.ts';
import { type CodedError, codeOf, messageOf } from '../base/errors.ts';
import { limits } from '../base/limits.ts';
import { Seldom } from '../base/seldom.ts';
import type { DedupeWindow, NotedRecords } from './copies/dedupe.ts';
import { IdReader } from './copies/id-reader.ts';
import { handOver } from './hand-over.ts';
import type { Block } from './lease/block.ts';
import { LeaseWindow } from './lease/lease-window.ts';
import type { ConsumeMode } from './lease/settle.ts';
import { Committer } from './partition/committer.ts';
import type { ConsumeShared } from './partition/consume-shared.ts';
import { Failures } from './partition/failures.ts';
import { Fetching } from './partition/fetching.ts';
import { GapReader } from './partition/gap-reader.ts';
import { inherit } from './partition/inherit.ts';
import { Losses } from './partition/losses.ts';
import type { MapStore } from './partition/map-store.ts';
import { Overtaken } from './partition/overtaken.ts';
import { ConsumePartition } from './partition/partition.ts';
import { PartitionStart, type Started } from './partition/partition-start.ts';
import { isRetryTopic, retriesOf } from './retry/retry-record.ts';

/** Between two tries to take partitions over, or to read payload again, in ms. */
const RETRY_MS = 500;
/** Between two warnings of the same thing with the same code, in ms. */
const SAY_MS = 10_000;

/** What a {@link Membership} asks of its group. */
export interface MembershipOptions {
  readonly group: string;
  readonly mode: ConsumeMode;
  readonly backend: ConsumerBackend;
  readonly maps: MapStore;
  readonly shared: ConsumeShared;
  start(): Place;
  dedupe(topic: string, partition: number): DedupeWindow | undefined;
  /** What was seen of a partition says nothing about what is in it now. */
  forgetIds(topic: string, partition: number): void;
  /** Partitions came or went. */
  onPartitions(): void;
  /** There is something to give out, or room to fetch more. */
  onStock(): void;
  /** A message of the topic was put off, and comes again from the group's retry topic. */
  onPutOff(topic: string): void;
  /** This node may not serve the group, for good. */
  onRefused(message: string): void;
}

/** A node's membership of a group on one cluster, and the partitions it brings. */
export class Membership {
  readonly backend: ConsumerBackend;
  readonly committer: Committer;
  readonly partitions = new Map<string, ConsumePartition>();
  readonly failures = new Map<ConsumePartition, Failures>();
  readonly gaps: GapReader;
  readonly #options: MembershipOptions;
  readonly #ids: IdReader;
  readonly #overtaken: Overtaken;
  readonly #member: GroupMember;
  readonly #start: PartitionStart;
  readonly #fetching: Fetching;
  /** Partitions that are being taken over: only who finds his own mark goes on. */
  readonly #opening = new Map<string, object>();
  #drop = new Uint8Array(1024);
  readonly #seldom: Seldom;
  #closed = false;

  constructor(options: MembershipOptions, topics: readonly string[]) {
    const { shared, backend, group } = options;
    this.#options = options;
    this.backend = backend;
    const losses = new Losses(group, shared);
    this.gaps = new GapReader(backend, losses);
    this.#overtaken = new Overtaken({
      clock: shared.clock,
      backend,
      losses,
      partitionOf: ({ topic, partition }) => this.partitions.get(keyOf(topic, partition)),
      forgetIds: options.forgetIds,
      reset: (topic, partition, offset) => this.reset(topic, partition, offset),
      goOn: (partition) => this.#goOn(partition),
      onError: (error) => this.#say(error, 'no new position yet'),
    });
    this.#seldom = new Seldom(shared.clock, SAY_MS);
    this.#ids = new IdReader(backend, shared.clock);
    this.#member = backend.join({
      group,
      topics,
      clientId: shared.nodeId,
      onAssigned: (partitions) => void this.#assigned(partitions),
      onRevoking: (partitions, done) => void this.#revoking(partitions, done),
      onLost: (partitions) => {
        shared.stats.rebalances++;
        this.#lost(partitions);
      },
      onRecords: (batch) => this.#records(batch),
      onError: (error, place) => this.#failed(error, place),
    });
    this.#start = new PartitionStart({ ...options, member: this.#member });
    this.#fetching = new Fetching({
      member: this.#member,
      clock: shared.clock,
      payloadBytesMax: () => shared.payloadBytesMax(),
    });
    this.committer = new Committer({
      clock: shared.clock,
      member: this.#member,
      stats: shared.stats,
      commitMs: shared.commitMs,
      commitAcks: shared.commitAcks,
      partitions: () => this.partitions.values(),
      encode: (partition) => this.#start.encode(partition, this.failures.get(partition)),
      onCommitted: (partition) => options.maps.committed(group, partition),
      onFault: (partition) => this.#sayFault(partition),
    });
  }

  /** Whether a partition was taken over. */
  reads(topic: string, partition: number): boolean {
    return this.partitions.has(keyOf(topic, partition));
  }

  setTopics(topics: readonly string[]): void {
    this.#member.setTopics(topics);
  }

  /** Asks for more where there is room and for missing payload; commits what none has acked. */
  refill(): void {
    for (const partition of this.partitions.values()) {
      if (partition.isLeaving) continue;
      if (partition.isDirty) this.committer.note(partition, 0);
      this.#fetching.want(partition);
      const block = partition.window.missing();
      if (block !== undefined) void this.#fill(partition, block);
    }
  }

  async #fill(partition: ConsumePartition, block: Block): Promise<void> {
    block.asked = true;
    const isThere = await this.gaps.fill(partition, block).catch((error: unknown) => {
      this.#say(error, 'payload could not be read again');
      return false;
    });
    if (!isThere) await sleep(this.#options.shared.clock, RETRY_MS);
    block.asked = false;
    this.#options.onStock();
  }

  /** One that does not go begins anew at an offset, with an empty map. Its leases are lost. */
  async reset(topic: string, partition: number, offset: number): Promise<boolean> {
    const old = this.partitions.get(keyOf(topic, partition));
    if (old === undefined || old.isLeaving) return false;
    this.#close(old);
    this.#open({ ...this.#start.fresh({ topic, partition }, offset), epoch: old.epoch + 1 });
    const opened = this.partitions.get(keyOf(topic, partition));
    if (opened !== undefined) await this.committer.flush([opened]);
    this.#options.onPartitions();
    return true;
  }

  /** Leases nothing more, waits for what is out, commits, and leaves the group. */
  async close(): Promise<void> {
    await this.#member.close();
    this.#closed = true;
    this.committer.close();
    this.#lost([...this.partitions.values()]);
  }

  async #assigned(list: readonly TopicPartition[]): Promise<void> {
    const { shared, onPartitions } = this.#options;
    shared.stats.rebalances++;
    const mark = {};
    for (const { topic, partition } of list) this.#opening.set(keyOf(topic, partition), mark);
    for (;;) {
      const ours = list.filter((p) => this.#opening.get(keyOf(p.topic, p.partition)) === mark);
      if (ours.length === 0 || this.#closed) return onPartitions();
      try {
        const { started, failure } = await this.#start.begin(ours);
        for (const one of started) {
          const key = keyOf(one.topic, one.partition);
          if (this.#opening.get(key) !== mark) continue;
          this.#opening.delete(key);
          this.#open(one);
        }
        if (failure === undefined) return;
        throw failure;
      } catch (error) {
        this.#say(error, 'partitions could not be taken over');
        if (codeOf(error) === 'ROLE_REFUSED') return this.#options.onRefused(messageOf(error));
      } finally {
        onPartitions();
      }
      await sleep(shared.clock, RETRY_MS);
    }
  }

  #open(started: Started): void {
    const { shared, mode, group } = this.#options;
    const { topic, partition: number, floor } = started;
    const { timers, clock } = shared;
    const window = new LeaseWindow({ mode, floor, heldMax: limits.heldPerKeyMax, timers });
    started.load(window.merger);
    const nowMs = clock.monotonic();
    const policy = shared.settler.policyOf(group, topic);
    for (const { run } of started.leases) shared.noteRun(run);
    const partition = new ConsumePartition({
      cluster: this.backend.cluster,
      topic,
      partition: number,
      window,
      policy,
      owner: this.#start.ownerOf(topic),
      epoch: started.epoch,
    });
    partition.inherit(started);
    partition.floorSinceMs = nowMs;
    const failures = new Failures(partition, {
      clock,
      group,
      onReturned: shared.onReturned,
      read: (from, offset) => this.gaps.record(from, offset),
      onChanged: (changed) => {
        this.committer.note(changed, 0);
        this.#options.onStock();
      },
      onPutOff: () => this.#options.onPutOff(topic),
      onUnread: (error) => this.#say(error, 'a message that is to be moved could not be read'),
    });
    inherit(started.leases, { window, failures, attemptsMax: policy.attemptsMax, nowMs });
    this.partitions.set(keyOf(topic, number), partition);
    this.failures.set(partition, failures);
    shared.onOpened(window, partition, failures);
    window.jump(window.merger.nextOpen(floor));
    // A group that begins somewhere, or was set back, has seen nothing that counts.
    const ids = started.before === undefined ? undefined : this.#options.dedupe(topic, number);
    if (ids === undefined) this.#fetching.begin(partition);
    else {
      const ofRetries = (part: NotedRecords) => retriesOf(part, group).attempts;
      const attemptsOf = isRetryTopic(topic, group) ? ofRetries : undefined;
      void this.#ids
        .before(partition, floor, ids, { attemptsOf })
        .then(() => this.#fetching.begin(partition));
    }
  }

  /** Drains, commits floor, map and open leases, and lets go. */
  async #revoking(list: readonly TopicPartition[], done: () => void): Promise<void> {
    const { clock, stats } = this.#options.shared;
    stats.rebalances++;
    for (const { topic, partition } of list) this.#opening.delete(keyOf(topic, partition));
    const leaving = this.#own(list);
    for (const partition of leaving) partition.isLeaving = true;
    this.#options.onPartitions();
    await handOver({
      clock,
      committer: this.committer,
      leaving,
      movingOf: (partition) => this.failures.get(partition)?.moving ?? 0,
      onError: (error) => this.#say(error, 'the last commit of partitions that go failed'),
    });
    for (const partition of leaving) this.#close(partition);
    this.#options.onPartitions();
    done();
  }

  #lost(list: readonly TopicPartition[]): void {
    for (const { topic, partition } of list) this.#opening.delete(keyOf(topic, partition));
    for (const partition of this.#own(list)) this.#close(partition);
    this.#options.onPartitions();
  }

  #own(list: readonly TopicPartition[]): ConsumePartition[] {
    return list.flatMap(({ topic, partition }) => {
      const own = this.partitions.get(keyOf(topic, partition));
      return own === undefined ? [] : [own];
    });
  }

  #close(partition: ConsumePartition): void {
    if (partition.isClosed) return;
    partition.isClosed = true;
    partition.isLeaving = true;
    const key = keyOf(partition.topic, partition.partition);
    if (this.partitions.get(key) === partition) this.partitions.delete(key);
    this.failures.delete(partition);
    this.committer.forget(partition);
    this.#options.shared.onClosed(partition);
    partition.window.close();
  }

  #records(batch: FetchedRecords): void {
    const partition = this.partitions.get(keyOf(batch.topic, batch.partition));
    if (partition === undefined || partition.isLeaving) {
      batch.release?.();
      return;
    }
    const { shared, dedupe, onStock, group } = this.#options;
    const { window } = partition;
    const isRetry = isRetryTopic(batch.topic, group);
    const retries = isRetry ? retriesOf(batch, group) : undefined;
    this.#fetching.came(partition, batch);
    const ids = dedupe(batch.topic, batch.partition);
    if (ids === undefined && retries === undefined) window.take(batch);
    else {
      if (this.#drop.length < batch.count) this.#drop = new Uint8Array(batch.count * 2);
      this.#drop.fill(0, 0, batch.count);
      const copies = ids?.note(batch, partition.cluster, this.#drop, retries?.attempts) ?? 0;
      shared.stats.duplicates += copies;
      if (retries !== undefined) this.#dropOld(partition, retries.writtenMs);
      window.take(batch, this.#drop, retries?.attempts);
    }
    this.failures.get(partition)?.read();
    if (window.merger.floor > partition.committedFloor) this.committer.note(partition, 0);
    window.shed(shared.payloadBytesMax());
    this.#fetching.jump(partition);
    onStock();
  }

  /** The age of what was put off counts from its first topic on. */
  #dropOld({ policy }: ConsumePartition, writtenMs: Float64Array): void {
    const before = this.#options.shared.clock.now() - policy.ttlMs;
    let count = 0;
    for (let i = 0; i < writtenMs.length; i++) {
      if (writtenMs[i] === 0 || (writtenMs[i] as number) >= before || this.#drop[i] === 1) continue;
      this.#drop[i] = 1;
      count++;
    }
    if (count > 0) policy.expired(count);
  }

  #failed(error: CodedError, place: TopicPartition | undefined): void {
    if (error.code === 'OFFSET_OUT_OF_RANGE' && place !== undefined) {
      void this.#overtaken.look(place);
    } else this.#say(error, 'the consumer reports');
  }

  #goOn(partition: ConsumePartition): void {
    this.#fetching.restart(partition);
    this.committer.note(partition, 0);
    this.#options.onStock();
  }

  #sayFault({ topic, partition, commitFault }: ConsumePartition): void {
    const { log } = this.#options.shared;
    const of = { group: this.#options.group, topic, partition };
    if (commitFault === undefined) log.info(of, 'commits of a partition are taken again');
    else {
      const { code, message: reason } = commitFault;
      log.warn({ ...of, code, reason }, 'commits of a partition fail, and are tried again');
    }
  }

  #say(error: unknown, what: string): void {
    const { log } = this.#options.shared;
    const code = codeOf(error);
    // What lasts meets message after message.
    if (!this.#seldom.isDue(`${code} ${what}`)) return;
    log.warn({ group: this.#options.group, code, reason: messageOf(error) }, what);
  }
}

function keyOf(topic: string, partition: number): string {
  return `${topic}/${partition}`;
}
