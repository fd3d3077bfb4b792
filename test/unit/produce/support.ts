import assert from 'node:assert/strict';
import { silentLogger } from '../../../src/base/log.ts';
import {
  DEFER_REASON,
  type KafkaProducer,
  type ProduceRequest,
  type ProduceResult,
  type TopicAnswer,
} from '../../../src/native/kafka.ts';
import { LaneStats } from '../../../src/produce/intake/lane-stats.ts';
import { DrainPace } from '../../../src/produce/sending/drain-pace.ts';
import { Forwarder } from '../../../src/produce/sending/forwarder.ts';
import type { AloneProducer, RoadProducer } from '../../../src/produce/sending/road.ts';
import { StoredTopics } from '../../../src/produce/sending/stored-topics.ts';
import type { LaneStore, Refusal } from '../../../src/store/lane-store.ts';
import { fc } from '../../support/fast-check.ts';
import { seed } from '../../support/seeded.ts';
import { ManualClock } from '../store/support.ts';
import { FakeStore } from './fake-store.ts';

/** Checks a property with the run's seed, which is printed. */
export async function check<T>(
  property: fc.IAsyncProperty<T> | fc.IProperty<T>,
  numRuns = 200,
): Promise<void> {
  console.log(`seed=${seed}`);
  await fc.assert(property as fc.IAsyncProperty<T>, { seed, numRuns });
}

/** Lets everything run that waits for no timer and no I/O. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

interface Sent {
  readonly topic: number;
  readonly sequence: number;
}

/** What the broker holds, whoever sent it. */
export interface BrokerLog {
  readonly topics: Map<number, number[]>;
}

/** A native producer whose conditions and verdicts a test decides. */
export class FakeProducer implements KafkaProducer {
  readonly names = new Map<number, string>();
  readonly unknown = new Set<number>();
  /** By topic: how many messages its partition takes at once. */
  readonly full = new Map<number, number>();
  queueRoom = Number.POSITIVE_INFINITY;
  generation = 1;
  isBroken = false;
  produced: ProduceRequest[] = [];
  waiting: Sent[] = [];
  onRows: (rows: Float64Array, count: number) => void = () => {};
  /** By sequence: what was sent under a number of its own ({@link numbersOwn}). */
  readonly messages = new Map<number, number>();
  private readonly log: BrokerLog;
  private readonly numbersOwn: boolean;

  /** @param numbersOwn messages come under numbers of their sender, not of the lane */
  constructor(log: BrokerLog, numbersOwn = false) {
    this.log = log;
    this.numbersOwn = numbersOwn;
  }

  get inFlight(): { messages: number; bytes: number } {
    return { messages: this.waiting.length, bytes: 0 };
  }

  setTopic(id: number, name: string): void {
    const known = this.names.get(id);
    if (known !== undefined && known !== name) throw new TypeError('the id names another topic');
    this.names.set(id, name);
  }

