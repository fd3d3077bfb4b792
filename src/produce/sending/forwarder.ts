import type { Verdict } from '../../backend/kafka/verdict-codes.ts';
import type { Clock } from '../../base/clock.ts';
import type { Logger } from '../../base/log.ts';
import type { ClusterNumber, SendPlan } from '../../lanes/lane-calls.ts';
import { DEFERRED_COLUMNS, type ProduceRequest } from '../../native/kafka.ts';
import type { LaneStore, Refusal } from '../../store/lane-store.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';
import type { MicroBatch } from '../intake/micro-batch.ts';
import { Backlog } from './backlog.ts';
import type { DrainPace } from './drain-pace.ts';
import { HandOver } from './hand-over.ts';
import { type ForwarderParking, Parking } from './parking.ts';
import type { Place } from './pending.ts';
import type { ResentBatch } from './resend-log.ts';
import { Road, type RoadProducer } from './road.ts';
import { Roads } from './roads.ts';
import { Stepper } from './stepper.ts';
import type { StoredTopics } from './stored-topics.ts';
import { dropWaiting } from './topic-drop.ts';
import type { MessageRun } from './verdict-rows.ts';

/** Hooks and parts of a {@link Forwarder}. */
export interface ForwarderParts extends RoadProducer {
  readonly store: LaneStore;
  /** The way to the second cluster; the first has {@link producer} and {@link openAlone}. */
  readonly backup?: RoadProducer;
  readonly topics: StoredTopics;
  /** How fast the backlog is sent. */
  readonly pace: DrainPace;
  readonly originNode: Uint8Array;
  readonly clock: Clock;
  readonly stats: LaneStats;
  readonly log: Logger;
  /** Confirmed by a cluster; partition and offset are -1 when nobody asked. */
  onConfirmed(
    firstSequence: number,
    count: number,
    partition: number,
    offset: number,
    cluster: ClusterNumber,
  ): void;
  /**
   * Refused for good: into the undeliverable log, before whatever is put aside from now on.
   * Answers how many it moved, when that is durable and told; the others had their end.
   */
  onRefused(refusals: readonly Refusal[]): Promise<number>;
  /** A batch is about to be sent that may have been sent already, and why. */
  onResend(cause: string, header: ResentBatch, cluster: ClusterNumber): void;
  /** The cluster does not seem to know the topic: somebody ought to ask it. */
  onMissing(topic: number, cluster: ClusterNumber): void;
  /** The undeliverable log has used up its quota. */
  isUndeliverableFull?(): boolean;
  /** What topics need that are parked while they take no messages; absent: they wait. */
  readonly parking?: ForwarderParking;
  /** The outbox cannot be read. */
  onFailure(error: unknown): void;
}

/**
 * Sends what the outbox holds, in order. The newest batch goes straight from memory while
 * everything before it was sent; otherwise batches are read back in chunks. A topic that cannot
 * be sent falls behind alone: the others go on, and it catches up by a walk of its own.
 *
 * What comes back without being in the log makes its topic fall behind to the first such message;
 * what was refused as part of a batch is sent one by one first.
 */
export class Forwarder {
  private readonly parts: ForwarderParts;
  private readonly backlog: Backlog;
  private readonly roads: Roads;
  private readonly stepper: Stepper;
  private readonly handOver: HandOver;
  private readonly parking: Parking | undefined;
  /** Every message before it was handed over, but for the lagging topics. */
  private cursor: number;
  /** What the cursor passes before this sequence may have been sent by a former run. */
  private resendUntil = 0;
  private resendCause = '';
  private refusals: Refusal[] = [];
  private isClosed = false;
  /** What a former run left may not be sent yet, though a plan comes or a producer is usable. */
  private isHeld: boolean;

