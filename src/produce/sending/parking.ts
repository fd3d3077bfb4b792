import type { Verdict } from '../../backend/kafka/verdict-codes.ts';
import type { Clock, Timer } from '../../base/clock.ts';
import { limits } from '../../base/limits.ts';
import type { Logger } from '../../base/log.ts';
import type { LaneStore, StoredBatch } from '../../store/lane-store.ts';
import { type LaneStats, stat } from '../intake/lane-stats.ts';
import type { Backlog } from './backlog.ts';
import { ParkedSender, type ParkedSenderParts } from './parked-sender.ts';
import { type GiveUp, ParkedTopic } from './parked-topic.ts';
import type { Place } from './pending.ts';
import type { Roads } from './roads.ts';
import { Stepper } from './stepper.ts';
import type { StoredTopics } from './stored-topics.ts';
import { Strikes } from './strikes.ts';
import type { MessageRun } from './verdict-rows.ts';

const LOOK_MS = 1_000;
/** What had a message taken, or refused, no longer ago than this is well: a cluster, or a topic. */
const WELL_MS = 5_000;
const GIVE_UP_ENTRIES = 500;
const REASON = 'its topic takes no messages';

/** Parts of a {@link Parking}. */
export interface ParkingParts
  extends Pick<
    ParkedSenderParts,
    'open' | 'originNode' | 'onResend' | 'onDelivered' | 'onRefused'
  > {
  readonly store: LaneStore;
  readonly roads: Roads;
  readonly topics: StoredTopics;
  readonly clock: Clock;
  readonly stats: LaneStats;
  readonly log: Logger;
  newBacklog(): Backlog;
  /** Everything before it was handed over, but for the topics that are behind. */
  cursor(): number;
  /** The parked log has used up its quota. */
  isFull(): boolean;
  /** The outbox may not wait for a parked log that drains. */
  isOutboxPressed(): boolean;
  /** The topic would rather wait in the outbox, in order with the others. */
  isPatient(topic: number): boolean;
  /**
   * Messages that the primary cluster has confirmed, of all lanes: one that carries nothing but the
   * topic cannot tell by its own whether the cluster is well.
   */
  confirmedByPrimary(): number;
  /** These left the outbox for the parked log. */
  onParked(sequences: readonly number[]): void;
  /** A topic's messages may be sent again as they come. */
  onReleased(topic: number): void;
  onMissing(topic: number): void;
  onFailure(error: unknown): void;
}

/** What a forwarder asks for its parked topics. */
export interface ForwarderParking
  extends Pick<
    ParkingParts,
    | 'open'
    | 'isFull'
    | 'isOutboxPressed'
    | 'isPatient'
    | 'confirmedByPrimary'
    | 'onParked'
    | 'onRefused'
  > {
  /** A parked message was delivered. */
  onDelivered(sequence: number, place: Place): void;
}

/**
 * Topics that take no messages while the rest of their cluster does. After a while their messages
 * leave the outbox for the parked log, in order, and those that come later follow them there, so
 * that nothing else waits for them. They are tried again one first, then all; while they leave the
 * log what comes stays in the outbox, as far as that has room, so that the log runs empty however
 * steadily they come. Then the topic's messages go the ordinary way again.
 *
 * Who has a message of a parked topic is known: the ordinary producer what is on the way, swept or
 * not, the outbox else what was not swept yet, the parked producer its chunk, and the log the rest.
 * One step at a time changes that, and verdicts.
 */
export class Parking {
  private readonly parts: ParkingParts;
  private readonly parked = new Map<number, ParkedTopic>();
  /** Where a topic stood when it was looked at, and since when. */
  private readonly stuck = new Map<number, { at: number; sinceMs: number }>();
  private readonly sender: ParkedSender;
  private readonly stepper: Stepper;
  private timer: Timer | undefined;
  private confirmed = 0;
  private confirmedMs = Number.NEGATIVE_INFINITY;
  private isClosed = false;

  constructor(parts: ParkingParts) {
    this.parts = parts;
    this.stepper = new Stepper(
      async () => {
        await this.step();
        return false;
      },
      (error) => {
        if (!this.isClosed) parts.onFailure(error);
      },
    );
    this.sender = new ParkedSender({ ...parts, work: () => this.work() });
  }

  /** Goes on with what a former run has parked. To be called before anything is sent. */
  start(): void {
    this.confirmed = this.parts.confirmedByPrimary();
    for (const name of this.parts.store.aside.topics('parked').keys()) this.resume(name);
    this.look();
  }

  has(topic: number): boolean {
    return this.parked.has(topic);
  }