  produce(request: ProduceRequest): ProduceResult {
    this.produced.push(request);
    const { payload, firstSequence, fromOrdinal = 0, skip, topicsBlocked } = request;
    const messages = request.segmentCounts.reduce((sum, n) => sum + n, 0);
    const deferred = new Map<number, number[]>();
    const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.length);
    const result = { sent: 0, nextOrdinal: fromOrdinal, fatal: false };
    let at = 0;
    for (let ordinal = 0; ordinal < messages; ordinal++) {
      const topic = bytes.readUInt16LE(at + 4);
      const body = bytes.toString('utf8', at + 8, at + 8 + bytes.readUInt32LE(at));
      if (this.numbersOwn) this.messages.set(firstSequence + ordinal, Number(body));
      else assert.equal(Number(body), firstSequence + ordinal);
      at += 8 + bytes.readUInt32LE(at);
      if (ordinal < fromOrdinal) continue;
      const sequence = firstSequence + ordinal;
      if (skip?.[ordinal] !== 1 && !deferred.has(topic)) {
        const reason = this.reasonToDefer(topic, topicsBlocked);
        if (reason > 0) deferred.set(topic, [topic, sequence, 1, reason]);
        else if (this.isBroken) result.fatal = true;
        else if (this.waiting.length >= this.queueRoom) break;
        else {
          this.waiting.push({ topic, sequence });
          result.sent++;
        }
        if (result.fatal) break;
      }
      result.nextOrdinal = ordinal + 1;
    }
    return { ...result, deferred: [...deferred.values()].flat() };
  }

  /** The broker takes the first `count` that wait of a topic, or refuses them. */
  judge(topic: number, count: number, code: number): void {
    const judged = this.waiting.filter((sent) => sent.topic === topic).slice(0, count);
    this.waiting = this.waiting.filter((sent) => !judged.includes(sent));
    if (code === 0) {
      const log = this.log.topics.get(topic) ?? [];
      this.log.topics.set(topic, log);
      for (const { sequence } of judged) log.push(this.messages.get(sequence) ?? sequence);
    }
    this.say(judged.map(({ sequence }) => [topic, sequence, 1, code, -1, -1, this.generation]));
  }

  /** What was deferred of the topic may be sent; -1: the queue has room. */
  ready(topic: number): void {
    this.say([[topic, 0, 0, 0, -1, -1, 0]]);
  }

  renew(): number {
    const purged = this.waiting;
    this.waiting = [];
    const { generation } = this;
    this.generation++;
    this.isBroken = false;
    const rows = purged.map(({ topic, sequence }) => {
      return [topic, sequence, 1, -152, -1, -1, generation];
    });
    setImmediate(() => this.say(rows));
    return this.generation;
  }

  partitionCount(): number {
    return 1;
  }

  lastAnswer(): TopicAnswer {
    return { msAgo: 0, code: 0 };
  }

  async metadata(): Promise<never> {
    return assert.fail('not asked in these tests');
  }

  async flush(): Promise<boolean> {
    return this.waiting.length === 0;
  }

  health(): Float64Array {
    return new Float64Array(0);
  }

  readonly trouble = '';

  async close(): Promise<void> {}

  private say(rows: readonly number[][]): void {
    if (rows.length > 0) this.onRows(Float64Array.from(rows.flat()), rows.length);
  }

  private reasonToDefer(topic: number, blocked: Uint8Array | undefined): number {
    if (blocked?.[topic] === 1) return DEFER_REASON.blocked;
    if (!this.names.has(topic)) return DEFER_REASON.notRegistered;
    if (this.unknown.has(topic)) return DEFER_REASON.topicUnknown;
    const room = this.full.get(topic) ?? Number.POSITIVE_INFINITY;
    const waiting = this.waiting.filter((sent) => sent.topic === topic).length;
    return waiting >= room ? DEFER_REASON.partitionFull : 0;
  }
}

/** As the real road is: an object whose methods need it. */
class BackupRoad implements RoadProducer {
  readonly producer: FakeProducer;
  readonly #alone: FakeProducer;

  constructor(producer: FakeProducer, alone: FakeProducer) {
    this.producer = producer;
    this.#alone = alone;
  }

  openAlone(onVerdicts: (rows: Float64Array, count: number) => void): AloneProducer {
    this.#alone.onRows = onVerdicts;
    return { producer: this.#alone, register: (id) => this.#alone.setTopic(id, `t${id}`) };
  }
}

/** A forwarder among fakes. */
export class ForwarderBench {
  readonly store = new FakeStore();
  readonly clock = new ManualClock();
  readonly log: BrokerLog = { topics: new Map() };
  readonly producer = new FakeProducer(this.log);
  readonly alone = new FakeProducer(this.log);
  /** What the second cluster holds. */
  readonly backupLog: BrokerLog = { topics: new Map() };
  readonly backup = new FakeProducer(this.backupLog);
  readonly backupAlone = new FakeProducer(this.backupLog);
  /** The cluster that confirmed each sequence. */
  readonly confirmedBy = new Map<number, number>();
  readonly missing: number[] = [];
  readonly resends: string[] = [];
  /** The same, with the cluster that each goes to. */
  readonly resentTo: string[] = [];
  readonly stats = new LaneStats();
  readonly topics: StoredTopics;
  readonly forwarder: Forwarder;
  /** Topics that are being given up. */
  readonly dropping: Promise<number>[] = [];
  opened = 0;

