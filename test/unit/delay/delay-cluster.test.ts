import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tombstone } from '../../../src/delay/delay-record.ts';
import { delayTopic } from '../../../src/delay/delay-topic.ts';
import { keptLog } from '../../support/kept-log.ts';
import { Seeded, seed } from '../../support/seeded.ts';
import { DelayWorld } from './delay-world.ts';
import { MemoryStore } from './memory-store.ts';

console.log(`seed=${seed}`);

interface Waiting {
  readonly id: Buffer;
  dueMs: number;
  value: string;
  readonly topic: string;
}

const day = 86_400_000;
const values = (world: DelayWorld) => world.fired.map(({ value }) => value);

test('each fires at its tick, not one before', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  world.schedule({ topic: 't', value: 'past', dueMs: nowMs - 5 });
  world.schedule({ topic: 't', value: 'now', dueMs: nowMs });
  world.schedule({ topic: 't', value: 'next', dueMs: nowMs + 1 });
  world.schedule({ topic: 't', value: 'far', dueMs: nowMs + 400 * day });
  await world.settle();
  assert.deepEqual(values(world), ['past', 'now']);
  await world.jump(1);
  assert.deepEqual(values(world), ['past', 'now', 'next']);
  await world.jump(400 * day - 2);
  assert.equal(world.fired.length, 3);
  await world.jump(1);
  assert.deepEqual(values(world).slice(3), ['far']);
  assert.equal(world.cluster.stats.early, 0);
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

/** A model beside a world, and drawn steps on both. */
class Run {
  readonly world = new DelayWorld();
  readonly waiting = new Map<string, Waiting>();
  readonly expected: string[] = [];
  private readonly random: Seeded;
  private serial = 0;

  constructor(random: Seeded) {
    this.random = random;
  }

  async step(): Promise<void> {
    const { random, world } = this;
    const kind = random.below(20);
    if (kind < 8) this.schedule();
    else if (kind < 11) await this.cancel();
    else if (kind < 13) await this.move();
    else if (kind < 17) await this.jump(random.pick([1, 50, 999, 30_000, 3_600_000, 30 * day]));
    else if (kind < 18) world.log.compact();
    else await this.restart(random.below(3) === 0);
  }

  private schedule(): void {
    const { random, world, waiting } = this;
    const value = `v${this.serial++}`;
    const topic = random.pick(['a', 'b']);
    const dueMs = world.clock.nowMs + random.pick([1, 40, 500, 20_000, 7_200_000, 90 * day]);
    const isUnique = random.below(3) === 0;
    const ifAbsent = isUnique && random.below(2) === 0;
    const unique = isUnique ? `k${random.below(6)}` : undefined;
    const id = world.schedule({ topic, value, dueMs, ifAbsent, ...(unique ? { unique } : {}) });
    const name = id.toString('hex');
    if (ifAbsent && waiting.has(name)) return;
    waiting.set(name, { id, dueMs, value, topic });
  }

  private async cancel(): Promise<void> {
    const one = this.pick();
    if (one === undefined) return;
    await this.world.settle();
    assert.equal(await this.does(this.world.commands.cancel(one.id)), 'cancelled');
    this.waiting.delete(one.id.toString('hex'));
    assert.equal(await this.does(this.world.commands.cancel(one.id)), 'notFound');
  }

  private async move(): Promise<void> {
    const one = this.pick();
    if (one === undefined) return;
    await this.world.settle();
    one.dueMs = this.world.clock.nowMs + this.random.pick([1, 300, 60_000, 2 * day]);
    assert.equal(await this.does(this.world.commands.move(one.id, one.dueMs)), 'moved');
  }

  private async does<T>(work: Promise<T>): Promise<T> {
    const [result] = await Promise.all([work, this.world.settle()]);
    return result;
  }

  private async jump(byMs: number): Promise<void> {
    const { world } = this;
    await world.settle();
    const before = world.fired.length;
    await world.jump(byMs);
    const due = [...this.waiting.values()].filter(({ dueMs }) => dueMs <= world.clock.nowMs);
    for (const { id } of due) this.waiting.delete(id.toString('hex'));
    const fired = world.fired.slice(before);
    const expected = due.map(({ value }) => value).sort();
    assert.deepEqual(fired.map(({ value }) => value).sort(), expected);
    for (const { atMs } of fired) assert.equal(atMs, world.clock.nowMs);
  }

  private async restart(loses: boolean): Promise<void> {
    const { world } = this;
    await world.settle();
    await world.stop();
    if (loses) world.store = new MemoryStore();
    await world.start();
    await world.settle();
  }

  private pick(): Waiting | undefined {
    const all = [...this.waiting.values()];
    return all.length === 0 ? undefined : this.random.pick(all);
  }
}

test('years of schedules, cancels, moves, restarts and lost indexes agree with a map', async () => {
  const runs = process.env['MQPROXY_TEST_SCALE'] === 'long' ? 60 : 8;
  for (let i = 0; i < runs; i++) {
    const run = new Run(new Seeded(seed + i));
    await run.world.start();
    for (let step = 0; step < 80; step++) await run.step();
    await run.world.settle();
    const page = await run.world.commands.list({ limit: 1_000 });
    assert.equal(page.delays.length, run.waiting.size, `seed=${seed + i}`);
    assert.equal(run.world.cluster.stats.early, 0);
    await run.world.stop();
  }
});

test('a topic that refuses holds back no other, and gets its own when it takes again', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  world.refusing.add('stuck');
  for (let i = 0; i < 300; i++) {
    world.schedule({ topic: i % 2 ? 'stuck' : 'free', value: `${i}`, dueMs: nowMs + 10 + i });
  }
  await world.settle();
  await world.jump(1_000);
  assert.equal(world.fired.length, 150);
  assert(world.fired.every(({ topic }) => topic === 'free'));
  world.refusing.clear();
  for (let i = 0; i < 40; i++) await world.jump(1_000);
  const stuck = world.fired.filter(({ topic }) => topic === 'stuck').map(({ value }) => +value);
  assert.equal(stuck.length, 150);
  assert.deepEqual(
    stuck,
    [...stuck].sort((a, b) => a - b),
    'in the order of their due times',
  );
  await world.stop();
});

