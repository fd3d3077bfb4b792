import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TailPool } from '../../../../src/backend/kafka/tail-pool.ts';
import type { KafkaTail, TailRequest, TailResult } from '../../../../src/native/kafka.ts';
import { FakeClock } from '../embedded/doubles.ts';

class FakeTail implements KafkaTail {
  readonly asked: TailRequest[] = [];
  readonly answers: ((result: TailResult) => void)[] = [];
  closed = false;

  read(request: TailRequest): Promise<TailResult> {
    this.asked.push(request);
    return new Promise((resolve) => {
      this.answers.push(resolve);
    });
  }

  async offsets(): Promise<{ startOffset: number; endOffset: number }> {
    return { startOffset: 1, endOffset: 2 };
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}

/** As the addon rejects. */
const failure = (kafkaCode: number) => Object.assign(new RangeError('no'), { kafkaCode });

test('a leader that has moved is asked for again, for a second', async () => {
  const clock = new FakeClock();
  const tail = new FakeTail();
  const pool = new TailPool({ clock, make: () => tail });
  let asked = 0;
  tail.offsets = async () => {
    if (++asked <= 3) throw failure(6);
    return { startOffset: 1, endOffset: 2 };
  };
  const options = { topic: 't', partition: 0, timeoutMs: 5_000 };
  const pass = async () => {
    for (let i = 0; i < 12; i++) {
      await new Promise(setImmediate);
      clock.advance(100);
    }
  };
  const found = pool.offsets(options);
  await pass();
  assert.deepEqual([await found, asked], [{ startOffset: 1, endOffset: 2 }, 4]);
  asked = -100;
  const lost = assert.rejects(pool.offsets(options), { kafkaCode: 6 });
  await pass();
  await lost;
  assert.equal(asked, -89);
  tail.offsets = () => Promise.reject(failure(3));
  await assert.rejects(pool.offsets(options), { kafkaCode: 3 });
  await pool.close();
});

const empty: TailResult = {
  startOffset: 0,
  endOffset: 0,
  nextOffset: 0,
  count: 0,
  records: Buffer.alloc(0),
};
const request = (partition: number): TailRequest => ({
  topic: 't',
  partition,
  from: 1,
  position: 0,
  bytesMax: 1,
  waitMs: 0,
});

test('reads a partition always by one reader, with few readers for all', async () => {
  const made: FakeTail[] = [];
  const clock = new FakeClock();
  const pool = new TailPool({
    clock,
    readersMax: 2,
    make: () => made[made.push(new FakeTail()) - 1] ?? assert.fail(),
  });
  const reads = [0, 1, 2, 3, 0, 1].map((partition) => pool.read(request(partition)));
  await new Promise(setImmediate);
  assert.equal(made.length, 2);
  for (const tail of made) {
    const partitions = tail.asked.map((one) => one.partition);
    assert.ok(
      made.every(
        (other) => other === tail || !other.asked.some((one) => partitions.includes(one.partition)),
      ),
    );
    for (const answer of tail.answers) answer(empty);
  }
  await Promise.all(reads);
  clock.advance(29_999);
  assert.equal(pool.readers, 2);
  clock.advance(1);
  assert.equal(pool.readers, 0);
  await pool.close();
  assert.ok(made.every((tail) => tail.closed));
  assert.equal(clock.timers, 0);
});

test('keeps a reader that waits, however long, and bounds the reads under way', async () => {
  const made: FakeTail[] = [];
  const clock = new FakeClock();
  const pool = new TailPool({
    clock,
    readersMax: 1,
    readsMax: 2,
    make: () => made[made.push(new FakeTail()) - 1] ?? assert.fail(),
  });
  const waiting = [pool.read(request(0)), pool.read(request(1))];
  clock.advance(100_000);
  assert.equal(pool.readers, 1);
  await assert.rejects(pool.read(request(0)), { code: 'RETRY_LATER' });
  for (const answer of made[0]?.answers ?? []) answer(empty);
  await Promise.all(waiting);
  assert.deepEqual(await pool.offsets({ topic: 't', partition: 0, timeoutMs: 1 }), {
    startOffset: 1,
    endOffset: 2,
  });
  await pool.close();
  await assert.rejects(pool.read(request(0)), { code: 'BACKEND_UNAVAILABLE' });
});

test('a reader that does not know a partition is replaced, once its other reads are over', async () => {
  const made: FakeTail[] = [];
  const clock = new FakeClock();
  const pool = new TailPool({
    clock,
    readersMax: 1,
    make: () => made[made.push(new FakeTail()) - 1] ?? assert.fail(),
  });
  const waiting = pool.read(request(0));
  const [first] = made as [FakeTail];
  const lacks = async () => {
    first.offsets = () => Promise.reject(failure(-190));
    const asked = pool.offsets({ topic: 't', partition: 0, timeoutMs: 1 });
    await assert.rejects(asked, { kafkaCode: -190 });
  };
  await lacks();
  clock.advance(2_000);
  const again = pool.read(request(0));
  assert.equal(made.length, 1, 'it had only just been opened');
  await lacks();
  const read = pool.read(request(0));
  assert.equal(made.length, 2);
  assert(!first.closed, 'two reads wait');
  for (const answer of first.answers) answer(empty);
  await Promise.all([waiting, again]);
  assert(first.closed);
  for (const answer of made[1]?.answers ?? []) answer(empty);
  await read;
  assert(!made[1]?.closed);
  await pool.close();
  assert.equal(clock.timers, 0);
});

test('a reader that twice brings nothing of a record that is there is replaced', async () => {
  const made: FakeTail[] = [];
  const clock = new FakeClock();
  const pool = new TailPool({
    clock,
    readersMax: 1,
    make: () => made[made.push(new FakeTail()) - 1] ?? assert.fail(),
  });
  const at = { ...request(0), from: 0, position: 7 };
  const ask = async (isThere: boolean, result: Partial<TailResult>) => {
    const read = pool.read(at, isThere);
    await new Promise(setImmediate);
    made.at(-1)?.answers.at(-1)?.({ ...empty, nextOffset: 7, ...result });
    await read;
  };
  await ask(true, {});
  clock.advance(10_000);
  for (let i = 0; i < 3; i++) await ask(false, {});
  await ask(true, { count: 1, nextOffset: 8 });
  await ask(true, {});
  await ask(true, { startOffset: 8, nextOffset: 8 });
  await ask(true, {});
  assert.equal(made.length, 1, 'not twice in a row');
  await ask(true, {});
  await ask(true, {});
  assert.deepEqual([made.length, made[0]?.closed], [2, true]);
  // The new one brings nothing either: the next comes after four seconds, not two.
  const twoMore = async (ageMs: number) => {
    clock.advance(ageMs);
    for (let i = 0; i < 3; i++) await ask(true, {});
    return made.length;
  };
  assert.deepEqual([await twoMore(3_000), await twoMore(1_000)], [2, 3]);
  await pool.close();
});
