import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { createRingMemory, RingReader, RingWriter } from '../../../src/lanes/ring.ts';
import { BatchBuilder } from '../../../src/native/addon.ts';
import type { BatchBuilder as Builder } from '../../../src/native/batch-builder.ts';
import type { Acker } from '../../../src/produce/intake/acker.ts';
import { Intake } from '../../../src/produce/intake/intake.ts';
import { LaneStats, stat } from '../../../src/produce/intake/lane-stats.ts';
import { type MicroBatch, ROW_COLUMNS, row } from '../../../src/produce/intake/micro-batch.ts';
import { Producers } from '../../../src/produce/intake/producers.ts';
import type { Journal, Pressure } from '../../../src/produce/journal/journal.ts';
import { Lane } from '../../../src/produce/lane.ts';
import { framesOf, type RawRun } from '../../support/raw-client.ts';
import { ManualClock } from '../store/support.ts';
import { settle } from './support.ts';

/** A journal whose writes end when the test says so; it notes everything in order. */
class FakeJournal implements Journal {
  refusesReplicated = false;
  pressure: Pressure = 'none';
  readonly events: string[] = [];
  readonly payloads: Buffer[] = [];
  private writes: { resolve(): void; reject(error: unknown): void }[] = [];
  private next = 1;

  encode(_batch: MicroBatch, builder: Builder): void {
    builder.encodePayload();
    this.payloads.push(Buffer.from(builder.payload));
  }

  hasOwn = false;

  async appendOwn(): Promise<void> {
    this.hasOwn = false;
    this.events.push('own');
  }

  append(batch: MicroBatch): Promise<void> {
    batch.firstSequence = this.next;
    this.next += batch.messages;
    this.events.push(`write ${batch.firstSequence}+${batch.messages}`);
    return new Promise((resolve, reject) => this.writes.push({ resolve, reject }));
  }

  answer(batch: MicroBatch, acker: Acker): void {
    this.events.push(`answer ${batch.firstSequence}`);
    for (let s = 0; s < batch.segments; s++) {
      const at = s * ROW_COLUMNS;
      const session = batch.rows[at + row.session] as number;
      const id = batch.rows[at + row.correlationId] as number;
      acker.plain(session, id, batch.rows[at + row.count] as number);
    }
  }

  answerDuplicate(run: { session: number; correlationId: number; count: number }, acker: Acker) {
    this.events.push(`duplicate ${run.count}`);
    acker.plain(run.session, run.correlationId, run.count);
  }

  forward(batch: MicroBatch): void {
    this.events.push(`forward ${batch.firstSequence}`);
  }

  async close(): Promise<void> {}

  async written(error?: unknown): Promise<void> {
    const write = this.writes.shift();
    if (error === undefined) write?.resolve();
    else write?.reject(error);
    await settle();
  }
}

/** A lane over real rings and the real scan, with a fake journal. */
class LaneBench {
  readonly journal = new FakeJournal();
  readonly answers: string[] = [];
  readonly fatal: number[] = [];
  readonly failures: unknown[] = [];
  /** What was said of the waiting of new messages. */
  readonly waited: [waitedMs: number, messages: number][] = [];
  readonly stats = new LaneStats();
  readonly producers: Producers;
  readonly lane: Lane;
  private readonly writer: RingWriter;

