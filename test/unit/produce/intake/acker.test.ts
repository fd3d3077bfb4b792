import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FrameDecoder } from '../../../../protocol/src/frame-decoder.ts';
import { Answer, ErrorCode } from '../../../../protocol/src/generated.ts';
import { ProducedEntries } from '../../../../protocol/src/produced.ts';
import { createRingMemory, RingReader, RingWriter } from '../../../../src/lanes/ring.ts';
import { Acker, type AnswerSink } from '../../../../src/produce/intake/acker.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

/** A sink with so much room at a time, that notes what it was given. */
class FakeSink implements AnswerSink {
  readonly bytes = Buffer.alloc(8 * 1024 * 1024);
  room = this.bytes.length;
  readonly given: { session: number; messages: number; frames: Buffer }[] = [];
  refusals = 0;

  reserve(payloadBytes: number): number {
    if (payloadBytes <= this.room) return 64;
    this.refusals++;
    return -1;
  }

  publish(session: number, messages: number, payloadBytes: number): boolean {
    this.room -= payloadBytes;
    const frames = Buffer.from(this.bytes.subarray(64, 64 + payloadBytes));
    this.given.push({ session, messages, frames });
    return true;
  }
}

interface Said {
  readonly session: number;
  readonly text: string;
}

/** What a client reads: each message with its answer, by form. */
function read(sink: FakeSink): Said[] {
  const said: Said[] = [];
  for (const { session, messages, frames } of sink.given) {
    const decoder = new FrameDecoder({ frameBytesMax: 16 * 1024 });
    decoder.push(frames);
    let answered = 0;
    for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
      assert.equal(frame.opcode, Answer.PRODUCED);
      const entries = new ProducedEntries();
      entries.reset(frame);
      while (entries.next()) {
        answered += entries.count;
        const { form, firstCorrelationId, count, code, cluster, partition, offset, detail } =
          entries;
        for (let i = 0; i < count; i++) {
          const id = (firstCorrelationId + i) >>> 0;
          const at = offset < 0 ? -1 : offset + i;
          const words = [
            `${id} plain`,
            `${id} at ${cluster}/${partition}/${at}`,
            `${id} code ${code}/${detail}`,
          ];
          said.push({ session, text: words[form] ?? 'unknown form' });
        }
      }
    }
    assert.equal(decoder.bufferedBytes, 0, 'whole frames only');
    assert.equal(answered, messages, 'the entry says how many messages it answers');
  }
  return said;
}

const answer = fc.record({
  session: fc.integer({ min: 1, max: 3 }),
  form: fc.integer({ min: 0, max: 2 }),
  first: fc.oneof(
    fc.integer({ min: 0, max: 9_999 }),
    fc.integer({ min: 2 ** 32 - 5, max: 2 ** 32 - 1 }),
  ),
  count: fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 1, max: 20 }) },
    { weight: 1, arbitrary: fc.integer({ min: 65_530, max: 70_000 }) },
  ),
  offset: fc.oneof(fc.constant(-1), fc.integer({ min: 0, max: 2 ** 50 })),
});

test('what is answered is what a client reads, in order for each session and form', async () => {
  const round = fc.record({ answers: fc.array(answer, { maxLength: 8 }), room: fc.nat(4_000_000) });
  await check(
    fc.property(fc.array(round, { maxLength: 6 }), (rounds) => {
      const sink = new FakeSink();
      let woken = 0;
      const acker = new Acker(
        sink,
        () => woken++,
        () => true,
      );
      const expected: (Said & { form: number })[] = [];
      for (const { answers, room } of rounds) {
        for (const { session, form, first, count, offset } of answers) {
          if (form === 0) acker.plain(session, first, count);
          else if (form === 1) {
            acker.placed(session, first, count, { cluster: 1, partition: 7, offset });
          } else acker.refused(session, first, count, { code: 33, detail: 2 ** 40 + 1 });
          for (let i = 0; i < count; i++) {
            const id = (first + i) >>> 0;
            const at = offset < 0 ? -1 : offset + i;
            const words = [`${id} plain`, `${id} at 1/7/${at}`, `${id} code 33/${2 ** 40 + 1}`];
            expected.push({ session, form, text: words[form] as string });
          }
        }
        sink.room = room;
        const before = sink.given.length;
        const wokenBefore = woken;
        assert.equal(acker.flush(), sink.refusals === 0);
        assert.equal(woken > wokenBefore, sink.given.length > before);
        sink.refusals = 0;
      }
      sink.room = Number.POSITIVE_INFINITY;
      assert.equal(acker.flush(), true);
      assert.equal(acker.flush(), true, 'nothing is left');
      const heard = read(sink);
      assert.equal(heard.length, expected.length);
      for (const session of [1, 2, 3]) {
        for (const [form, sign] of [' plain', ' at ', ' code '].entries()) {
          const of = (said: readonly Said[]) =>
            said.filter((one) => one.session === session && one.text.includes(sign));
          const texts = of(heard).map(({ text }) => text);
          const wanted = of(expected.filter((one) => one.form === form)).map(({ text }) => text);
          assert.ok(texts.length === wanted.length && texts.every((t, i) => t === wanted[i]));
        }
      }
    }),
    25,
  );
});

