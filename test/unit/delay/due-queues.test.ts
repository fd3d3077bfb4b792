import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import type { Publisher, PublishRecord } from '../../../src/backend/publisher-port.ts';
import { limits } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { DelayStats } from '../../../src/delay/delay-stats.ts';
import { DueQueues } from '../../../src/delay/due-queues.ts';
import { DueWindow, type NearDelay } from '../../../src/delay/due-window.ts';
import { JumpClock } from './delay-world.ts';

const record: PublishRecord = {
  topic: 't',
  key: null,
  value: null,
  headers: Buffer.alloc(0),
};

/** Queues over a window, and a backend that refuses everything while `refuses` is set. */
class World {
  readonly clock = new JumpClock();
  readonly most = { entriesMax: limits.delayNearMax, bytesMax: limits.delayNearBytesMax };
  readonly window = new DueWindow(this.most, this.clock.now(), () => {});
  readonly fired: NearDelay[] = [];
  /** So often there was room for what was left. */
  rooms = 0;
  refuses = true;
  /** Topics of the calls, in their order, and how many records each had. */
  readonly calls: [string, number][] = [];
  readonly queues: DueQueues;
  private serial = 0;

  constructor() {
    const refusal = { code: 'BACKEND_UNAVAILABLE', message: 'away', retriable: true } as const;
    const publisher = {
      publish: async (records: readonly PublishRecord[]) => {
        this.calls.push([records[0]?.topic ?? '', records.length]);
        await setImmediate();
        return records.map((_, i) => (this.refuses ? refusal : { partition: 0, offset: i }));
      },
    } as unknown as Publisher;
    this.queues = new DueQueues({
      publisher,
      clock: this.clock,
      log: silentLogger(),
      stats: new DelayStats(),
      window: this.window,
      record: ({ state, topic }) => (state === 'queued' ? { ...record, topic } : undefined),
      onFired: (entries) => {
        this.fired.push(...entries);
        for (const entry of entries) this.window.drop(entry);
      },
      onRoom: () => void this.rooms++,
    });
  }

  due(topic: string, bytes = 10, dueMs = this.serial): NearDelay {
    const id = Buffer.alloc(24);
    id.writeUInt32BE(this.serial++, 20);
    const offset = this.serial;
    const entry = this.window.addQueued({
      id,
      dueMs,
      offset,
      bytes: Buffer.alloc(bytes),
      topic,
      isIndexed: true,
    });
    this.queues.push(entry);
    return entry;
  }

  /** All of this topic from now on stays in the index. */
  leaves(topic: string): boolean {
    return this.queues.isLeft(topic, this.serial, Buffer.alloc(24));
  }

  /** What was left was looked at, and all of it taken up. */
  refill(): void {
    assert(this.queues.beginRefill() !== undefined);
    this.queues.refilled(undefined);
  }

  async settle(): Promise<void> {
    this.queues.pump();
    for (let i = 0; i < 40; i++) {
      this.clock.fire();
      await setImmediate();
    }
  }
}

test('topics that take nothing share a quarter of the window, however many they are', async () => {
  for (const { topics, each, bytes } of [
    { topics: 30, each: 10_000, bytes: 10 },
    { topics: 12, each: 9, bytes: 1024 * 1024 },
  ]) {
    const world = new World();
    for (let t = 0; t < topics; t++) {
      for (let i = 0; i < each; i++) world.due(`t${t}`, bytes);
      await world.settle();
    }
    // Those that shed theirs before the others came do so again when they are tried again.
    world.clock.jump(30_000);
    await world.settle();
    assert.equal(world.queues.stuckTopics.length, topics);
    assert(world.window.size <= world.most.entriesMax / 4 + topics);
    assert(world.window.bytes <= world.most.bytesMax / 4 + topics * bytes);
    assert(!world.window.isFull);
    for (let t = 0; t < topics; t++) assert(world.leaves(`t${t}`));
    assert(world.queues.size >= topics, 'each is tried again with what it has');
    await world.queues.close();
  }
});

test('what is behind something left in the index stays there too, and is asked for in order', async () => {
  const world = new World();
  for (let i = 0; i < 10_000; i++) world.due('t');
  await world.settle();
  world.due('t');
  assert(world.leaves('t'));
  world.refuses = false;
  world.clock.jump(30_000);
  await world.settle();
  assert.equal(world.fired.length, 10_000);
  assert.equal(world.rooms, 1);
  world.due('t');
  await world.settle();
  assert.equal(world.fired.length, 10_000, 'one that is due later does not overtake it');
  assert(world.queues.beginRefill() !== undefined);
  world.due('t');
  world.queues.refilled(undefined);
  assert(world.leaves('t'));
  assert(world.rooms > 1, 'what came meanwhile is asked for');
  world.refill();
  assert(!world.leaves('t'));
  world.due('t');
  await world.settle();
  assert.equal(world.fired.length, 10_001);
  await world.queues.close();
});

test('what a command holds stays known, whatever its topic gives back to the index', async () => {
  const world = new World();
  const entries = Array.from({ length: 10_000 }, () => world.due('t0'));
  await world.settle();
  const held = entries.at(-1) as NearDelay;
  world.window.hold(held);
  for (let t = 1; t < 20; t++) world.due(`t${t}`);
  await world.settle();
  world.clock.jump(30_000);
  await world.settle();
  assert(world.leaves('t0'));
  assert.equal(world.window.find(held.id), held);
  await world.queues.close();
});

test('a topic with much that is due is sent in slices, and others have their turn between them', async () => {
  const world = new World();
  world.refuses = false;
  for (let i = 0; i < 10_000; i++) world.due('much');
  world.due('few');
  world.queues.pump();
  assert.deepEqual(world.calls, [
    ['much', 250],
    ['few', 1],
  ]);
  world.clock.fire();
  world.due('few');
  world.queues.pump();
  assert.deepEqual(world.calls.slice(2), [
    ['much', 250],
    ['much', 250],
    ['few', 1],
  ]);
  await world.settle();
  assert.equal(world.fired.length, 10_002);
  assert(world.calls.every(([, count]) => count <= 250));
  const order = world.fired.filter(({ topic }) => topic === 'much').map(({ offset }) => offset);
  assert.deepEqual(
    order,
    [...order].sort((a, b) => a - b),
  );
  await world.queues.close();
});