  constructor({ refusesReplicated = false } = {}) {
    this.journal.refusesReplicated = refusesReplicated;
    const clock = new ManualClock();
    const memory = createRingMemory(1 << 20);
    const reader = new RingReader(memory);
    this.writer = new RingWriter(memory);
    const { journal, answers, stats } = this;
    const acker = this.noting(answers);
    const producers = new Producers(clock);
    this.producers = producers;
    const builder = new BatchBuilder({
      messageBytesMax: 1_000,
      keyBytesMax: 100,
      headersBytesMax: 100,
      messagesMax: 1_000,
      segmentsMax: 100,
    });
    builder.setTopic(1, { partitions: 2, messageBytesMax: 500 });
    builder.setTopic(2, { code: ErrorCode.NOT_AUTHORIZED });
    const intake = new Intake({
      reader,
      builder,
      producers,
      acker,
      clock,
      stats,
      batchBytesMax: 1 << 20,
      topicName: (id) => `t${id}`,
      onFatal: (_session, code) => this.fatal.push(code),
    });
    this.lane = new Lane({
      reader,
      builder,
      intake,
      journal,
      acker,
      producers,
      stats,
      clock,
      onAnswered: (waitedMs, messages) => this.waited.push([waitedMs, messages]),
      onRoom: () => {},
      onFailure: (error) => this.failures.push(error),
    });
    producers.open({ session: 1, producerId: 9n, epoch: 0, ordered: true, owner: 'a' });
  }

  /** Puts frames into the ring, as the main thread does. */
  offer(run: Partial<RawRun> & { first: number; values: readonly string[] }, session = 1): void {
    const frames = framesOf({ topic: 1, ...run });
    const at = this.writer.reserve(frames.length);
    frames.copy(this.writer.bytes, at);
    this.writer.publish(session, run.values.length, frames.length);
  }

  async go(): Promise<void> {
    this.lane.wake();
    await settle();
  }

  private noting(answers: string[]): Acker {
    const ids = (first: number, count: number) => `${first}+${count}`;
    return {
      plain: (_: number, first: number, count: number) => answers.push(`ok ${ids(first, count)}`),
      refused: (_: number, first: number, count: number, why: { code: number; detail: number }) =>
        answers.push(`${why.code}/${why.detail} ${ids(first, count)}`),
      flush: () => true,
    } as unknown as Acker;
  }
}

test('nothing is answered before it is written, and what comes meanwhile is one batch', async () => {
  const bench = new LaneBench();
  const { journal, answers } = bench;
  bench.offer({ first: 1, values: ['a'] });
  await bench.go();
  assert.deepEqual([journal.events, answers], [['write 1+1'], []]);
  bench.offer({ first: 2, values: ['b', 'c'] });
  bench.offer({ first: 4, values: ['d'] });
  await bench.go();
  assert.deepEqual(journal.events, ['write 1+1'], 'one write at a time');
  await journal.written();
  assert.deepEqual(answers, ['ok 1+1']);
  assert.deepEqual(journal.events, ['write 1+1', 'answer 1', 'write 2+3', 'forward 1']);
  await journal.written();
  assert.deepEqual(answers, ['ok 1+1', 'ok 2+3']);
  assert.deepEqual(journal.events.slice(4), ['answer 2', 'forward 2']);
  assert.equal(bench.stats.get(stat.stored), 4);
  assert.equal(bench.stats.storedTopic(1), 4);
});

test('a write that fails is UNKNOWN and ends the lane', async () => {
  const bench = new LaneBench();
  bench.offer({ first: 1, values: ['a'] });
  await bench.go();
  await bench.journal.written(new TypeError('disk'));
  assert.equal(bench.failures.length, 1);
  bench.offer({ first: 2, values: ['b'] });
  await bench.go();
  assert.deepEqual(bench.answers, [`${ErrorCode.UNKNOWN}/0 1+1`]);
  assert.deepEqual(bench.journal.events, ['write 1+1']);
});

test('a resend is stored once, and answered after the write it came with', async () => {
  const bench = new LaneBench();
  bench.offer({ first: 1, values: ['a', 'b'] });
  bench.offer({ first: 1, values: ['a', 'b', 'c'] });
  await bench.go();
  assert.deepEqual(bench.answers, []);
  await bench.journal.written();
  assert.deepEqual(bench.journal.events.slice(0, 3), ['write 1+3', 'answer 1', 'duplicate 2']);
  assert.deepEqual(bench.answers, ['ok 1+2', 'ok 3+1', 'ok 1+2']);
  assert.equal(bench.stats.get(stat.duplicates), 2);
  bench.offer({ first: 2, values: ['b'] });
  await bench.go();
  assert.equal(bench.answers.at(-1), 'ok 2+1', 'alone, without a write');
  assert.equal(bench.journal.events.filter((event) => event.startsWith('write')).length, 1);
});

