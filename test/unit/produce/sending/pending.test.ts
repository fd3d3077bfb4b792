import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../../protocol/src/generated.ts';
import type { Acker } from '../../../../src/produce/intake/acker.ts';
import { ArraySlab } from '../../../../src/produce/intake/array-slab.ts';
import { addSegment, emptyMicroBatch } from '../../../../src/produce/intake/micro-batch.ts';
import { ProducerSession } from '../../../../src/produce/intake/producer-session.ts';
import { Pending, type PendingBounds } from '../../../../src/produce/sending/pending.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

/** Notes what each correlation id of a session was told. */
class Told {
  readonly answers = new Map<string, string[]>();

  plain(session: number, first: number, count: number): void {
    for (let i = 0; i < count; i++) this.note(session, first + i, 'plain');
  }

  placed(session: number, first: number, count: number, place: { offset: number }): void {
    const at = (i: number): number => (place.offset < 0 ? -1 : place.offset + i);
    for (let i = 0; i < count; i++) this.note(session, first + i, `at ${at(i)}`);
  }

  refused(session: number, first: number, count: number, why: { code: number }): void {
    for (let i = 0; i < count; i++) this.note(session, first + i, `code ${why.code}`);
  }

  private note(session: number, id: number, answer: string): void {
    const key = `${session}/${id >>> 0}`;
    this.answers.set(key, [...(this.answers.get(key) ?? []), answer]);
  }
}

/** Producer `p` has the id p; the session that speaks for it changes with each reconnect. */
class Bench {
  readonly told = new Told();
  readonly confirmed = new Set<number>();
  readonly parked = new Set<number>();
  readonly producers = [1, 2, 3].map((id) => new ProducerSession(BigInt(id), 0));
  readonly sessions = [0, 1, 2];
  readonly pending: Pending;
  /** By the lane's sequence: who sent it, and in which batch. */
  readonly messages: { producer: number; sequence: number; batch: number }[] = [];
  readonly next = [1, 1, 1];
  /** Reads of the producers of stored segments. */
  looks = 0;
  private readonly store: { floor: number; nextSequence: number };
  private batches = 0;

  constructor({
    storedBefore = 0,
    bounds,
  }: { storedBefore?: number; bounds?: PendingBounds } = {}) {
    const { confirmed, parked, sessions } = this;
    for (let i = 0; i < storedBefore; i++) {
      this.messages.push({ producer: 0, sequence: i + 1, batch: -1 });
    }
    this.producers[0]?.accept(1, storedBefore, true);
    this.producers[0]?.forget();
    this.next[0] = storedBefore + 1;
    const store = {
      nextSequence: storedBefore + 1,
      isConfirmed: (sequence: number) => confirmed.has(sequence),
      get floor(): number {
        let floor = 1;
        while (confirmed.has(floor)) floor++;
        return floor;
      },
    };
    this.store = store;
    this.pending = new Pending({
      acker: this.told as unknown as Acker,
      store,
      isParked: () => parked.size > 0,
      isOpen: (session) => sessions.includes(session),
      ...(bounds === undefined ? {} : { bounds }),
    });
  }

  get floor(): number {
    return this.store.floor;
  }

  add(segments: readonly { producer: number; count: number; replicated: boolean }[]): void {
    const batch = emptyMicroBatch(0, segments.length, new ArraySlab());
    batch.firstSequence = this.messages.length + 1;
    for (const { producer, count, replicated } of segments) {
      const sequence = this.next[producer] as number;
      this.producers[producer]?.accept(sequence, count, true);
      addSegment(batch, {
        session: this.sessions[producer] as number,
        correlationId: sequence,
        count,
        sequence,
        replicated,
        due: false,
        producer: this.producers[producer] as ProducerSession,
      });
      for (let i = 0; i < count; i++) {
        this.messages.push({ producer, sequence: sequence + i, batch: this.batches });
      }
      this.next[producer] = sequence + count;
    }
    this.batches++;
    batch.producers = new Proxy(batch.producers, {
      get: (all, key, self) => {
        if (typeof key === 'string' && /^\d+$/.test(key)) this.looks++;
        return Reflect.get(all, key, self);
      },
    });
    this.pending.add(batch);
    this.store.nextSequence = this.messages.length + 1;
  }