test('a frame is closed at 32 KiB, so that a client reads early', () => {
  const sink = new FakeSink();
  const acker = new Acker(
    sink,
    () => {},
    () => true,
  );
  for (let i = 0; i < 10_000; i++) {
    acker.refused(1, i, 1, { code: ErrorCode.RETRY_LATER, detail: 1 });
  }
  acker.flush();
  assert.equal(sink.given.length, 1, 'one write');
  const lengths: number[] = [];
  const { frames } = sink.given[0]!;
  for (let at = 0; at < frames.length; ) {
    lengths.push(4 + frames.readUInt32BE(at));
    at += lengths.at(-1)!;
  }
  assert.ok(lengths.length >= 5 && lengths.every((bytes) => bytes <= 16 * 1024));
  assert.equal(read(sink).length, 10_000);
});

test('a session that is forgotten is told nothing more', () => {
  const sink = new FakeSink();
  const acker = new Acker(
    sink,
    () => {},
    () => true,
  );
  acker.plain(1, 1, 1);
  acker.plain(2, 1, 1);
  acker.forget(1);
  acker.flush();
  assert.deepEqual(
    sink.given.map(({ session }) => session),
    [2],
  );
});

test('a session that has ended leaves nothing behind, however late its verdicts come', () => {
  const sink = new FakeSink();
  const open = new Set([1, 2]);
  const acker = new Acker(
    sink,
    () => {},
    (session) => open.has(session),
  );
  for (const session of [1, 2]) acker.plain(session, 1, 1);
  acker.flush();
  open.delete(1);
  acker.forget(1);
  for (const session of [1, 2]) acker.plain(session, 2, 1);
  acker.flush();
  assert.equal(acker.sessionCount, 1);
  assert.deepEqual(
    sink.given.map(({ session }) => session),
    [1, 2, 2],
  );
});

test('a million answers of one session leave in pieces that the ring always takes', () => {
  const ring = createRingMemory(4 * 1024 * 1024);
  const writer = new RingWriter(ring);
  const reader = new RingReader(ring);
  // In the middle of the ring, where it takes half of its size at most.
  writer.reserve(writer.payloadBytesMax);
  writer.publish(9, 1, writer.payloadBytesMax);
  assert.ok(reader.next());
  reader.release();
  const acker = new Acker(
    writer,
    () => {},
    () => true,
  );
  for (let i = 0; i < 1_000_000; i++) {
    acker.placed(1, i, 1, { cluster: 0, partition: i % 12, offset: i });
  }
  const sink = new FakeSink();
  for (let round = 0; round < 1_000 && !acker.flush(); round++) readAll();
  readAll();
  assert.equal(acker.flush(), true, 'everything was handed over');
  const said = read(sink);
  assert.equal(said.length, 1_000_000);
  assert.ok(said.every(({ text }, i) => text === `${i} at 0/${i % 12}/${i}`));

  function readAll(): void {
    while (reader.next()) {
      const { session, messages, payloadStart: from, payloadBytes } = reader;
      const frames = Buffer.from(reader.bytes.subarray(from, from + payloadBytes));
      sink.given.push({ session, messages, frames });
    }
    reader.release();
  }
});