  constructor(prepare: (bench: ForwarderBench) => void = () => {}) {
    const { store, producer, alone, log } = this;
    const logger = silentLogger();
    const { backup, backupAlone } = this;
    this.topics = new StoredTopics((id, name) => {
      for (const one of [producer, backup]) one.setTopic(id, name);
    }, logger);
    assert.equal(log.topics.size, 0);
    prepare(this);
    this.forwarder = new Forwarder({
      store: store as unknown as LaneStore,
      producer,
      topics: this.topics,
      pace: new DrainPace({
        clock: this.clock,
        stats: this.stats,
        isGentle: () => true,
        takeTurns: async () => {},
      }),
      originNode: new Uint8Array(8),
      clock: this.clock,
      stats: this.stats,
      log: logger,
      openAlone: (onVerdicts) => {
        this.opened++;
        alone.onRows = onVerdicts;
        return { producer: alone, register: (id) => alone.setTopic(id, `t${id}`) };
      },
      backup: new BackupRoad(backup, backupAlone),
      onConfirmed: (first, count, _partition, _offset, cluster) => {
        for (let s = first; s < first + count; s++) {
          this.confirmedBy.set(s, cluster);
          assert.ok(!store.confirmed.has(s), `${s} was confirmed twice`);
          store.confirmed.add(s);
        }
      },
      onRefused: async (refusals: readonly Refusal[]) => {
        await Promise.resolve();
        for (const { sequence, code } of refusals) {
          assert.ok(!store.refused.has(sequence), `${sequence} was refused twice`);
          store.refused.set(sequence, code);
          store.confirmed.add(sequence);
        }
        return refusals.length;
      },
      onResend: (cause, { firstSequence }, cluster) => {
        this.resends.push(`${cause} ${firstSequence}`);
        this.resentTo.push(`${cause} ${firstSequence} to ${cluster}`);
      },
      onMissing: (topic) => this.missing.push(topic),
      onFailure: (error) => assert.fail(`${error}`),
    });
    producer.onRows = (rows, count) => this.forwarder.verdicts(rows, count);
    backup.onRows = (rows, count) => this.forwarder.verdicts(rows, count, 1);
  }

  know(...topics: readonly number[]): this {
    for (const id of topics) {
      this.producer.setTopic(id, `t${id}`);
      this.backup.setTopic(id, `t${id}`);
      this.topics.set(id, `t${id}`);
    }
    return this;
  }

  /** Stores a batch and hands it to the forwarder, as a lane does; somebody waits, or not. */
  produce(topics: readonly number[], isWaitedFor = true): void {
    const batch = this.store.append(topics);
    batch.hasReplicated = isWaitedFor;
    this.forwarder.forward(batch, this.store.payloadAt(this.store.batches.length - 1));
  }

  /** Sequences of a topic in the broker's log. */
  logOf(topic: number): readonly number[] {
    return this.log.topics.get(topic) ?? [];
  }

  get producers(): readonly FakeProducer[] {
    return [this.producer, this.alone, this.backup, this.backupAlone];
  }

  /** The shared producer of a cluster, and the one for messages that go one by one. */
  producersOf(cluster: number): readonly [shared: FakeProducer, alone: FakeProducer] {
    return cluster === 0 ? [this.producer, this.alone] : [this.backup, this.backupAlone];
  }

  /** Everything is well again, until nothing waits any more. */
  async drain(): Promise<void> {
    for (const producer of this.producers) {
      producer.unknown.clear();
      producer.full.clear();
      producer.queueRoom = Number.POSITIVE_INFINITY;
    }
    for (let round = 0; round < 200; round++) {
      await settle();
      if (this.store.stats().unconfirmedMessages === 0) return;
      this.clock.advance(1_000);
      this.producer.ready(-1);
      this.backup.ready(-1);
      await settle();
      for (const producer of this.producers) {
        for (const topic of new Set(producer.waiting.map((sent) => sent.topic))) {
          producer.judge(topic, Number.POSITIVE_INFINITY, 0);
        }
      }
    }
    assert.fail(`${this.store.stats().unconfirmedMessages} messages are stuck`);
  }
}
