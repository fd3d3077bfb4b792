import assert from 'node:assert/strict';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { limits } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { answerAside } from '../../../src/produce/aside-calls.ts';
import type { Acker } from '../../../src/produce/intake/acker.ts';
import { LaneStats, stat } from '../../../src/produce/intake/lane-stats.ts';
import type { Producers } from '../../../src/produce/intake/producers.ts';
import { OutboxJournal } from '../../../src/produce/journal/outbox-journal.ts';
import { DrainPace } from '../../../src/produce/sending/drain-pace.ts';
import { Forwarder } from '../../../src/produce/sending/forwarder.ts';
import { StoredTopics } from '../../../src/produce/sending/stored-topics.ts';
import type {
  AsideCount,
  AsideEntry,
  AsideLog,
  AsideName,
  AsidePlace,
  LaneStore,
  Refusal,
} from '../../../src/store/lane-store.ts';
import { ManualClock } from '../store/support.ts';
import { FakeStore } from './fake-store.ts';
import { type BrokerLog, FakeProducer, settle } from './support.ts';

/** A disk that ends what it was asked for when a test says so. */
export class FakeDisk {
  isSlow = false;
  private waiting: (() => void)[] = [];

  pass(): Promise<void> {
    return new Promise((resolve) => {
      if (this.isSlow) this.waiting.push(resolve);
      else resolve();
    });
  }

  go(): void {
    for (const resolve of this.waiting.splice(0, 1)) resolve();
  }

  quicken(): void {
    this.isSlow = false;
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** Both logs beside the outbox in memory; an entry counts one byte. */
export class FakeAside implements AsideLog {
  readonly logs = { parked: new Map<number, AsideEntry>(), undeliverable: new Map() } as Record<
    AsideName,
    Map<number, AsideEntry>
  >;
  /** Times that the undeliverable log was walked over. */
  walks = 0;
  private readonly store: FakeStore;
  private readonly disk: FakeDisk;
  private turn: Promise<unknown> = Promise.resolve();

  constructor(store: FakeStore, disk: FakeDisk) {
    this.store = store;
    this.disk = disk;
  }

  topics(log: AsideName): ReadonlyMap<string, Readonly<AsideCount>> {
    const topics = new Map<string, AsideCount>();
    for (const { topic } of this.logs[log].values()) {
      const count = topics.get(topic) ?? { messages: 0, bytes: 0, sinceMs: 0 };
      topics.set(topic, { ...count, messages: count.messages + 1, bytes: count.bytes + 1 });
    }
    return topics;
  }

  messages(log: AsideName): number {
    return this.logs[log].size;
  }

  bytes(log: AsideName): number {
    return this.logs[log].size;
  }

  put(log: AsideName, refusals: readonly Refusal[]): Promise<readonly AsideEntry[]> {
    return this.next(async () => {
      const wants = ({ sequence }: Refusal): boolean => !this.store.isConfirmed(sequence);
      const entries = refusals.filter(wants).map((refusal) => this.entryOf(refusal));
      await this.disk.pass();
      const fresh = entries.filter(wants);
      await this.disk.pass();
      for (const entry of fresh) {
        this.logs[log].set(entry.sequence, entry);
        this.store.confirmed.add(entry.sequence);
      }
      return fresh;
    });
  }

  async *entries(log: AsideName, from?: AsidePlace): AsyncGenerator<AsideEntry> {
    if (log === 'undeliverable') this.walks++;
    await this.disk.pass();
    const all = [...this.logs[log].values()].sort((a, b) => a.sequence - b.sequence);
    for (const entry of all) {
      if (from !== undefined && entry.topic !== from.topic) continue;
      if (from !== undefined && entry.sequence < from.sequence) continue;
      yield entry;
    }
  }

  async *newest(countMax: number): AsyncGenerator<AsideEntry> {
    const all: AsideEntry[] = [];
    for await (const entry of this.entries('undeliverable')) all.push(entry);
    yield* all.toReversed().slice(0, countMax);
  }

  remove(log: AsideName, places: readonly AsidePlace[]): Promise<number> {
    return this.next(async () => {
      await this.disk.pass();
      return places.filter(({ sequence }) => this.logs[log].delete(sequence)).length;
    });
  }

  move(from: AsideName, to: AsideName, entries: readonly AsideEntry[]): Promise<void> {
    return this.next(async () => {
      await this.disk.pass();
      for (const entry of entries) {
        if (this.logs[from].delete(entry.sequence)) this.logs[to].set(entry.sequence, entry);
      }
    });
  }

  /** The entry of a message that the outbox holds. */
  entryOf(refusal: Refusal): AsideEntry {
    const { sequence } = refusal;
    const { header, payload } = this.store.batchOf(sequence);
    let at = 0;
    for (let i = header.firstSequence; i < sequence; i++) at += 8 + payload.readUInt32LE(at);
    const id = payload.readUInt16LE(at + 4);
    const { acceptedMs } = header;
    const topic = header.topics.find((one) => one.id === id)?.name ?? '';
    const body = payload.subarray(at + 8, at + 8 + payload.readUInt32LE(at));
    const producer = { producerId: 7n, epoch: 0, producerSequence: sequence };
    return { ...refusal, ...producer, failedMs: 0, acceptedMs, topic, flags: 0, body };
  }

  private next<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.turn.then(work);
    this.turn = turn;
    return turn;
  }
}

/** Who waits for verdicts: one connection, its correlation ids are the lane's sequences. */
class FakeAcker {
  readonly answers = new Map<number, number>();

