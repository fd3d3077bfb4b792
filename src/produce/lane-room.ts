import { setImmediate as takeTurns } from 'node:timers/promises';
import { EmbeddedLog } from '../backend/embedded/embedded-log.ts';
import { type LogCall, type LogHandlers, logHandlers } from '../backend/embedded/lane-control.ts';
import { OwnRecords } from '../backend/embedded/own-records.ts';
import { systemClock } from '../base/clock.ts';
import { coded } from '../base/errors.ts';
import type {
  AsideAnswer,
  AsideCall,
  ClusterNumber,
  LaneTopic,
  SendPlan,
} from '../lanes/lane-calls.ts';
import { RingReader } from '../lanes/ring.ts';
import { crc32c } from '../native/addon.ts';
import type { LaneStore } from '../store/lane-store.ts';
import { answerAside } from './aside-calls.ts';
import { Intake } from './intake/intake.ts';
import { stat } from './intake/lane-stats.ts';
import { type OpenedSession, type OpenSession, Producers } from './intake/producers.ts';
import { LogJournal } from './journal/log-journal.ts';
import { OutboxJournal } from './journal/outbox-journal.ts';
import { KafkaRoad } from './kafka-road.ts';
import { Lane } from './lane.ts';
import type { KafkaCluster } from './lane-options.ts';
import type { LaneShell } from './lane-shell.ts';
import { DrainPace } from './sending/drain-pace.ts';
import { Forwarder } from './sending/forwarder.ts';
import { StoredTopics } from './sending/stored-topics.ts';

const LOOK_MS = 500;
const FLUSH_LOOK_MS = 5;
const READ_AGAIN_MS = 500;

/**
 * Everything of a lane that stands on its open store. When the store fails, the room is left and
 * a new one is made on the store as it was opened again: nothing in memory outlives a doubt about
 * the disk but the connections and what they may expect.
 */
export class LaneRoom {
  readonly producers = new Producers(systemClock);
  private readonly shell: LaneShell;
  private readonly store: LaneStore;
  private readonly topics: StoredTopics;
  private lane: Lane | undefined;
  private outbox: OutboxJournal | undefined;
  private embedded: LogJournal | undefined;
  private log: LogHandlers | undefined;
  /** By cluster. */
  private readonly kafka: KafkaRoad[] = [];
  private forwarder: Forwarder | undefined;
  private readonly pace: DrainPace;
  private closed = false;

  constructor(shell: LaneShell, store: LaneStore) {
    this.shell = shell;
    this.store = store;
    const isGentle = (): boolean => shell.marks.drainsGently;
    this.pace = new DrainPace({ clock: systemClock, stats: shell.stats, isGentle, takeTurns });
    this.topics = new StoredTopics((id, name) => this.adopt(id, name), shell.log);
  }

  /** Reads back what the store knows, and begins to take what is in the ring. */
  async open(before?: Producers): Promise<void> {
    const { shell, store } = this;
    const { options, memory, acker, builder, stats } = shell;
    for await (const { key, value } of store.windows()) this.producers.restore(key, value);
    for await (const header of store.headersSinceCheckpoint()) this.producers.replay(header);
    if (before !== undefined) this.producers.adopt(before);
    const journal = options.kafka === undefined ? await this.openLog() : await this.openOutbox();
    const reader = new RingReader(memory.requests);
    const intake = new Intake({
      reader,
      builder,
      producers: this.producers,
      acker,
      clock: systemClock,
      stats,
      batchBytesMax: options.batchBytesMax,
      topicName: (id) => this.topics.nameOf(id) ?? '',
      onFatal: (session, code) => {
        acker.flush();
        shell.onEvent({ kind: 'fatal', session, code });
      },
    });
    this.lane = new Lane({
      reader,
      builder,
      intake,
      journal,
      acker,
      producers: this.producers,
      stats,
      clock: systemClock,
      onAnswered: (waitedMs, messages) => this.pace.answered(waitedMs, messages),
      onRoom: shell.wakeMain,
      onFailure: (error) => this.fail(error),
    });
    await this.look();
  }

  wake(): void {
    this.lane?.wake();
  }

  openSession(request: OpenSession): OpenedSession {
    return this.producers.open(request);
  }

  closeSession(session: number): void {
    this.producers.close(session);
  }

  setTopic(topic: LaneTopic): void {
    this.topics.set(topic.id, topic.name);
    for (const road of this.kafka) road.setTopic(topic);
  }

