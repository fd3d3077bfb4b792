import assert from 'node:assert/strict';
import { test } from 'node:test';
import { delayIdOfKey, delayIdOfSeries } from '../../../protocol/src/delay-id.ts';
import { type DelayRecord, readDelayRecord, tombstone } from '../../../src/delay/delay-record.ts';
import { delayTopic } from '../../../src/delay/delay-topic.ts';
import { seriesFollower, seriesOf } from '../../../src/delay/series-record.ts';
import { DelayWorld } from './delay-world.ts';
import { MemoryStore } from './memory-store.ts';

const id = delayIdOfSeries('a');
const may = () => {};
const all = { limit: 10, mayRead: () => true };

async function worldWithSeries(): Promise<DelayWorld> {
  const world = new DelayWorld();
  await world.start();
  await schedule(world, 'tick');
  return world;
}

function schedule(world: DelayWorld, value: string) {
  const request = { series: 'a', topic: 't', value: Buffer.from(value) };
  return world.does(world.series.schedule({ ...request, every: { intervalMs: 60_000 } }, may));
}

/** The next record, as a node writes it that fired and does not own the series any more. */
async function followerOf(world: DelayWorld) {
  const { index } = world.cluster;
  const place = await index.find(id);
  const bytes = place && (await index.record(id, place.dueMs));
  const record = readDelayRecord(bytes as Buffer) as DelayRecord;
  const { rule, stands } = seriesOf(record);
  return seriesFollower(delayTopic, record, rule.turn(stands, stands.dueMs));
}

async function restart(world: DelayWorld, loses: boolean): Promise<void> {
  await world.stop();
  if (loses) world.store = new MemoryStore();
  await world.start();
}

/** Records of one key that the cleaner took from the middle of a partition. */
function clean(world: DelayWorld, of: Buffer, keeps: (index: number) => boolean): void {
  const log = world.log.partitions[of[1] as number] as Buffer[];
  for (const [i, bytes] of log.entries())
    if (!keeps(i)) log[i] = Buffer.from(bytes).fill(0, 20, 21);
}

test('what comes after a series was cancelled does not bring it back, not after a compaction either', async () => {
  const world = await worldWithSeries();
  const late = await followerOf(world);
  assert.equal(await world.does(world.series.cancel('a', may)), 'cancelled');
  world.take(late);
  await world.settle();
  assert.equal(world.cluster.pending, 0);
  world.log.compact();
  await restart(world, true);
  assert.equal(world.cluster.pending, 0);
  await world.jump(600_000);
  assert.deepEqual(world.fired, []);
  await world.stop();
});

for (const loses of [false, true]) {
  const index = loses ? 'a lost index' : 'its index';
  test(`what came so while no node read is told from a series that goes on, by ${index}`, async () => {
    const world = await worldWithSeries();
    const late = await followerOf(world);
    await world.does(world.series.cancel('a', may));
    await world.stop();
    world.take(late);
    if (loses) world.store = new MemoryStore();
    await world.start();
    assert.equal(world.cluster.pending, 0);
    world.log.compact();
    await restart(world, true);
    assert.equal(world.cluster.pending, 0);
    await schedule(world, 'tock');
    await world.jump(60_000);
    await world.jump(60_000);
    assert.equal(world.fired.length, 2, 'a new one goes on');
    await world.stop();
  });
}

test('what comes after a series was replaced leaves the new one, also after a compaction', async () => {
  const world = await worldWithSeries();
  const late = await followerOf(world);
  await schedule(world, 'tock');
  world.take(late);
  await world.settle();
  world.log.compact();
  await restart(world, true);
  assert.equal(world.cluster.pending, 1);
  await world.jump(60_000);
  await world.jump(60_000);
  assert.deepEqual(
    world.fired.map(({ value, headers }) => `${value} ${headers['mq-series-number']}`),
    ['tock 1', 'tock 2'],
  );
  await world.stop();
});

test('a series that is written again while it fires does not go back', async () => {
  const world = await worldWithSeries();
  const late = await followerOf(world);
  await schedule(world, 'tock');
  const next = await followerOf(world);
  const take = world.take.bind(world);
  // The series goes on after it was read, and before it is written again.
  world.take = (record) => {
    world.take = take;
    take(next);
    return take(record);
  };
  take(late);
  await world.settle();
  for (const loses of [false, true]) {
    const [series] = (await world.series.list(all)).series;
    assert.deepEqual([series?.nextNumber, series?.fired], [2, 1]);
    world.log.compact();
    await restart(world, loses);
  }
  await world.stop();
});