  placed(_session: number, first: number, count: number): void {
    for (let id = first; id < first + count; id++) this.answer(id, ErrorCode.OK);
  }

  refused(_session: number, first: number, count: number, { code }: { code: number }): void {
    for (let id = first; id < first + count; id++) this.answer(id, code);
  }

  flush(): void {}

  private answer(id: number, code: number): void {
    assert.ok(!this.answers.has(id), `${id} was answered twice`);
    this.answers.set(id, code);
  }
}

/** An outbox before two clusters: journal and forwarder as a lane puts them together. */
export class OutboxBench {
  readonly store = new FakeStore();
  readonly clock = new ManualClock();
  readonly disk = new FakeDisk();
  readonly aside = new FakeAside(this.store, this.disk);
  readonly acker = new FakeAcker();
  readonly stats = new LaneStats();
  readonly log: BrokerLog = { topics: new Map() };
  readonly producer = new FakeProducer(this.log);
  readonly alone = new FakeProducer(this.log);
  readonly parked = new FakeProducer(this.log, true);
  readonly backupLog: BrokerLog = { topics: new Map() };
  readonly backup = new FakeProducer(this.backupLog);
  readonly backupAlone = new FakeProducer(this.backupLog);
  readonly marks = {
    softBytes: Number.POSITIVE_INFINITY,
    hardBytes: Number.POSITIVE_INFINITY,
    freeBytesMin: 0,
    parkedBytes: Number.POSITIVE_INFINITY,
    undeliverableBytes: Number.POSITIVE_INFINITY,
    drainsGently: false,
  };
  readonly journal: OutboxJournal;
  readonly forwarder: Forwarder;
  /** What goes on beside all else: topics that are given up, calls of an operator. */
  readonly beside: Promise<unknown>[] = [];
  readonly #waitedFor: number[] = [];

  /** @param prepare leaves what a former run has left */
  constructor(topicIds: readonly number[], prepare: (bench: OutboxBench) => void = () => {}) {
    const { clock, stats, marks, producer, backup } = this;
    const store = Object.assign(this.store, { aside: this.aside }) as unknown as LaneStore;
    const onFailure = (error: unknown): void => assert.fail(`${error}`);
    const producers = { session: () => ({}) } as unknown as Producers;
    const acker = this.acker as unknown as Acker;
    const topics = new StoredTopics(() => {}, silentLogger());
    for (const id of topicIds) {
      for (const one of this.producers) one.setTopic(id, `t${id}`);
      topics.set(id, `t${id}`);
    }
    const journal = new OutboxJournal({ store, producers, acker, stats, clock, marks, onFailure });
    const hold = (one: FakeProducer) => (onVerdicts: FakeProducer['onRows']) => {
      one.onRows = onVerdicts;
      return { producer: one, register: (id: number) => one.setTopic(id, `t${id}`) };
    };
    this.forwarder = new Forwarder({
      store,
      producer,
      topics,
      pace: new DrainPace({ clock, stats, isGentle: () => false, takeTurns: async () => {} }),
      originNode: new Uint8Array(8),
      clock,
      stats,
      log: silentLogger(),
      openAlone: hold(this.alone),
      backup: { producer: backup, openAlone: hold(this.backupAlone) },
      onConfirmed: (first, count, partition, offset, cluster) =>
        journal.confirmed(first, count, partition, offset, cluster),
      onRefused: (refusals) => journal.refused(refusals),
      onResend: () => {},
      onMissing: () => {},
      isUndeliverableFull: () => journal.isUndeliverableFull,
      parking: {
        open: hold(this.parked),
        isFull: () => journal.isParkedFull,
        isOutboxPressed: () => journal.isHalfFull,
        isPatient: () => false,
        confirmedByPrimary: () => this.stats.get(stat.confirmedPrimary),
        onParked: (sequences) => journal.parked(sequences),
        onDelivered: (sequence, place) => journal.parkedDelivered(sequence, place),
        onRefused: (entries, verdict) => journal.parkedRefused(entries, verdict),
      },
      onFailure,
    });
    journal.attach(this.forwarder);
    this.journal = journal;
    producer.onRows = (rows, count) => this.forwarder.verdicts(rows, count);
    backup.onRows = (rows, count) => this.forwarder.verdicts(rows, count, 1);
    prepare(this);
    this.forwarder.start();
  }