  constructor(parts: ForwarderParts) {
    const { store, stats, backup } = parts;
    this.parts = parts;
    this.cursor = store.floor;
    this.isHeld = store.floor < store.nextSequence;
    this.backlog = new Backlog(parts, parts.pace);
    const primary = this.newRoad(0, parts);
    this.roads = new Roads(backup === undefined ? [primary] : [primary, this.newRoad(1, backup)], {
      clock: parts.clock,
      end: () => this.cursor,
      former: () => ({ until: this.resendUntil, cause: this.resendCause }),
      onMoved: () => {
        stats.set(stat.cluster, this.roads.main.cluster);
        this.work();
      },
      onBehind: (topics) => stats.set(stat.deferredTopics, topics),
    });
    this.handOver = new HandOver({
      clock: parts.clock,
      inFlight: () => this.roads.main.inFlight,
      forward: (batch, payload) => this.sendNew(batch, payload),
    });
    this.parking = parts.parking === undefined ? undefined : this.newParking(parts.parking);
    this.stepper = new Stepper(
      () => this.step(),
      (error) => this.fail(error),
    );
  }

  /** Begins with what a former run left unconfirmed; `cause` is for the log of resends. */
  start(cause = 'start'): void {
    const { store, stats } = this.parts;
    this.isHeld = false;
    this.parking?.start();
    if (!this.isBehind) return;
    this.resendUntil = store.nextSequence;
    this.resendCause = cause;
    stats.add(stat.resent, store.stats().unconfirmedMessages);
    this.work();
  }

  /** Sends a batch that was just stored, or leaves it for the walk over the backlog. */
  forward(batch: MicroBatch, payload: Uint8Array): void {
    this.handOver.take(batch, payload);
  }

  /** Takes the rows of a cluster's delivery reports; *borrowed*. */
  verdicts(rows: Float64Array, count: number, cluster: ClusterNumber = 0): void {
    this.roads.all[cluster]?.verdicts(rows, count);
    this.refuse();
    this.handOver.reported();
    if (this.isBehind || this.roads.behind > 0) this.work();
  }

  /** The cluster's shared instance broke; the rows of what was in it follow. */
  fatal(cluster: ClusterNumber = 0): void {
    this.roads.all[cluster]?.broken();
  }

  /** What goes to which cluster from now on. */
  setPlan(plan: SendPlan): void {
    if (!this.isClosed && this.roads.all.length > 1) this.roads.setPlan(plan);
  }

  /**
   * Gives up what waits of a topic that the cluster does not know any more, as far as the
   * undeliverable log has room. What is on its way keeps its verdict. Answers the number of
   * messages, once they are in that log.
   */
  async drop(topic: number): Promise<number> {
    if (this.parking?.has(topic) === true) {
      return this.parking.giveUp(topic, { kind: 'refused', code: 'UNKNOWN_TOPIC' });
    }
    const lag = this.roads.of(topic).lags.get(topic);
    if (lag === undefined || lag.isDropping) return 0;
    lag.isDropping = true;
    try {
      this.roads.of(topic).giveBack(lag);
      return await dropWaiting(lag, {
        backlog: new Backlog(this.parts),
        reason: `the cluster knows no topic ${this.parts.topics.nameOf(topic) ?? topic}`,
        end: () => this.cursor,
        isOver: () => this.isClosed || this.parts.isUndeliverableFull?.() === true,
        refuse: (refusals) => this.parts.onRefused(refusals),
      });
    } finally {
      lag.isDropping = false;
      this.roads.of(topic).lags.ready(topic);
      this.work();
    }
  }

  close(): void {
    this.isClosed = true;
    this.handOver.close();
    this.parking?.close();
    for (const road of this.roads.all) road.close();
  }

  private sendNew(batch: MicroBatch, payload: Uint8Array): void {
    if (!this.roads.main.isUsable) return;
    if (this.cursor !== batch.firstSequence) {
      this.work();
      return;
    }
    this.send(
      {
        payload,
        firstSequence: batch.firstSequence,
        ids: batch.ids,
        segmentCounts: batch.counts.subarray(0, batch.segments),
        segmentFlags: batch.flags,
        originNode: this.parts.originNode,
        acceptedMs: batch.acceptedMs,
      },
      batch.messages,
    );
  }

