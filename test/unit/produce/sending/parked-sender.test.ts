import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../../../src/base/log.ts';
import {
  DEFER_REASON,
  type KafkaProducer,
  type ProduceRequest,
  type ProduceResult,
} from '../../../../src/native/kafka.ts';
import { LaneStats } from '../../../../src/produce/intake/lane-stats.ts';
import type { Backlog } from '../../../../src/produce/sending/backlog.ts';
import { Lag } from '../../../../src/produce/sending/lag.ts';
import { ParkedSender } from '../../../../src/produce/sending/parked-sender.ts';
import { ParkedTopic } from '../../../../src/produce/sending/parked-topic.ts';
import type {
  AsideEntry,
  AsideName,
  AsidePlace,
  LaneStore,
} from '../../../../src/store/lane-store.ts';
import { fc } from '../../../support/fast-check.ts';
import { ManualClock } from '../../store/support.ts';
import { check } from '../support.ts';

const TOPIC = 1;
const RETRY_MS = 2_000;

/** The parked log of one topic. What was removed from it is still walked over. */
class FakeAside {
  readonly entriesByPlace: { readonly entry: AsideEntry; isGone: boolean }[] = [];
  walked = 0;
  removals = 0;

  put(sequence: number, acceptedMs: number): void {
    const entry: AsideEntry = {
      sequence,
      code: 'PARKED',
      reason: 'it takes no messages',
      failedMs: 0,
      acceptedMs,
      producerId: 7n,
      epoch: 0,
      producerSequence: sequence,
      topic: 't1',
      flags: 0,
      body: Buffer.from(`${sequence}`),
    };
    this.entriesByPlace.push({ entry, isGone: false });
    this.entriesByPlace.sort((a, b) => a.entry.sequence - b.entry.sequence);
  }

  get left(): number[] {
    const left = this.entriesByPlace.filter(({ isGone }) => !isGone);
    return left.map(({ entry }) => entry.sequence);
  }

  async *entries(_log: AsideName, from: AsidePlace): AsyncGenerator<AsideEntry> {
    for (const { entry, isGone } of [...this.entriesByPlace]) {
      if (entry.sequence < from.sequence) continue;
      this.walked++;
      if (!isGone) yield entry;
    }
  }

  async remove(_log: AsideName, places: readonly AsidePlace[]): Promise<number> {
    this.removals++;
    const gone = new Set(places.map(({ sequence }) => sequence));
    for (const place of this.entriesByPlace) {
      if (gone.has(place.entry.sequence)) place.isGone = true;
    }
    return gone.size;
  }
}

/** A producer with one partition a topic, of a room that a test decides. */
class FakeKafka implements Pick<KafkaProducer, 'produce' | 'renew' | 'generation'> {
  generation = 1;
  partitionRoom = Number.POSITIVE_INFINITY;
  queueRoom = Number.POSITIVE_INFINITY;
  /** Bodies in the order in which they were taken for good. */
  readonly log: string[] = [];
  waiting: { readonly sequence: number; readonly body: string }[] = [];
  onRows: (rows: Float64Array, count: number) => void = () => {};

  produce(request: ProduceRequest): ProduceResult {
    const payload = Buffer.from(request.payload);
    const deferred: number[] = [];
    let sent = 0;
    let nextOrdinal = 0;
    for (let at = 0; at < payload.length; nextOrdinal++) {
      const end = at + 8 + payload.readUInt32LE(at);
      const sequence = request.firstSequence + nextOrdinal;
      if (this.waiting.length >= this.queueRoom) break;
      if (deferred.length > 0 || this.waiting.length >= this.partitionRoom) {
        if (deferred.length === 0) deferred.push(TOPIC, sequence, 1, DEFER_REASON.partitionFull);
      } else {
        this.waiting.push({ sequence, body: payload.toString('utf8', at + 8, end) });
        sent++;
      }
      at = end;
    }
    return { sent, nextOrdinal, fatal: false, deferred };
  }

  renew(): number {
    return this.generation;
  }

  /** So many of what waits get a verdict; the queue and the partition say that they have room. */
  judge(count: number, code = 0): void {
    const judged = this.waiting.splice(0, count);
    if (code === 0) this.log.push(...judged.map(({ body }) => body));
    const rows = judged.map(({ sequence }) => [TOPIC, sequence, 1, code, -1, -1, 1]);
    this.say(...rows, [-1, 0, 0, 0, -1, -1, 0]);
  }

  ready(): void {
    this.say([TOPIC, 0, 0, 0, -1, -1, 0]);
  }