  get producers(): readonly FakeProducer[] {
    return [this.producer, this.alone, this.parked, this.backup, this.backupAlone];
  }

  /** Stores a batch, as a lane does; somebody waits for its verdicts, or nobody. */
  produce(topics: readonly number[], isWaitedFor = true): void {
    const batch = this.store.append(topics, undefined, isWaitedFor);
    const { firstSequence, messages } = batch;
    for (let i = 0; isWaitedFor && i < messages; i++) this.#waitedFor.push(firstSequence + i);
    this.journal.answer(batch, {
      plain: () => {},
      scheduled: () => {},
    } as unknown as Acker);
    batch.payload = this.store.payloadAt(this.store.batches.length - 1);
    this.journal.forward(batch);
  }

  /** Topics that stand still have done so for long, and others were confirmed meanwhile. */
  async stand(): Promise<void> {
    for (const ms of [1_000, limits.topicStuckMs, 1_000]) {
      this.stats.add(stat.confirmedPrimary, 1);
      this.clock.advance(ms);
      await settle();
    }
  }

  /** An operator sends what was put aside again: of a topic, or all. */
  retry(log: AsideName, topic?: number): void {
    const of = topic === undefined ? {} : { topic: `t${topic}` };
    const room = {
      aside: this.aside,
      retryParked: (name: string) => this.forwarder.retryParked(name),
    };
    this.beside.push(answerAside(room, { does: 'retry', log, ...of }));
  }

  /** The messages that a producer has, by the lane's sequences. */
  messagesOf({ waiting, messages }: FakeProducer): number[] {
    return waiting.map(({ sequence }) => messages.get(sequence) ?? sequence);
  }

  /** Everything is well again, until nothing waits or is parked any more. */
  async drain(): Promise<void> {
    this.disk.quicken();
    const { marks } = this;
    marks.parkedBytes = marks.undeliverableBytes = marks.softBytes = Number.POSITIVE_INFINITY;
    for (const producer of this.producers) {
      producer.unknown.clear();
      producer.full.clear();
      producer.queueRoom = Number.POSITIVE_INFINITY;
    }
    const ids = [...this.producer.names.keys()];
    const isDone = () =>
      this.store.stats().unconfirmedMessages === 0 &&
      !ids.some((id) => this.forwarder.isParked(id));
    for (let round = 0; round < 300; round++) {
      await settle();
      if (isDone()) return;
      this.clock.advance(1_000);
      for (const producer of this.producers) {
        producer.ready(-1);
        for (const topic of new Set(producer.waiting.map((sent) => sent.topic))) {
          producer.judge(topic, Number.POSITIVE_INFINITY, 0);
        }
      }
    }
    const parked = ids.filter((id) => this.forwarder.isParked(id));
    const left = this.store.stats().unconfirmedMessages;
    assert.fail(`topics ${parked} stay parked, ${left} messages unconfirmed`);
  }

  /** Nobody holds a message twice, and who waited has heard of those that are done. */
  async end(): Promise<void> {
    await Promise.all(this.beside);
    await settle();
    const { undeliverable, parked } = this.aside.logs;
    assert.equal(parked.size, 0);
    const places = [...undeliverable.keys()];
    for (const { topics } of [this.log, this.backupLog])
      places.push(...[...topics.values()].flat());
    places.sort((a, b) => a - b);
    const all = Array.from({ length: this.store.nextSequence - 1 }, (_, i) => i + 1);
    assert.deepEqual(places, all, 'every message is in one place');
    assert.deepEqual(
      [...this.acker.answers.keys()].sort((a, b) => a - b),
      this.#waitedFor,
    );
    for (const sequence of undeliverable.keys()) {
      assert.notEqual(this.acker.answers.get(sequence), ErrorCode.OK);
    }
  }
}