  /** Whether messages of the topic go to the parked log. */
  isParked(topic: number): boolean {
    return this.parking?.has(topic) === true;
  }

  /** Takes up what was put into the parked log for a topic, and tries it now. */
  retryParked(name: string): void {
    this.parking?.retryNow(name);
  }

  private get isBehind(): boolean {
    return this.cursor < Math.min(this.parts.store.nextSequence, this.handOver.first);
  }

  private newRoad(cluster: ClusterNumber, source: RoadProducer): Road {
    const { clock, log, store, stats, onConfirmed, onResend, onMissing } = this.parts;
    const road: Road = new Road({
      cluster,
      producer: source.producer,
      openAlone: (onVerdicts) => source.openAlone(onVerdicts),
      clock,
      log,
      newBacklog: () => new Backlog(this.parts, this.parts.pace),
      end: () => this.cursor,
      floor: () => store.floor,
      work: () => this.work(),
      onUsable: () => {
        stats.set(stat.generation, source.producer.generation);
        this.work();
      },
      onSent: ({ sent }) => this.count(sent),
      isParked: (topic) => this.isParked(topic),
      onConfirmed: (run, partition, offset) => {
        stats.add(cluster === 0 ? stat.confirmedPrimary : stat.confirmedBackup, run.count);
        if (this.isParked(run.topic)) this.deliverEach(run, { cluster, partition, offset });
        else onConfirmed(run.first, run.count, partition, offset, cluster);
      },
      onRefused: (run, verdict) => {
        // Nothing is dropped: while there is no room for it, it is tried again.
        if (this.parts.isUndeliverableFull?.() === true) this.comeBack(run, verdict, cluster);
        else this.refuseLater(run, verdict);
      },
      onReturned: (run, verdict) => this.comeBack(run, verdict, cluster),
      onIsolated: ({ topic, count }) => {
        this.roads.begin(topic).isAlone = true;
        stats.add(stat.resent, count);
      },
      onDealt: () => this.refuse(),
      onResend: (cause, header) => onResend(cause, header, cluster),
      onMissing: (topic) => onMissing(topic, cluster),
      onLevel: (topic) => this.roads.level(topic),
      onFailure: (error) => this.fail(error),
    });
    return road;
  }

  /** One produce call of the newest messages; the cursor moves behind what was walked. */
  private send(request: ProduceRequest, messages: number): void {
    const { roads } = this;
    const { main } = roads;
    const topicsBlocked = roads.behind > 0 ? roads.blocked : undefined;
    const { sent, nextOrdinal, deferred } = main.send({ ...request, topicsBlocked }, messages);
    this.count(sent);
    this.cursor = request.firstSequence + nextOrdinal;
    for (let i = 0; i < deferred.length; i += DEFERRED_COLUMNS) {
      const topic = deferred[i] as number;
      const road = roads.of(topic);
      if (road.lags.get(topic) === undefined) {
        const lag = roads.begin(topic, deferred[i + 1] as number);
        main.lags.defer(lag, deferred[i + 3] as number);
      } else if (road !== main) this.work();
      // What lags already keeps its own place.
    }
  }

  /** Messages that are not in the log: the topic falls behind to the first of them. */
  private comeBack(run: MessageRun, verdict: Verdict, cluster: ClusterNumber): void {
    if (this.parking?.returned(run) === true) return;
    const { topic, first, count } = run;
    const lag = this.roads.begin(topic);
    lag.returned.add(first, count);
    lag.cause = verdict.name ?? '';
    this.parts.stats.add(stat.resent, count);
    if (verdict.kind === 'topicMissing') this.parts.onMissing(topic, cluster);
    this.roads.of(topic).lags.defer(lag, 0);
  }

