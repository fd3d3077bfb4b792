import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ErrorCode } from '../../../../protocol/src/generated.ts';
import type { Acker } from '../../../../src/produce/intake/acker.ts';
import { ArraySlab } from '../../../../src/produce/intake/array-slab.ts';
import { addSegment, emptyMicroBatch } from '../../../../src/produce/intake/micro-batch.ts';
import { ProducerSession } from '../../../../src/produce/intake/producer-session.ts';
import { Pending } from '../../../../src/produce/sending/pending.ts';
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

/** Producer `p` has the id p, and its messages the correlation ids p * 1000 + sequence. */
class Bench {
  readonly told = new Told();
  readonly confirmed = new Set<number>();
  readonly producers = [1, 2, 3].map((id) => new ProducerSession(BigInt(id), 0));
  readonly pending: Pending;
  /** By the lane's sequence: who sent it, and how. */
  readonly messages: { producer: number; sequence: number; replicated: boolean }[] = [];
  readonly next = [1, 1, 1];
  private readonly store: { floor: number; nextSequence: number };

  constructor(storedBefore = 0) {
    const { confirmed } = this;
    for (let i = 0; i < storedBefore; i++) {
      this.messages.push({ producer: 0, sequence: i + 1, replicated: true });
    }
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
    this.pending = new Pending(this.told as unknown as Acker, store);
  }

  add(segments: readonly { producer: number; count: number; replicated: boolean }[]): void {
    const batch = emptyMicroBatch(0, segments.length, new ArraySlab());
    batch.firstSequence = this.messages.length + 1;
    for (const { producer, count, replicated } of segments) {
      const sequence = this.next[producer] as number;
      addSegment(batch, {
        session: producer,
        correlationId: producer * 1000 + sequence,
        count,
        sequence,
        replicated,
        due: false,
        producer: this.producers[producer] as ProducerSession,
      });
      for (let i = 0; i < count; i++) {
        this.messages.push({ producer, sequence: sequence + i, replicated });
      }
      this.next[producer] = sequence + count;
    }
    this.pending.add(batch);
    this.store.nextSequence = this.messages.length + 1;
  }

  settle(sequence: number, code: number): void {
    if (this.confirmed.has(sequence)) return;
    this.confirmed.add(sequence);
    if (code === 0) {
      const place = { cluster: 0, partition: 0, offset: sequence * 10 };
      this.pending.confirm(sequence, 1, place);
    } else this.pending.refuse(sequence, 1, code);
  }

  resend(producer: number, sequence: number, count: number, correlationId: number): void {
    this.pending.attach({
      session: producer,
      correlationId,
      count,
      producer: this.producers[producer] as ProducerSession,
      sequence,
      replicated: true,
      topic: 1,
    });
  }
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant('add' as const),
    segments: fc.array(
      fc.record({
        producer: fc.integer({ min: 0, max: 2 }),
        count: fc.integer({ min: 1, max: 4 }),
        replicated: fc.boolean(),
      }),
      { minLength: 1, maxLength: 4 },
    ),
  }),
  fc.record({
    kind: fc.constant('settle' as const),
    at: fc.nat(),
    isRefused: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('resend' as const),
    producer: fc.integer({ min: 0, max: 2 }),
    at: fc.nat(),
    count: fc.integer({ min: 1, max: 5 }),
  }),
);

test('everybody who waits for a message is answered once, by its own verdict', async () => {
  await check(
    fc.property(fc.array(step, { maxLength: 50 }), (steps) => {
      const bench = new Bench();
      const verdicts = new Map<number, string>();
      const expected = new Map<string, (() => string)[]>();
      const expect = (key: string, answer: () => string): void => {
        expected.set(key, [...(expected.get(key) ?? []), answer]);
      };
      const settle = (sequence: number, isRefused: boolean): void => {
        if (verdicts.has(sequence)) return;
        verdicts.set(sequence, isRefused ? 'code 30' : `at ${sequence * 10}`);
        bench.settle(sequence, isRefused ? ErrorCode.MESSAGE_TOO_LARGE : 0);
      };
      let resends = 0;
      for (const what of steps) {
        if (what.kind === 'add') {
          const from = bench.messages.length;
          bench.add(what.segments);
          for (let i = from; i < bench.messages.length; i++) {
            const { producer, sequence, replicated } = bench.messages[i]!;
            const verdict = (): string => verdicts.get(i + 1) as string;
            if (replicated) expect(`${producer}/${producer * 1000 + sequence}`, verdict);
          }
        } else if (what.kind === 'settle') {
          if (bench.messages.length > 0) {
            settle(1 + (what.at % bench.messages.length), what.isRefused);
          }
        } else {
          const known = (bench.next[what.producer] as number) - 1;
          if (known === 0) continue;
          const first = 1 + (what.at % known);
          const count = Math.min(what.count, known - first + 1);
          resends++;
          const ids = 1_000_000 + resends * 1000;
          for (let i = 0; i < count; i++) {
            const lane = bench.messages.findIndex(
              (m) => m.producer === what.producer && m.sequence === first + i,
            );
            const isSettled = verdicts.has(lane + 1);
            const verdict = (): string =>
              isSettled ? 'plain' : (verdicts.get(lane + 1) as string);
            expect(`${what.producer}/${ids + i}`, verdict);
          }
          bench.resend(what.producer, first, count, ids);
        }
      }
      for (let s = 1; s <= bench.messages.length; s++) settle(s, false);
      const plain = new Map([...expected].map(([key, list]) => [key, list.map((say) => say())]));
      const sorted = (map: Map<string, string[]>) => [...map].sort();
      assert.deepEqual(sorted(bench.told.answers), sorted(plain));
      assert.equal(bench.pending.size, 0);
    }),
    500,
  );
});

test('a resend of what a former run left unconfirmed is told to come again', () => {
  const bench = new Bench(3);
  bench.resend(0, 1, 1, 5_000);
  assert.deepEqual(bench.told.answers.get('0/5000'), [`code ${ErrorCode.RETRY_LATER}`]);
  for (let sequence = 1; sequence <= 3; sequence++) bench.settle(sequence, 0);
  bench.resend(0, 1, 1, 5_001);
  assert.deepEqual(bench.told.answers.get('0/5001'), ['plain']);
});
