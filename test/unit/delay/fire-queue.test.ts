import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type {
  Publisher,
  PublishRecord,
  PublishResult,
} from '../../../src/backend/publisher-port.ts';
import { DueWindow, type NearDelay } from '../../../src/delay/due-window.ts';
import { FireQueue } from '../../../src/delay/fire-queue.ts';
import { fc } from '../../support/fast-check.ts';
import { seed } from '../../support/seeded.ts';
import { JumpClock } from './delay-world.ts';

const batchMax = 4;
const callsMax = 3;
const bytesMax = 1024 * 1024;
const refusal = { code: 'BACKEND_UNAVAILABLE', message: 'away', retriable: true } as const;

/** A call on its way: what is taken of it lies in the log already, as its answer will say. */
interface Call {
  readonly numbers: readonly number[];
  readonly results: readonly PublishResult[];
  readonly sentAt: number;
  answer(): void;
}

/** A queue, and the log that it publishes to: calls are answered when the test says so. */
class World {
  readonly clock = new JumpClock();
  readonly log: number[] = [];
  readonly calls: Call[] = [];
  /** Which of the next records are refused, from the first on; the rest is taken. */
  refusals: boolean[] = [];
  /** Steps at which a message was refused last, as its queue heard, and sent the last time. */
  readonly refusedAt = new Map<number, number>();
  readonly sentAt = new Map<number, number>();
  readonly done: number[] = [];
  /** When each call that ended was handed over, by its queue. */
  readonly handedMs: number[] = [];
  readonly refused: number[] = [];
  readonly queue: FireQueue;
  /** Calls that were sent though they had to wait. */
  faults = 0;
  /** A refusal was heard, and calls that were under way with it have not ended. */
  #mustWait = false;
  readonly #window = new DueWindow({ entriesMax: 1e6, bytesMax: 1e9 }, 0, () => {});
  #step = 0;
  #pushed = 0;

  constructor() {
    const publish = (records: readonly PublishRecord[]) => this.#publish(records);
    this.queue = new FireQueue({
      publisher: { publish } as unknown as Publisher,
      clock: this.clock,
      batchMax,
      callsMax,
      sentState: 'firing',
      leftState: 'queued',
      record: (entry) =>
        entry.state === 'queued'
          ? { topic: `${entry.offset}`, key: null, value: null, headers: Buffer.alloc(0) }
          : undefined,
      onDone: (entries, sentMs) => {
        this.handedMs.push(sentMs);
        for (const entry of entries) {
          this.done.push(entry.offset);
          entry.state = 'ended';
          this.#window.empty(entry);
        }
      },
      onRefused: (count) => void this.refused.push(count),
      onRoom: () => this.pump(),
    });
  }

  push(bytes = 10): NearDelay {
    const offset = this.#pushed++;
    const id = Buffer.alloc(24);
    id.writeUInt32BE(offset, 20);
    const message = { dueMs: 0, offset, bytes: Buffer.alloc(bytes), topic: 't', isIndexed: true };
    const entry = this.#window.addQueued({ id, ...message });
    this.queue.push(entry);
    return entry;
  }

  /** As its owner does: again while there is more to send. */
  pump(): void {
    while (this.queue.pump());
  }

  /** The call at a place among those under way is answered, and its queue hears of it. */
  async answer(place: number): Promise<void> {
    const [call] = this.calls.splice(place, 1);
    call?.answer();
    await setImmediate();
  }