  private newParking(own: ForwarderParking): Parking {
    const { parts, roads } = this;
    return new Parking({
      ...parts,
      ...own,
      roads,
      newBacklog: () => new Backlog(this.parts),
      cursor: () => this.cursor,
      onDelivered: ({ sequence }, partition, offset) => {
        parts.stats.add(stat.confirmedPrimary, 1);
        own.onDelivered(sequence, { cluster: 0, partition, offset });
      },
      onReleased: (topic) => {
        roads.of(topic).lags.ready(topic);
        this.work();
      },
      onMissing: (topic) => parts.onMissing(topic, 0),
      onResend: (header) => parts.onResend('parked', header, 0),
    });
  }

  /** Confirmed messages of a topic that was parked while they were on their way. */
  private deliverEach({ topic, first, count }: MessageRun, place: Place): void {
    const { onConfirmed, parking } = this.parts;
    for (let i = 0; i < count; i++) {
      const sequence = first + i;
      const offset = place.offset < 0 ? -1 : place.offset + i;
      if (this.parking?.delivered(topic, sequence) === true) {
        parking?.onDelivered(sequence, { ...place, offset });
      } else onConfirmed(sequence, 1, place.partition, offset, place.cluster as ClusterNumber);
    }
  }

  private refuseLater({ first, count }: MessageRun, { code, name }: Verdict): void {
    for (let sequence = first; sequence < first + count; sequence++) {
      this.refusals.push({ sequence, code: code ?? 'UNDELIVERABLE', reason: `kafka: ${name}` });
    }
  }

  private refuse(): void {
    if (this.refusals.length === 0) return;
    const { refusals } = this;
    this.refusals = [];
    void this.parts.onRefused(refusals);
  }

  private count(sent: number): void {
    this.parts.stats.add(stat.sent, sent);
    this.parts.stats.add(stat.forwardCount, 1);
  }

  /** Walks over the backlog and the lagging topics until nothing more can be sent now. */
  private work(): void {
    if (!this.isClosed && !this.isHeld) this.stepper.kick();
  }

  /** Both in turn: a long way behind of some topics must not hold up the newest of the others. */
  private async step(): Promise<boolean> {
    let caughtUp = false;
    for (const { lags } of this.roads.all) {
      if (!this.isClosed && (await lags.step())) caughtUp = true;
    }
    const sent = !this.isClosed && (await this.sendBacklog());
    return caughtUp || sent;
  }

  private fail(error: unknown): void {
    // A read that the end of the store has cut short is no failure.
    if (!this.isClosed) this.parts.onFailure(error);
  }

  /** Sends one chunk of backlog from the cursor on. False when there is nothing to do now. */
  private async sendBacklog(): Promise<boolean> {
    if (!this.isBehind || !this.roads.main.isUsable) return false;
    const read = await this.backlog.read(this.cursor);
    for (const batch of read.batches) {
      const { firstSequence, messages } = batch;
      if (!this.roads.main.isUsable || this.isClosed) return true;
      if (firstSequence + messages <= this.cursor) continue;
      const skip = batch.confirmed > 0 ? this.backlog.skipBut(batch, () => true).skip : undefined;
      if (firstSequence < this.resendUntil) {
        for (const cluster of this.roads.clustersOf(batch.header.topics))
          this.parts.onResend(this.resendCause, batch.header, cluster);
      }
      const fromOrdinal = Math.max(0, this.cursor - firstSequence);
      this.send({ ...this.backlog.request(batch, skip), fromOrdinal }, messages);
      // Cut short by a full queue or a broken instance: what follows must not overtake the rest.
      if (this.cursor < firstSequence + messages) return true;
    }
    if (this.roads.main.isUsable && this.cursor < read.nextSequence)
      this.cursor = read.nextSequence;
    return true;
  }
}