  settle(sequence: number, code: number): void {
    this.confirmed.add(sequence);
    if (code !== 0) this.pending.refuse(sequence, 1, code);
    else this.pending.confirm(sequence, 1, { cluster: 0, partition: 0, offset: sequence * 10 });
  }

  park(sequence: number): void {
    this.confirmed.add(sequence);
    this.parked.add(sequence);
    this.pending.park(sequence);
  }

  deliverParked(sequence: number): void {
    this.parked.delete(sequence);
    const place = { cluster: 0, partition: 0, offset: sequence * 10 };
    this.pending.settleParked(sequence, { code: 0, ...place });
  }

  resend(producer: number, sequence: number, count: number, correlationId: number): void {
    this.pending.attach({
      session: this.sessions[producer] as number,
      correlationId,
      count,
      producer: this.producers[producer] as ProducerSession,
      sequence,
      replicated: true,
      topic: 1,
    });
  }
}

const retryLater = `code ${ErrorCode.RETRY_LATER}`;
const producer = fc.integer({ min: 0, max: 2 });
const segment = fc.record({
  producer,
  count: fc.integer({ min: 1, max: 4 }),
  replicated: fc.boolean(),
});
const segments = fc.array(segment, { minLength: 1, maxLength: 4 });
const kind = <T extends string>(name: T): fc.Arbitrary<T> => fc.constant(name);
const step = fc.oneof(
  fc.record({ kind: kind('add'), segments }),
  fc.record({ kind: kind('settle'), at: fc.nat(), how: fc.integer({ min: 0, max: 2 }) }),
  fc.record({ kind: kind('deliver'), at: fc.nat() }),
  fc.record({
    kind: kind('resend'),
    producer,
    at: fc.nat(),
    count: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({ kind: kind('reconnect'), producer }),
);

/** Message by message: what each correlation id must hear, and how much may be remembered. */
class Twin {
  readonly bench: Bench;
  private readonly bounds: PendingBounds;
  private readonly verdicts = new Map<number, string>();
  /** By the lane's sequence: the ids that wait for it. */
  private readonly waiting = new Map<number, { key: string; session: number }[]>();
  private readonly answers = new Map<string, readonly string[]>();
  /** By batch: its segments, and its messages without a verdict. */
  private readonly batches: { segments: number; open: number; isForgotten: boolean }[] = [];
  private readonly forgotten: number[];
  private forgottenUntil: number;
  private ids = 1_000_000;

  constructor(bounds: PendingBounds, storedBefore: number) {
    this.bounds = bounds;
    this.bench = new Bench({ storedBefore, bounds });
    this.forgotten = [storedBefore, 0, 0];
    this.forgottenUntil = storedBefore + 1;
  }

  private get openSegments(): number {
    const held = this.batches.filter(({ open, isForgotten }) => open > 0 && !isForgotten);
    return held.reduce((sum, batch) => sum + batch.segments, 0);
  }

  add(parts: readonly { producer: number; count: number; replicated: boolean }[]): void {
    const { bench } = this;
    const from = bench.messages.length + 1;
    const isForgotten = this.openSegments >= this.bounds.segmentsMax;
    const flags = parts.flatMap(({ count, replicated }) => Array(count).fill(replicated));
    this.batches.push({ segments: parts.length, open: flags.length, isForgotten });
    bench.add(parts);
    for (const [i, replicated] of flags.entries()) {
      const { producer, sequence } = bench.messages[from + i - 1]!;
      if (isForgotten) this.forgotten[producer] = sequence;
      if (!replicated) continue;
      const session = bench.sessions[producer] as number;
      this.waiting.set(from + i, [{ key: `${session}/${sequence}`, session }]);
    }
    if (isForgotten) this.forgottenUntil = bench.messages.length + 1;
  }

  /** `how`: 0 confirmed, 1 refused, 2 parked. */
  settle(lane: number, how: number): void {
    const { bench, verdicts } = this;
    if (verdicts.has(lane)) return;
    const verdict = how === 0 ? `at ${lane * 10}` : how === 1 ? 'code 30' : 'parked';
    verdicts.set(lane, verdict);
    const batch = this.batches[bench.messages[lane - 1]!.batch];
    if (batch !== undefined) batch.open--;
    if (how === 2) bench.park(lane);
    else bench.settle(lane, how === 1 ? ErrorCode.MESSAGE_TOO_LARGE : 0);
    if (how !== 2) this.tell(lane, verdict);
  }

  deliver(at: number): void {
    const parked = [...this.bench.parked];
    const lane = parked[at % parked.length];
    if (lane === undefined) return;
    this.bench.deliverParked(lane);
    this.tell(lane, `at ${lane * 10}`);
  }

  reconnect(producer: number): void {
    this.bench.sessions[producer] = this.ids++;
  }

  resend(producer: number, at: number, most: number): void {
    const { bench, verdicts } = this;
    const known = (bench.next[producer] as number) - 1;
    if (known === 0) return;
    const first = 1 + (at % known);
    const count = Math.min(most, known - first + 1);
    const session = bench.sessions[producer] as number;
    for (let i = 0; i < count; i++) {
      const key = `${session}/${this.ids + i}`;
      const lane =
        1 + bench.messages.findIndex((m) => m.producer === producer && m.sequence === first + i);
      const batch = this.batches[bench.messages[lane - 1]!.batch];
      const isDoubtful =
        first + i <= (this.forgotten[producer] as number) && bench.floor < this.forgottenUntil;
      if (!verdicts.has(lane) && batch?.isForgotten === false) {
        const all = this.waiting.get(lane) ?? [];
        this.waiting.set(lane, [...all, { key, session }]);
      } else if (!verdicts.has(lane) || bench.parked.size > 0) {
        this.answers.set(key, [retryLater]);
      } else this.answers.set(key, isDoubtful ? ['plain', retryLater] : ['plain']);
    }
    bench.resend(producer, first, count, this.ids);
    this.ids += count;
  }

  /** What is held follows what is open, whatever is stuck and whoever has come and gone. */
  checkMemory(): void {
    const { segmentCount, waiterCount } = this.bench.pending;
    const held = 2 * this.openSegments + this.bounds.settledMin;
    // As much for the index of resends, which may know of batches that have left.
    assert.ok(segmentCount <= 3 * held + this.bounds.settledMin, `${segmentCount} held, ${held}`);
    const most = 2 * [...this.waiting.values()].flat().length + 2_048;
    assert.ok(waiterCount <= most, `${waiterCount} wait`);
  }

  end(): void {
    const { bench } = this;
    for (let lane = 1; lane <= bench.messages.length; lane++) this.settle(lane, 0);
    while (bench.parked.size > 0) this.deliver(0);
    const heard = bench.told.answers;
    for (const [key, allowed] of this.answers) {
      const all = heard.get(key) ?? [];
      if (allowed.includes('gone') && all.length === 0) continue;
      assert.equal(all.length, 1, `${key} heard ${all.join()}`);
      assert.ok(allowed.includes(all[0] as string), `${key}: ${all[0]}, not ${allowed.join()}`);
    }
    for (const key of heard.keys()) assert.ok(this.answers.has(key), `${key} did not ask`);
    assert.equal(bench.pending.size, 0);
    assert.equal(bench.pending.waiterCount, 0);
  }

  /** Who has left meanwhile need not be told. */
  private tell(lane: number, verdict: string): void {
    for (const { key, session } of this.waiting.get(lane) ?? []) {
      const isOpen = this.bench.sessions.includes(session);
      this.answers.set(key, isOpen ? [verdict] : [verdict, 'gone']);
    }
    this.waiting.delete(lane);
  }
}

test('everybody who waits for a message is answered once, by its own verdict', async () => {
  const bounds = fc.record({
    segmentsMax: fc.constantFrom(2, 6, 1_000),
    settledMin: fc.constantFrom(0, 3, 1_000),
  });
  const steps = fc.array(step, { maxLength: 60 });
  await check(
    fc.property(bounds, fc.nat(3), steps, (some, storedBefore, all) => {
      const twin = new Twin(some, storedBefore);
      for (const what of all) {
        if (what.kind === 'add') twin.add(what.segments);
        else if (what.kind === 'deliver') twin.deliver(what.at);
        else if (what.kind === 'reconnect') twin.reconnect(what.producer);
        else if (what.kind === 'resend') twin.resend(what.producer, what.at, what.count);
        else if (twin.bench.messages.length > 0) {
          twin.settle(1 + (what.at % twin.bench.messages.length), what.how);
        }
        twin.checkMemory();
      }
      twin.end();
    }),
    500,
  );
});

const one = { producer: 0, count: 1, replicated: true };

test('one message that is stuck keeps nothing of those behind it that were confirmed', () => {
  const bench = new Bench();
  bench.add([one]);
  for (let i = 0; i < 20_000; i++) {
    bench.add([{ ...one, producer: 1 }]);
    bench.settle(bench.messages.length, 0);
  }
  assert.ok(bench.pending.size < 5_000, `${bench.pending.size} batches are held`);
  bench.settle(1, 0);
  assert.deepEqual(bench.told.answers.get('0/1'), ['at 10']);
  assert.equal(bench.pending.size, 0);
});

test('however many resends there are, each waiting segment is looked at once', () => {
  const bench = new Bench();
  for (let i = 0; i < 2_000; i++) bench.add([one, { ...one, producer: 1 }]);
  bench.looks = 0;
  for (let i = 1; i <= 2_000; i++) bench.resend(0, i, 1, 10_000 + i);
  assert.ok(bench.looks <= 4_000, `${bench.looks} looks`);
  bench.settle(3_999, 0);
  assert.deepEqual(bench.told.answers.get('0/12000'), ['at 39990']);
});

test('what resends have made it look up leaves with the batches', () => {
  const bench = new Bench();
  for (let i = 1; i <= 20_000; i++) {
    bench.add([one]);
    bench.resend(0, i, 1, 100_000 + i);
    bench.settle(i, 0);
  }
  const { segmentCount } = bench.pending;
  assert.ok(segmentCount < 5_000, `${segmentCount} segments are held`);
  assert.deepEqual(bench.told.answers.get('0/120000'), ['at 200000']);
});

test('a client that comes back again and again leaves nobody who waits behind', () => {
  const bench = new Bench();
  for (let i = 0; i < 4_000; i++) bench.add([one]);
  for (let round = 101; round <= 150; round++) {
    bench.sessions[0] = round;
    bench.resend(0, 1, 4_000, 10_000);
    const { waiterCount } = bench.pending;
    assert.ok(waiterCount <= 2 * 4_000 + 1, `${waiterCount} wait in round ${round}`);
  }
  bench.settle(1, 0);
  assert.deepEqual(bench.told.answers.get('150/10000'), ['at 10']);
});

test('a resend of what a former run left unconfirmed is told to come again', () => {
  const bench = new Bench({ storedBefore: 3 });
  bench.resend(0, 1, 1, 5_000);
  assert.deepEqual(bench.told.answers.get('0/5000'), [retryLater]);
  for (let sequence = 1; sequence <= 3; sequence++) bench.settle(sequence, 0);
  bench.resend(0, 1, 1, 5_001);
  assert.deepEqual(bench.told.answers.get('0/5001'), ['plain']);
});

test('while a former run has something stuck, resends of what is confirmed are answered', () => {
  const bench = new Bench({ storedBefore: 3 });
  bench.add([one, { ...one, producer: 1 }]);
  for (let sequence = 2; sequence <= 5; sequence++) bench.settle(sequence, 0);
  bench.resend(0, 3, 2, 5_000);
  bench.resend(1, 1, 1, 6_000);
  assert.deepEqual(bench.told.answers.get('0/5000'), [retryLater]);
  assert.deepEqual(bench.told.answers.get('0/5001'), ['plain']);
  assert.deepEqual(bench.told.answers.get('1/6000'), ['plain']);
});

test('a message that was parked is not with the backend, whatever stands before it', () => {
  const bench = new Bench();
  bench.add([one]);
  bench.add([{ ...one, producer: 1 }]);
  bench.park(2);
  bench.resend(1, 1, 1, 5_000);
  assert.deepEqual(bench.told.answers.get('1/5000'), [retryLater]);
});