test('what a full queue leaves in the index is taken up again, each once', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  const count = 10_400;
  world.refusing.add('stuck');
  for (let i = 0; i < count; i++) {
    world.schedule({ topic: 'stuck', value: `${i}`, dueMs: nowMs + 10 + Math.floor(i / 100) });
  }
  world.schedule({ topic: 'free', value: 'free', dueMs: nowMs + 1_000 });
  await world.settle();
  await world.jump(2_000);
  assert.deepEqual(values(world), ['free']);
  assert.equal(world.cluster.loop.stuckTopics.length, 1);
  world.refusing.clear();
  for (let i = 0; i < 40 && world.fired.length <= count; i++) await world.jump(1_000);
  assert.equal(world.fired.length, count + 1);
  assert.equal(new Set(values(world)).size, count + 1);
  await world.settle();
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('a log whose end the cleaner took is read to its end all the same', async () => {
  const world = new DelayWorld();
  for (let i = 0; i < 100; i++) world.schedule({ topic: 't', value: 'gone', dueMs: 0 });
  world.log.vanish();
  await world.start();
  assert(world.cluster.partitions.ready < world.cluster.partitions.own);
  await world.jump(3_000);
  await world.jump(1);
  assert.equal(world.cluster.partitions.ready, world.cluster.partitions.own);
  world.schedule({ topic: 't', value: 'new', dueMs: 0 });
  await world.settle();
  assert.deepEqual(values(world), ['new']);
  await world.stop();
});

test('nothing fires before the log was applied to its end', async () => {
  const world = new DelayWorld();
  const { nowMs } = world.clock;
  await world.start();
  const id = world.schedule({ topic: 't', value: 'cancelled', dueMs: nowMs + 1_000 });
  await world.settle();
  world.log.isHeld = true;
  const cancelled = world.commands.cancel(id);
  await world.settle();
  await world.stop();
  await cancelled.catch(() => undefined);
  world.clock.jump(60_000);
  await world.start();
  assert.deepEqual(values(world), [], 'its tombstone is in the log and not applied yet');
  world.log.isHeld = false;
  world.log.pump();
  await world.settle();
  assert.deepEqual(values(world), []);
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('a clock that steps is counted and followed, both ways', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  world.schedule({ topic: 't', value: 'a', dueMs: nowMs + 10_000 });
  await world.settle();
  world.clock.step(-3_600_000);
  await world.jump(1_000);
  world.schedule({ topic: 't', value: 'b', dueMs: world.clock.nowMs + 500 });
  await world.settle();
  await world.jump(500);
  assert.deepEqual(values(world), ['b'], 'what is due by the new clock is not held back');
  await world.jump(20_000);
  assert.deepEqual(values(world), ['b']);
  world.clock.step(3_600_000);
  await world.jump(1_000);
  assert.deepEqual(values(world), ['b', 'a']);
  assert.equal(world.cluster.stats.clockSteps, 2);
  assert.equal(world.cluster.stats.early, 0);
  await world.stop();
});

test('what fired while the log took no tombstone is too late to be cancelled, and fires once', async () => {
  const world = new DelayWorld();
  await world.start();
  const id = world.schedule({
    topic: 't',
    value: 'v',
    dueMs: world.clock.nowMs + 100,
    unique: 'k',
  });
  await world.settle();
  world.logIsAway = true;
  await world.jump(100);
  assert.deepEqual(values(world), ['v']);
  assert.equal(await world.does(world.commands.cancel(id)), 'tooLate');
  world.logIsAway = false;
  await world.jump(30_000);
  assert.deepEqual(values(world), ['v']);
  assert.equal(world.cluster.pending, 0);
  await world.stop();
});

test('a cancel that races the fire is kept when it says so, and never takes what it was too late for', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  const ids = Array.from({ length: 400 }, (_, i) =>
    world.schedule({ topic: 't', value: `${i}`, dueMs: nowMs + 100 + (i % 4) }),
  );
  await world.settle();
  const outcomes = new Map<string, string>();
  const cancel = async (from: number) => {
    const some = ids.slice(from, from + 100);
    const told = await Promise.all(some.map((id) => world.commands.cancel(id)));
    for (const [i, outcome] of told.entries()) outcomes.set(`${from + i}`, outcome);
  };
  // Before any is due, at the tick of the first ones, while they are published, and after.
  const cancels = [cancel(0)];
  world.clock.jump(101);
  cancels.push(cancel(100));
  world.clock.fire();
  cancels.push(cancel(200));
  world.clock.jump(5);
  world.clock.fire();
  cancels.push(cancel(300));
  await world.settle();
  await Promise.all(cancels);
  await world.jump(60_000);
  const fired = values(world);
  assert.equal(new Set(fired).size, fired.length, 'none twice');
  for (const [value, outcome] of outcomes) {
    assert.equal(fired.includes(value), outcome !== 'cancelled', `${value}: ${outcome}`);
  }
  const kinds = new Set(outcomes.values());
  assert(kinds.has('cancelled') && kinds.has('tooLate'), `both happened: ${[...kinds]}`);
  assert.equal(outcomes.size, 400);
  await world.stop();
});

test('a node that was not told its partitions yet has no empty list, and names no other owner', async () => {
  const world = new DelayWorld();
  const started = world.start();
  while (world.series === undefined) await Promise.resolve();
  const later = { code: 'RETRY_LATER' };
  await assert.rejects(world.commands.list({ limit: 10 }), later);
  await assert.rejects(world.commands.stats(), later);
  await assert.rejects(world.series.list({ limit: 10, mayRead: () => true }), later);
  await assert.rejects(
    world.series.cancel('a', () => {}),
    later,
  );
  await started;
  assert.deepEqual(await world.commands.list({ limit: 10 }), { delays: [] });
  await world.stop();
});

test("a partition that is taken away while it is being taken over is not this node's", async () => {
  const world = new DelayWorld();
  await world.start();
  world.schedule({ topic: 't', value: 'a', dueMs: world.clock.nowMs + 1_000 });
  await world.settle();
  world.log.lose();
  await world.settle();
  world.log.assign();
  world.log.lose();
  await world.settle();
  assert.equal(world.cluster.partitions.own, 0);
  await world.jump(5_000);
  assert.deepEqual(values(world), []);
  world.log.assign();
  await world.settle();
  await world.jump(1_000);
  assert.deepEqual(values(world), ['a']);
  await world.stop();
});

test('an index that was away for longer than the log keeps tombstones begins anew', async () => {
  for (const hours of [1, 25]) {
    const world = new DelayWorld();
    await world.start();
    const id = world.schedule({ topic: 't', value: 'a', dueMs: world.clock.nowMs + 3 * day });
    await world.settle();
    await world.stop();
    world.clock.jump(hours * 3_600_000);
    // Another node cancelled it, and the cleaner has taken both records.
    world.take(tombstone(delayTopic, id));
    if (hours === 25) world.log.vanish();
    await world.start();
    await world.jump(3_000);
    await world.jump(4 * day);
    assert.deepEqual(values(world), []);
    assert.equal(world.cluster.pending, 0);
    await world.stop();
  }
});

test('an index that heard of nothing because nothing came stays as it is', async () => {
  const world = new DelayWorld();
  await world.start();
  world.schedule({ topic: 't', value: 'a', dueMs: world.clock.nowMs + 3 * day });
  await world.settle();
  for (let hour = 0; hour < 30; hour++) await world.jump(3_600_000);
  await world.stop();
  const { replays } = world.cluster.stats;
  world.clock.jump(3_600_000);
  await world.start();
  assert.equal(world.cluster.stats.replays, 0, `${replays} at first`);
  await world.jump(3 * day);
  assert.deepEqual(values(world), ['a']);
  await world.stop();
});

test('what the cluster says of partition after partition is warned of once in ten seconds', async () => {
  const world = new DelayWorld();
  const { log, lines } = keptLog();
  world.logger = log;
  await world.start();
  for (let second = 0; second < 15; second++) {
    for (let partition = 0; partition < 16; partition++) {
      world.log.fail(partition, 'BACKEND_UNAVAILABLE');
    }
    await world.jump(1_000);
  }
  const said = lines.map(({ code, msg }) => [code, msg]);
  assert.deepEqual(
    said,
    [1, 2].map(() => ['BACKEND_UNAVAILABLE', 'reading the delay log']),
  );
  await world.stop();
});