test('a final refusal is passed over, what is behind a retriable one goes back', async () => {
  const bench = new LaneBench();
  bench.offer({ first: 1, values: ['a', 'x'.repeat(600), 'b'] });
  await bench.go();
  await bench.journal.written();
  assert.deepEqual(bench.answers, [`${ErrorCode.MESSAGE_TOO_LARGE}/0 2+1`, 'ok 1+1', 'ok 3+1']);
  assert.equal(bench.journal.payloads[0]?.includes('xxx'), false);
  bench.journal.pressure = 'soft';
  bench.offer({ first: 4, values: ['c'] });
  bench.offer({ first: 5, values: ['d'], partition: 7 });
  await bench.go();
  const [retry, behind] = bench.answers.slice(3);
  assert.equal(retry, `${ErrorCode.RETRY_LATER}/250 4+1`);
  assert.equal(behind, `${ErrorCode.OUT_OF_SEQUENCE}/4 5+1`);
  bench.journal.pressure = 'none';
  bench.offer({ first: 4, values: ['c', 'd'] });
  await bench.go();
  await bench.journal.written();
  assert.equal(bench.answers.at(-1), 'ok 4+2');
});

test('what may not be taken is refused by its own code, once the gap is durable', async () => {
  const bench = new LaneBench({ refusesReplicated: true });
  bench.offer({ first: 1, values: ['a'], topic: 2 });
  bench.offer({ first: 2, values: ['a'], replicated: true });
  bench.offer({ first: 3, values: ['a'], partition: 2 });
  await bench.go();
  assert.deepEqual(bench.answers, []);
  await bench.journal.written();
  assert.deepEqual(bench.answers, [
    `${ErrorCode.NOT_AUTHORIZED}/0 1+1`,
    `${ErrorCode.NOT_SUPPORTED}/0 2+1`,
    `${ErrorCode.UNKNOWN_PARTITION}/0 3+1`,
  ]);
  assert.equal(bench.stats.refusedBy(ErrorCode.NOT_SUPPORTED), 1);
  bench.offer({ first: 4, values: ['b'] });
  await bench.go();
  await bench.journal.written();
  assert.equal(bench.answers.at(-1), 'ok 4+1');
  assert.deepEqual(bench.journal.events, ['write 1+0', 'write 1+1', 'answer 1', 'forward 1']);
});

test('a final refusal whose gap could not be stored is UNKNOWN', async () => {
  const bench = new LaneBench();
  bench.offer({ first: 1, values: ['a'], topic: 2 });
  await bench.go();
  await bench.journal.written(new TypeError('disk'));
  assert.deepEqual(bench.answers, [`${ErrorCode.UNKNOWN}/0 1+1`]);
});

test('a fenced session is refused, one that is gone is dropped without an answer', async () => {
  const bench = new LaneBench();
  bench.producers.open({ session: 2, producerId: 9n, epoch: 0, ordered: true, owner: 'a' });
  bench.offer({ first: 1, values: ['a', 'b'] });
  bench.offer({ first: 1, values: ['c'] }, 7);
  bench.offer({ first: 1, values: ['d'] }, 2);
  await bench.go();
  await bench.journal.written();
  assert.deepEqual(bench.answers, [`${ErrorCode.FENCED}/0 1+2`, 'ok 1+1']);
  assert.deepEqual(bench.journal.events[0], 'write 1+1');
});

test('drained resolves when the ring is empty and everything in it was stored', async () => {
  const bench = new LaneBench();
  await bench.lane.drained();
  bench.offer({ first: 1, values: ['a'] });
  let isDone = false;
  const drained = bench.lane.drained().then(() => {
    isDone = true;
  });
  await settle();
  assert.equal(isDone, false);
  await bench.journal.written();
  await drained;
  assert.deepEqual(bench.journal.events, ['write 1+1', 'answer 1', 'forward 1']);
});