  #publish(records: readonly PublishRecord[]): Promise<readonly PublishResult[]> {
    if (this.#mustWait && this.calls.length > 0) this.faults++;
    this.#mustWait = false;
    const numbers = records.map(({ topic }) => Number(topic));
    const results = numbers.map((number) => {
      this.sentAt.set(number, ++this.#step);
      if (this.refusals.shift() === true) return refusal;
      this.log.push(number);
      return { partition: 0, offset: this.log.length };
    });
    return new Promise((resolve) => {
      const answer = () => {
        for (const [i, number] of numbers.entries()) {
          if (results[i] !== refusal) continue;
          this.refusedAt.set(number, ++this.#step);
          this.#mustWait = true;
        }
        resolve(results);
      };
      this.calls.push({ numbers, results, sentAt: this.#step, answer });
    });
  }

  /** What passed another was under way with it, when that was refused. */
  mustKeepOrder(): void {
    for (const [i, before] of this.log.entries()) {
      for (const after of this.log.slice(i + 1)) {
        if (after > before) continue;
        const sent = this.sentAt.get(before) as number;
        const heard = this.refusedAt.get(after) ?? 0;
        assert(sent < heard, `${before} passed ${after}`);
      }
    }
  }
}

const bytes = fc.constantFrom(1, 1, 10, 10, 100, 100, 400_000, 2e6);
const steps = fc.array(
  fc.oneof(
    fc.record({ push: fc.integer({ min: 1, max: 15 }), bytes }),
    fc.record({ answer: fc.nat({ max: callsMax - 1 }) }),
    fc.record({ refuse: fc.array(fc.boolean(), { maxLength: batchMax * 2 }) }),
    fc.record({ hold: fc.nat({ max: 100 }) }),
    fc.record({ jumpMs: fc.nat({ max: 100 }) }),
  ),
  { maxLength: 80 },
);

test('a queue agrees with a list, whatever is refused and in whatever order calls end', async () => {
  const property = fc.asyncProperty(steps, async (drawn) => {
    const world = new World();
    const { queue, clock, calls } = world;
    const entries: NearDelay[] = [];
    const held = new Set<number>();
    for (const step of drawn) {
      const hadRefused = queue.isRefused;
      if ('push' in step) {
        for (let i = 0; i < step.push; i++) entries.push(world.push(step.bytes));
        world.pump();
      } else if ('answer' in step) await world.answer(step.answer);
      else if ('refuse' in step) world.refusals = step.refuse;
      else if ('hold' in step) {
        const entry = entries[step.hold];
        if (entry?.state === 'queued') {
          entry.state = 'held';
          held.add(entry.offset);
        }
      } else clock.jump(step.jumpMs);
      clock.fire();
      assert(calls.length <= (hadRefused && queue.isRefused ? 1 : callsMax));
      const numbers = calls.flatMap((call) => call.numbers);
      assert(calls.every((call) => call.numbers.length <= batchMax));
      const bytes = calls.reduce((sum, call) => sum + bytesOf(call, entries), 0);
      assert(numbers.length <= 1 || bytes <= bytesMax, `${bytes} bytes under way`);
    }
    world.refusals = [];
    for (let i = 0; queue.size > 0; i++) {
      assert(i < 2_000, `${queue.size} are left`);
      world.pump();
      await world.answer(0);
      clock.jump(1_000);
      clock.fire();
    }
    const pushed = entries.map(({ offset }) => offset).filter((offset) => !held.has(offset));
    assert.deepEqual([...world.log].sort(byNumber), pushed, 'each once');
    assert.deepEqual([...world.done].sort(byNumber), pushed);
    world.mustKeepOrder();
    assert.equal(world.faults, 0, 'sent behind a refusal that was heard');
    if (world.refusedAt.size === 0) assert.deepEqual(world.log, pushed);
    assert.equal(queue.bytes, 0);
    assert.equal(queue.isRefused, false);
  });
  await fc.assert(property, { seed, numRuns: 300 });
});

test('nothing is sent behind what was refused until all that is under way has ended', async () => {
  const world = new World();
  for (let i = 0; i < 8; i++) world.push();
  world.refusals = [false, true, true, false];
  world.pump();
  assert.deepEqual(world.log, [0, 3, 4, 5, 6, 7]);
  await world.answer(0);
  for (let i = 0; i < 8; i++) world.push();
  world.pump();
  assert.equal(world.calls.length, 1, 'no other');
  assert(!world.queue.isRefused);
  await world.answer(0);
  assert.deepEqual(world.refused, [2]);
  assert(world.queue.isRefused);
  assert.equal(world.calls.length, 0);
  world.clock.jump(20);
  world.clock.fire();
  assert.equal(world.calls.length, 1, 'one call says whether more is taken');
  assert.deepEqual(world.log.slice(-4), [1, 2, 8, 9]);
  await world.answer(0);
  assert(!world.queue.isRefused);
  assert.equal(world.calls.length, 2);
  await world.answer(0);
  await world.answer(0);
  assert.deepEqual([world.queue.size, world.queue.bytes], [0, 0]);
  assert.equal(world.log.length, 16);
});

test('what is published says when it was handed over, not when that was answered', async () => {
  const world = new World();
  const firstMs = world.clock.nowMs;
  world.push();
  world.pump();
  world.clock.jump(500);
  world.push();
  world.pump();
  world.clock.jump(500);
  await world.answer(0);
  await world.answer(0);
  assert.deepEqual(world.handedMs, [firstMs, firstMs + 500]);
});

test('a long message goes alone', async () => {
  const world = new World();
  for (const bytes of [10, bytesMax, 10, bytesMax + 10, 10]) world.push(bytes);
  world.pump();
  for (const alone of [0, 1, 2, 3, 4]) {
    assert.deepEqual(
      world.calls.map(({ numbers }) => numbers),
      [[alone]],
    );
    await world.answer(0);
  }
});

test('a queue that is empty holds no bytes, though an entry came twice and was emptied', async () => {
  const world = new World();
  const entry = world.push(100);
  world.queue.push(entry);
  assert.equal(world.queue.bytes, 200);
  world.pump();
  await world.answer(0);
  assert.equal(world.queue.size, 0);
  assert.equal(world.queue.bytes, 0);
});

test('flushing sends what waits while it is taken', async () => {
  const world = new World();
  for (let i = 0; i < 20; i++) world.push();
  const flushed = world.queue.flush();
  while (world.calls.length > 0) await world.answer(0);
  await flushed;
  assert.equal(world.log.length, 20);
  const other = new World();
  for (let i = 0; i < 20; i++) other.push();
  other.refusals = new Array(6).fill(false).concat(true);
  const given = other.queue.flush();
  while (other.calls.length > 0) await other.answer(0);
  await given;
  assert.equal(other.queue.size, 20 - other.log.length);
  assert(!other.queue.maySend, 'what was refused stays');
});

function bytesOf(call: Call, entries: readonly NearDelay[]): number {
  return call.numbers.reduce((sum, number) => sum + (entries[number]?.bytes.length ?? 0), 0);
}

function byNumber(one: number, other: number): number {
  return one - other;
}