  /** What goes to which cluster from now on. */
  setPlan(plan: SendPlan): void {
    this.forwarder?.setPlan(plan);
  }

  /** Sends what is stored and not confirmed; `cause` is for the log of resends. */
  startSending(cause: 'start' | 'reopened'): void {
    this.forwarder?.start(cause);
  }

  /** From now on new messages are refused with `DRAINING`; known ones are still answered. */
  refuseNew(): void {
    this.lane?.refuseNew();
  }

  async drained(): Promise<void> {
    await this.lane?.drained();
  }

  async dropTopic(topic: number): Promise<number> {
    return (await this.forwarder?.drop(topic)) ?? 0;
  }

  callAside(call: AsideCall): Promise<AsideAnswer> {
    const retryParked = (topic: string): void => this.forwarder?.retryParked(topic);
    return answerAside({ aside: this.store.aside, retryParked }, call);
  }

  async callLog(name: LogCall, args: unknown): Promise<unknown> {
    const handler = this.log?.[name] as ((a: unknown) => Promise<unknown>) | undefined;
    if (handler === undefined) throw coded('NOT_SUPPORTED', 'this lane has no log of its own');
    try {
      return await handler(args);
    } catch (error) {
      if (!this.closed) throw error;
      const words = 'the lane left its store while it was read';
      throw coded('RETRY_LATER', words, { cause: error, retryAfterMs: READ_AGAIN_MS });
    }
  }

  /** Resolves true when nothing waits for the backend any more, false after the time. */
  async flush(timeoutMs: number): Promise<boolean> {
    const until = systemClock.monotonic() + timeoutMs;
    while (this.store.unconfirmedMessages > 0) {
      if (this.closed || systemClock.monotonic() >= until) return false;
      await new Promise<void>((resolve) => {
        systemClock.setTimer(resolve, FLUSH_LOOK_MS);
      });
    }
    return true;
  }