test('a series that is written again while it fires makes each firing once', async () => {
  for (let turns = 0; turns < 60; turns += 3) {
    const world = await worldWithSeries();
    const late = await followerOf(world);
    await schedule(world, 'tock');
    await world.settle();
    world.publishTurns = 20;
    world.take(late);
    await world.turns(10);
    // It is written again, and that is read so many turns after it is due.
    world.log.heldPartition = id[1];
    await world.turns(30);
    world.clock.jump(60_000);
    world.clock.fire();
    await world.turns(turns);
    world.log.heldPartition = undefined;
    world.log.pump();
    for (let i = 0; i < 40; i++) {
      await world.turns(20);
      world.clock.jump(100);
      world.clock.fire();
    }
    assert.equal(world.fired.length, 1, `${turns} turns`);
    assert.equal((await world.series.list(all)).series[0]?.nextNumber, 2);
    await world.stop();
  }
});

test('a series whose records the cleaner took while they were read goes on where it was', async () => {
  const world = await worldWithSeries();
  for (let i = 0; i < 3; i++) await world.jump(60_000);
  const { length } = world.log.partitions[id[1] as number] as Buffer[];
  assert.equal(length, 4);
  clean(world, id, (i) => i === 0 || i === 3);
  await restart(world, true);
  const [series] = (await world.series.list(all)).series;
  assert.deepEqual([series?.nextNumber, series?.fired], [4, 3]);
  await world.jump(60_000);
  assert.equal(world.fired.length, 4);
  assert.equal(world.log.partitions[id[1] as number]?.length, 5, 'nothing was written again');
  await world.stop();
});

test('a series of which only the newest record is left goes on', async () => {
  const world = await worldWithSeries();
  for (let i = 0; i < 3; i++) await world.jump(60_000);
  world.log.compact();
  await restart(world, true);
  await world.jump(60_000);
  assert.deepEqual(
    world.fired.map(({ headers }) => headers['mq-series-number']),
    ['1', '2', '3', '4'],
  );
  await world.stop();
});

test('a schedule whose later one the cleaner took while it was read does not come back', async () => {
  const world = new DelayWorld();
  await world.start();
  const { nowMs } = world.clock;
  world.schedule({ topic: 't', value: 'first', dueMs: nowMs + 3_600_000, unique: 'k' });
  world.schedule({ topic: 't', value: 'second', dueMs: nowMs + 1_000, unique: 'k' });
  await world.settle();
  await world.jump(1_000);
  clean(world, delayIdOfKey('t', 'k'), (i) => i !== 1);
  await restart(world, true);
  assert.equal(world.cluster.pending, 0);
  await world.jump(3_600_000);
  assert.deepEqual(
    world.fired.map(({ value }) => value),
    ['second'],
  );
  await world.stop();
});

test('short ownerships deep in a backlog do not make an index fresh: what ended is known by none of them', async () => {
  const world = new DelayWorld();
  const hour = 3_600_000;
  await world.start();
  const { nowMs } = world.clock;
  const partition = 3;
  const ended = world.schedule({ topic: 't', value: 'a', dueMs: nowMs + 72 * hour, partition });
  await world.settle();
  await world.stop();
  const others = { topic: 't', value: 'b', dueMs: nowMs + 1_000 * hour, partition };
  for (let i = 0; i < 200; i++) world.schedule(others);
  world.take(tombstone(delayTopic, ended));
  world.schedule(others);
  for (const hours of [10, 10]) {
    world.clock.jump(hours * hour);
    world.log.clean(world.clock.nowMs);
    world.log.isHeld = true;
    await world.start();
    world.log.isHeld = false;
    world.log.pump();
    world.log.isHeld = true;
    await world.settle();
    await world.stop();
  }
  world.log.isHeld = false;
  world.clock.jump(6 * hour);
  world.log.clean(world.clock.nowMs);
  await world.start();
  assert.equal(world.cluster.stats.replays, 0, 'six hours after it began anew');
  await world.jump(72 * hour);
  assert.deepEqual(world.fired, []);
  assert.equal(world.cluster.pending, 201);
  await world.stop();
});