  private say(...rows: number[][]): void {
    this.onRows(Float64Array.from(rows.flat()), rows.length);
  }
}

class Bench {
  readonly aside = new FakeAside();
  readonly kafka = new FakeKafka();
  readonly clock = new ManualClock();
  readonly delivered: number[] = [];
  readonly refused: number[] = [];
  readonly topic = new ParkedTopic(TOPIC, 't1', new Lag(TOPIC, 0), {} as Backlog);
  readonly sender: ParkedSender;

  constructor() {
    const { aside, clock, kafka } = this;
    this.sender = new ParkedSender({
      store: { aside } as unknown as LaneStore,
      clock,
      stats: new LaneStats(),
      log: silentLogger(),
      originNode: new Uint8Array(8),
      open: (onVerdicts) => {
        kafka.onRows = onVerdicts;
        return { producer: kafka as unknown as KafkaProducer, register: () => {} };
      },
      onResend: () => {},
      onDelivered: ({ sequence }) => this.delivered.push(sequence),
      onRefused: async (entries) => {
        this.refused.push(...entries.map(({ sequence }) => sequence));
        await aside.remove('parked', entries);
        return true;
      },
      onMissing: () => {},
      work: () => {},
    });
  }

  park(first: number, count: number): void {
    for (let sequence = first; sequence < first + count; sequence++) {
      this.aside.put(sequence, Math.floor(sequence / 7));
    }
  }

  /** What the owner does whenever there may be something to do. */
  async work(): Promise<void> {
    const { topic, sender, clock } = this;
    await sender.settle(topic);
    if (topic.chunk === undefined && clock.monotonic() >= topic.retryAtMs) await sender.send(topic);
  }
}