  /** Takes what is in the ring, and closes everything. */
  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.lane?.drained();
    this.forwarder?.close();
    await Promise.all(this.kafka.map((road) => road.close()));
    await (this.outbox ?? this.embedded)?.close();
  }

  /**
   * Gives up after a failure: nothing is taken or answered OK any more, whoever waits for a
   * verdict hears `UNKNOWN`, and the store's files are let go of. Never rejects.
   */
  async abandon(): Promise<void> {
    this.closed = true;
    this.forwarder?.close();
    await this.lane?.stop();
    this.outbox?.abandon();
    this.shell.acker.flush();
    const { log } = this.shell;
    const ends = [...this.kafka.map((road) => road.close()), this.embedded?.abandon()];
    for (const end of await Promise.allSettled(ends)) {
      if (end.status === 'rejected') log.debug({ err: end.reason }, 'while the lane was closed');
    }
    await this.store.close().catch((err: unknown) => {
      log.debug({ err }, 'while the store was closed');
    });
  }

  private async openLog(): Promise<LogJournal> {
    const { shell, store, producers } = this;
    const settings = shell.options.embedded;
    const log = await EmbeddedLog.open({
      chunks: store.chunks,
      clock: systemClock,
      log: shell.log,
      retention: { ms: settings?.retentionMs, bytes: settings?.retentionBytes },
      onFailure: (error) => this.fail(error),
    });
    const own = new OwnRecords({
      log,
      crc32c,
      onWaiting: () => this.lane?.wake(),
      isFull: () => this.embedded?.pressure === 'hard',
    });
    this.log = logHandlers({ log, own, groups: store.groups });
    this.embedded = new LogJournal({
      store,
      log,
      own,
      clock: systemClock,
      producers,
      stats: shell.stats,
      marks: shell.marks,
      allowDegradedAck: settings?.allowDegradedAck ?? false,
    });
    return this.embedded;
  }

  private async openOutbox(): Promise<OutboxJournal> {
    const { store, shell, producers } = this;
    const { options, acker, stats, marks, log } = shell;
    const { kafka } = options;
    if (kafka === undefined) throw coded('INTERNAL', 'no kafka settings');
    const onFailure = (error: unknown): void => this.fail(error);
    const clock = systemClock;
    const outbox = new OutboxJournal({ store, producers, acker, stats, clock, marks, onFailure });
    await outbox.restore();
    const primary = this.openRoad(kafka, 0);
    const backup = options.backup === undefined ? undefined : this.openRoad(options.backup, 1);
    this.forwarder = new Forwarder({
      store,
      producer: primary.producer,
      openAlone: (onVerdicts) => primary.openAlone(onVerdicts),
      backup,
      topics: this.topics,
      pace: this.pace,
      originNode: options.nodeId,
      clock: systemClock,
      stats,
      log,
      onConfirmed: (first, count, partition, offset, cluster) =>
        outbox.confirmed(first, count, partition, offset, cluster),
      onRefused: (refusals) => outbox.refused(refusals),
      onResend: (cause, header, cluster) =>
        shell.resends.write({ cause, lane: options.lane, cluster, header }),
      onMissing: (topic, cluster) => {
        const name = this.topics.nameOf(topic) ?? '';
        shell.onEvent({ kind: 'topicMissing', topic, name, cluster });
      },
      isUndeliverableFull: () => outbox.isUndeliverableFull,
      parking: {
        open: (onVerdicts) => primary.openParked(onVerdicts),
        isFull: () => outbox.isParkedFull,
        isOutboxPressed: () => outbox.isHalfFull,
        isPatient: (topic) => shell.topics.get(topic)?.isPatient === true,
        confirmedByPrimary: () => shell.confirmedByPrimary(),
        onParked: (sequences) => outbox.parked(sequences),
        onDelivered: (sequence, place) => outbox.parkedDelivered(sequence, place),
        onRefused: (entries, verdict) => outbox.parkedRefused(entries, verdict),
      },
      onFailure,
    });
    outbox.attach(this.forwarder);
    this.outbox = outbox;
    return outbox;
  }

  private openRoad(settings: KafkaCluster, cluster: ClusterNumber): KafkaRoad {
    const { shell, topics } = this;
    const { options, log, acker } = shell;
    const road = new KafkaRoad({
      cluster: settings,
      lane: options.lane,
      clock: systemClock,
      log: log.child({ cluster: settings.key }),
      told: (id) => shell.topics.get(id),
      nameOf: (id) => topics.nameOf(id),
      onVerdicts: (rows, count) => this.forwarder?.verdicts(rows, count, cluster),
      onDealt: () => acker.flush(),
      onFatal: () => this.forwarder?.fatal(cluster),
    });
    this.kafka.push(road);
    return road;
  }

  /** A topic that only the outbox knows. Throws when the id names another one. */
  private adopt(id: number, name: string): void {
    for (const { producer } of this.kafka) producer.setTopic(id, name);
  }

  /** A room that was left says nothing more. */
  private fail(error: unknown): void {
    if (!this.closed) this.shell.fail(error);
  }

  /** Looks at what changes by itself: free space, gauges, pressure. */
  private async look(): Promise<void> {
    if (this.closed) return;
    try {
      const { freeBytes } = await this.store.volume();
      if (this.closed) return;
      this.outbox?.noteFreeBytes(freeBytes);
      this.embedded?.noteFreeBytes(freeBytes);
      this.gauge();
      const pressure = (this.outbox ?? this.embedded)?.pressure ?? 'none';
      this.shell.press(pressure);
    } catch (error) {
      this.fail(error);
    }
    systemClock.setTimer(() => void this.look(), LOOK_MS);
  }

  private gauge(): void {
    const { stats } = this.shell;
    const now = this.store.stats();
    stats.set(stat.outboxBytes, now.liveBytes);
    stats.set(stat.outboxMessages, now.unconfirmedMessages);
    stats.set(stat.outboxOldestMs, now.oldestAcceptedMs ?? 0);
    stats.set(stat.undeliverableMessages, this.store.aside.messages('undeliverable'));
    stats.set(stat.parkedMessages, this.store.aside.messages('parked'));
    stats.set(stat.parkedBytes, this.store.aside.bytes('parked'));
    stats.set(stat.undeliverableBytes, this.store.aside.bytes('undeliverable'));
    stats.set(stat.parkedTopics, this.store.aside.topics('parked').size);
    stats.set(stat.asideFull, this.outbox?.asideFull ?? 0);
    stats.set(stat.drainBytesPerSecond, this.pace.limit);
    stats.set(stat.producers, this.producers.count);
    stats.set(stat.sessions, this.producers.sessionCount);
    const inFlight = this.kafka.map(({ producer }) => producer.inFlight.messages);
    stats.set(
      stat.inFlight,
      inFlight.reduce((sum, messages) => sum + messages, 0),
    );
    const pressure = (this.outbox ?? this.embedded)?.pressure;
    stats.set(stat.pressure, pressure === 'hard' ? 2 : pressure === 'soft' ? 1 : 0);
  }
}