  /** Takes up what was put into the parked log for a topic, and tries it now. */
  retryNow(name: string): void {
    const topic = this.resume(name);
    topic.retryAtMs = 0;
    // What was put back into its log may stand before the rest of it.
    topic.from = 0;
    // Some of that was refused for good before: it counts anew.
    topic.strikes = new Strikes();
    this.work();
  }

  /**
   * The ordinary producer has delivered a message of a topic that is parked. True: it was in the
   * parked log already.
   */
  delivered(id: number, sequence: number): boolean {
    const topic = this.parked.get(id);
    if (topic?.onTheWay.delete(sequence) !== true) return false;
    topic.delivered.push(sequence);
    this.work();
    // While it is being put into the log, it is still the outbox that has it.
    return this.parts.store.isConfirmed(sequence);
  }

  /**
   * Messages of a topic came back from the ordinary producer. True: the topic is parked, they are
   * sent again from its log.
   */
  returned({ topic: id, first, count }: MessageRun): boolean {
    const topic = this.parked.get(id);
    if (topic === undefined) return false;
    for (let sequence = first; sequence < first + count; sequence++) {
      if (!topic.onTheWay.delete(sequence)) topic.lag.returned.add(sequence, 1);
    }
    this.work();
    return true;
  }

  /**
   * Gives up a topic that the cluster does not know any more, once nothing of it is on its way.
   * Answers the number of messages; none once this is closed.
   */
  giveUp(id: number, verdict: Verdict): Promise<number> {
    const topic = this.parked.get(id);
    if (topic === undefined || topic.giveUp !== undefined || this.isClosed) {
      return Promise.resolve(0);
    }
    return new Promise((done) => {
      topic.giveUp = { verdict, done };
      this.work();
    });
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
    this.sender.close();
    for (const { giveUp } of this.parked.values()) giveUp?.done(0);
  }

  /** Takes a topic up whose messages are in the parked log; what comes later follows them. */
  private resume(name: string): ParkedTopic {
    const id = this.parts.topics.idOf(name);
    return this.parked.get(id) ?? this.add(id, name);
  }

  private add(id: number, name: string): ParkedTopic {
    const { roads, newBacklog, store } = this.parts;
    const lag = roads.begin(id);
    const topic = new ParkedTopic(id, name, lag, newBacklog());
    topic.swept = store.floor;
    lag.isParked = true;
    lag.timer?.cancel();
    // What waits to be sent alone is nobody's any more.
    roads.of(id).giveBack(lag);
    this.parked.set(id, topic);
    this.work();
    return topic;
  }

  private work(): void {
    if (!this.isClosed) this.stepper.kick();
  }

  private look(): void {
    if (this.isClosed) return;
    void this.find().catch((error: unknown) => {
      if (!this.isClosed) this.parts.onFailure(error);
    });
    if (this.parked.size > 0) this.work();
    this.timer = this.parts.clock.setTimer(() => this.look(), LOOK_MS);
  }

  /** Parks what stands still for too long while others move. */
  private async find(): Promise<void> {
    const { clock, roads, store, cursor } = this.parts;
    const now = clock.monotonic();
    const confirmed = this.parts.confirmedByPrimary();
    if (confirmed !== this.confirmed) this.confirmedMs = now;
    this.confirmed = confirmed;
    const seen = new Map<number, { at: number; sinceMs: number }>();
    const note = (topic: number, at: number): void => {
      const before = this.stuck.get(topic);
      seen.set(topic, before?.at === at ? before : { at, sinceMs: now });
    };
    for (const lag of roads.main.lags.all()) {
      if (!lag.isParked && !lag.isGuest && lag.next < cursor()) note(lag.topic, lag.next);
    }
    // What is on its way and never comes back holds the floor.
    const { floor } = store;
    const holder = floor < cursor() ? await this.topicAt(floor) : undefined;
    if (holder !== undefined && !seen.has(holder)) note(holder, floor);
    this.stuck.clear();
    const isWell = now - this.confirmedMs <= WELL_MS && roads.main.cluster === 0;
    for (const [topic, place] of seen) {
      this.stuck.set(topic, place);
      if (isWell && now - place.sinceMs >= limits.topicStuckMs) this.park(topic);
    }
  }

  /** The topic of an unconfirmed message. */
  private async topicAt(sequence: number): Promise<number | undefined> {
    const { store, topics } = this.parts;
    const [batch] = (await store.readBatches(sequence, 1)).batches;
    if (batch === undefined || sequence < batch.firstSequence) return undefined;
    topics.resolve(batch);
    let at = 0;
    for (let ordinal = batch.firstSequence; ordinal < sequence; ordinal++) {
      at += 8 + batch.payload.readUInt32LE(at);
    }
    return batch.payload.readUInt16LE(at + 4);
  }