function numbers(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

for (const room of ['partitionRoom', 'queueRoom'] as const) {
  test(`a topic drains without a pause where the ${room} is for five messages`, async () => {
    const bench = new Bench();
    bench.park(1, 400);
    bench.kafka[room] = 5;
    // The clock stands still: whoever waits for it never ends.
    for (let round = 0; round < 100 && bench.aside.left.length > 0; round++) {
      await bench.work();
      bench.kafka.judge(5);
    }
    assert.deepEqual(bench.aside.left, []);
    assert.deepEqual(bench.kafka.log, numbers(1, 400).map(String));
    assert.deepEqual(bench.delivered, numbers(1, 400));
    assert.ok(bench.aside.walked <= 3 * 400, `${bench.aside.walked} entries were read`);
  });
}

test('what was sent is not walked over again', async () => {
  const bench = new Bench();
  bench.park(1, 5_000);
  for (let round = 0; round < 20 && bench.aside.left.length > 0; round++) {
    await bench.work();
    bench.kafka.judge(Number.POSITIVE_INFINITY);
  }
  assert.deepEqual([bench.aside.left, bench.aside.removals], [[], 11]);
  assert.ok(bench.aside.walked <= 2 * 5_000, `${bench.aside.walked} entries were walked over`);
});

test('messages that are refused cost no pause, and no other its delivery', async () => {
  const bench = new Bench();
  bench.park(1, 400);
  const { kafka } = bench;
  // The clock stands still: whoever waits for it never ends.
  for (let round = 0; round < 420 && bench.aside.left.length > 0; round++) {
    await bench.work();
    // A batch is refused for each message of it.
    const isBad = kafka.waiting.some(({ body }) => Number(body) % 50 === 0);
    kafka.judge(Number.POSITIVE_INFINITY, isBad ? 87 : 0);
    await bench.work();
  }
  assert.deepEqual(bench.aside.left, []);
  assert.deepEqual(bench.refused, [50, 100, 150, 200, 250, 300, 350, 400]);
  assert.equal(bench.delivered.length, 392);
});

test('refusals that count the second time cost a pause a chunk, and none a message', async () => {
  const bench = new Bench();
  bench.park(1, 100);
  const { kafka, clock, topic } = bench;
  let pauses = 0;
  for (let round = 0; round < 300 && bench.aside.left.length > 0; round++) {
    await bench.work();
    if (clock.monotonic() < topic.retryAtMs) {
      clock.advance(RETRY_MS);
      pauses++;
    } else kafka.judge(Number.POSITIVE_INFINITY, -190);
  }
  assert.deepEqual(bench.refused, numbers(1, 100));
  // Of the first message, which is alone, and of the others.
  assert.equal(pauses, 2);
});

test('what is refused once, where that counts the second time, is delivered when it is taken', async () => {
  const bench = new Bench();
  bench.park(1, 20);
  const { kafka, clock } = bench;
  await bench.work();
  kafka.judge(1);
  await bench.work();
  kafka.judge(5);
  kafka.judge(14, -190);
  await bench.work();
  assert.equal(kafka.waiting.length, 0);
  clock.advance(RETRY_MS);
  for (let round = 0; round < 15; round++) {
    await bench.work();
    kafka.judge(Number.POSITIVE_INFINITY);
  }
  await bench.work();
  assert.deepEqual([bench.aside.left, bench.refused], [[], []]);
});

test('what was sent alone after a refusal is sent together again behind it', async () => {
  const bench = new Bench();
  bench.park(1, 20);
  await bench.work();
  bench.kafka.judge(1);
  await bench.work();
  assert.equal(bench.kafka.waiting.length, 19);
  bench.park(21, 20);
  bench.kafka.judge(19, 87);
  for (let alone = 0; alone < 19; alone++) {
    await bench.work();
    assert.equal(bench.kafka.waiting.length, 1);
    bench.kafka.judge(1);
  }
  await bench.work();
  assert.equal(bench.kafka.waiting.length, 20);
});

test('a topic that takes nothing is tried with one message every two seconds, or when it is ready', async () => {
  const bench = new Bench();
  bench.park(1, 10);
  bench.kafka.partitionRoom = 0;
  await bench.work();
  bench.kafka.partitionRoom = 100;
  await bench.work();
  assert.equal(bench.kafka.waiting.length, 0);
  bench.clock.advance(RETRY_MS);
  await bench.work();
  assert.equal(bench.kafka.waiting.length, 1);
  // It comes back: the next one is alone again, and in time.
  bench.kafka.judge(1, -192);
  await bench.work();
  await bench.work();
  assert.equal(bench.kafka.waiting.length, 0);
  bench.kafka.ready();
  await bench.work();
  assert.deepEqual(
    bench.kafka.waiting.map(({ body }) => body),
    ['1'],
  );
});

test('what is put into the log before the place it is read from is delivered too', async () => {
  const bench = new Bench();
  bench.park(100, 3);
  await bench.work();
  bench.kafka.judge(1);
  bench.park(50, 2);
  for (let round = 0; round < 5; round++) {
    await bench.work();
    bench.kafka.judge(10);
  }
  await bench.work();
  assert.deepEqual(bench.aside.left, []);
  assert.deepEqual(bench.delivered, [100, 101, 102, 50, 51]);
});

const event = fc.oneof(
  fc.record({ kind: fc.constant('park' as const), count: fc.integer({ min: 1, max: 8 }) }),
  fc.record({
    kind: fc.constant('room' as const),
    of: fc.constantFrom('partitionRoom' as const, 'queueRoom' as const),
    count: fc.integer({ min: 0, max: 6 }),
  }),
  fc.record({
    kind: fc.constant('judge' as const),
    count: fc.integer({ min: 1, max: 8 }),
    // Taken; timed out; too large, which is final for a message that was alone; final the second
    // time.
    code: fc.constantFrom(0, 0, 0, 0, -192, 10, -190),
  }),
  fc.record({ kind: fc.constant('pass' as const) }),
);

test('whatever is cut short or comes back, all is delivered or refused once, the oldest first', async () => {
  const property = fc.asyncProperty(fc.array(event, { maxLength: 60 }), async (events) => {
    const bench = new Bench();
    const { kafka } = bench;
    let parked = 0;
    for (const one of events) {
      if (one.kind === 'park') {
        bench.park(parked + 1, one.count);
        parked += one.count;
      } else if (one.kind === 'room') kafka[one.of] = one.count;
      else if (one.kind === 'judge') kafka.judge(one.count, one.code);
      else bench.clock.advance(RETRY_MS);
      const before = bench.topic.chunk;
      await bench.work();
      const { chunk } = bench.topic;
      if (chunk !== before && chunk !== undefined) {
        assert.equal(chunk.entries[0]?.sequence, bench.aside.left[0], 'the oldest goes first');
      }
    }
    kafka.partitionRoom = kafka.queueRoom = Number.POSITIVE_INFINITY;
    for (let round = 0; bench.aside.left.length > 0; round++) {
      // Perhaps all of them one by one.
      assert.ok(round < 20 + parked, `${bench.aside.left} are stuck`);
      kafka.judge(Number.POSITIVE_INFINITY);
      bench.clock.advance(RETRY_MS);
      await bench.work();
    }
    const ends = [...bench.delivered, ...bench.refused].sort((a, b) => a - b);
    assert.deepEqual(ends, numbers(1, parked));
    assert.deepEqual(bench.delivered.map(String), kafka.log);
  });
  await check(property, 500);
});