  private park(id: number): void {
    const { roads, isPatient, isFull, topics, log } = this.parts;
    const name = topics.nameOf(id);
    const road = roads.of(id);
    if (this.parked.has(id) || isPatient(id) || name === undefined || road !== roads.main) return;
    const known = road.lags.get(id);
    if (known?.isAlone === true || known?.isDropping === true) return;
    if (isFull()) {
      log.warn({ topic: name }, 'the parked log is full: the topic waits in the outbox');
      return;
    }
    log.warn({ topic: name }, 'the topic takes no messages: what it has is parked');
    this.stuck.delete(id);
    this.add(id, name);
  }

  private async step(): Promise<void> {
    const { store, clock, isOutboxPressed } = this.parts;
    for (const topic of [...this.parked.values()]) {
      if (this.isClosed) return;
      await this.sender.settle(topic);
      const isMoving = clock.monotonic() - topic.leftMs < WELL_MS;
      if (!isMoving || isOutboxPressed()) await this.sweep(topic);
      if (!topic.isIdle) continue;
      if (topic.giveUp !== undefined) await this.giveAllUp(topic, topic.giveUp);
      if (store.aside.topics('parked').get(topic.name) === undefined) this.release(topic);
      else await this.retry(topic);
    }
  }

  private async retry(topic: ParkedTopic): Promise<void> {
    const { clock, roads } = this.parts;
    if (roads.main.cluster !== 0 || clock.monotonic() < topic.retryAtMs) return;
    await this.sender.send(topic);
  }

  /** Moves what the outbox holds of a topic into its log, up to the newest of this moment. */
  private async sweep(topic: ParkedTopic): Promise<void> {
    const { store, cursor, isFull } = this.parts;
    const to = cursor();
    while (topic.swept < to && !this.isClosed && !isFull()) {
      const read = await topic.backlog.read(Math.max(topic.swept, store.floor));
      const end = Math.min(read.nextSequence, to);
      const sequences = read.batches.flatMap((batch) => this.openOf(topic, batch, end));
      for (const sequence of sequences) {
        if (!topic.lag.wants(sequence)) topic.onTheWay.add(sequence);
      }
      if (sequences.length > 0) await this.put(topic, sequences);
      topic.swept = Math.max(topic.swept, end);
      topic.lag.advance(end);
    }
  }

  /** What a batch holds of a topic below `end`, and nobody has confirmed. */
  private openOf(topic: ParkedTopic, batch: StoredBatch, end: number): number[] {
    const wants = (id: number, sequence: number): boolean => id === topic.id && sequence < end;
    const { skip } = topic.backlog.skipBut(batch, wants);
    const open: number[] = [];
    for (const [ordinal, skipped] of skip.entries()) {
      const sequence = batch.firstSequence + ordinal;
      if (skipped === 0 && !this.parts.store.isConfirmed(sequence)) open.push(sequence);
    }
    return open;
  }

  private async put(topic: ParkedTopic, sequences: readonly number[]): Promise<void> {
    const { store, stats, onParked } = this.parts;
    const why = { code: 'PARKED', reason: REASON };
    const put = sequences.map((sequence) => ({ ...why, sequence }));
    const moved = new Set<number>();
    for (const { sequence } of await store.aside.put('parked', put)) moved.add(sequence);
    stats.add(stat.parked, moved.size);
    // The others were delivered meanwhile, or were being refused: no verdict of them comes.
    for (const sequence of sequences) if (!moved.has(sequence)) topic.onTheWay.delete(sequence);
    for (const sequence of topic.delivered) moved.delete(sequence);
    onParked([...moved]);
  }

  private async giveAllUp(topic: ParkedTopic, { verdict, done }: GiveUp): Promise<void> {
    let given = 0;
    for (topic.from = 0; !this.isClosed; ) {
      const entries = await this.sender.entriesOf(topic, GIVE_UP_ENTRIES);
      const last = entries.at(-1);
      if (last === undefined || !(await this.parts.onRefused(entries, verdict))) break;
      given += entries.length;
      topic.from = last.sequence + 1;
    }
    topic.giveUp = undefined;
    done(given);
  }

  private release({ id, name, lag, giveUp }: ParkedTopic): void {
    this.parked.delete(id);
    lag.isParked = false;
    giveUp?.done(0);
    this.parts.log.info({ topic: name }, 'nothing of the topic is parked any more');
    this.parts.onReleased(id);
  }
}
