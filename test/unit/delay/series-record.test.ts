import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Seeded, seed } from '../../support/seeded.ts';
import { DelayWorld } from './delay-world.ts';
import { MemoryStore } from './memory-store.ts';

console.log(`seed=${seed}`);

const may = () => {};

/** The numbers that came of a series, from the `first` message on. */
const numbersOf = ({ fired }: DelayWorld, series: string, first: number) =>
  fired
    .slice(first)
    .filter(({ value }) => value === series)
    .map(({ headers }) => Number(headers['mq-series-number']));

/** What a series must have fired, as far as its numbers say it. */
interface Expected {
  readonly first: number;
  readonly startMs: number;
  readonly everyMs: number;
  readonly count: number;
  readonly cancelled: Set<number>;
}

/**
 * Drawn series on a world that stops, loses its index, is compacted and dies at its work; how many
 * firings were made twice.
 */
async function simulate(random: Seeded, crashes: boolean): Promise<number> {
  const world = new DelayWorld();
  await world.start();
  const expected = new Map<string, Expected>();
  const begin = async (series: string) => {
    const everyMs = random.pick([1_000, 1_700, 5_000, 60_000]);
    const count = random.pick([3, 20, 100]);
    const value = Buffer.from(series);
    const request = { series, topic: 't', value, missed: 'all' as const, count };
    const first = world.fired.length;
    const startMs = world.clock.nowMs;
    const every = { intervalMs: everyMs };
    await world.does(world.series.schedule({ ...request, every }, may));
    expected.set(series, { first, startMs, everyMs, count, cancelled: new Set() });
  };
  const restart = async () => {
    // A node that dies while it fires: what it wrote stays, what it was told is lost.
    if (!crashes) await world.settle();
    await world.stop();
    if (random.below(3) === 0) world.store = new MemoryStore();
    await world.start();
  };
  for (const series of ['a', 'b', 'c', 'd']) await begin(series);
  for (let step = 0; step < 120; step++) {
    const kind = random.below(20);
    const series = random.pick([...expected.keys()]);
    if (kind < 12) await world.jump(random.pick([100, 900, 1_000, 3_000, 20_000]));
    else if (kind < 14) await restart();
    else if (kind < 15) world.log.compact();
    else if (kind < 17 && crashes) {
      world.clock.jump(1_000);
      world.clock.fire();
      world.logIsAway = true;
      await world.settle(3);
      await world.stop();
      world.logIsAway = false;
      await world.start();
    } else if (kind < 19) {
      const number = 1 + random.below(100);
      const outcome = await world.does(world.series.cancelFiring(series, number, may));
      const { first, cancelled } = expected.get(series) as Expected;
      if (outcome === 'cancelled') cancelled.add(number);
      else if (outcome === 'tooLate' && !cancelled.has(number)) {
        assert(numbersOf(world, series, first).includes(number), `${number} did not fire`);
      }
    } else {
      const outcome = await world.does(world.series.cancel(series, may));
      assert(outcome === 'cancelled' || outcome === 'notFound');
      check(world, series, expected.get(series) as Expected, world.clock.nowMs, crashes, outcome);
      await begin(series);
    }
  }
  await world.jump(1);
  await world.settle();
  for (const [series, one] of expected) check(world, series, one, world.clock.nowMs, crashes);
  assert.equal(world.cluster.stats.early, 0);
  await world.stop();
  return world.fired.length - new Set(world.fired.map(({ id }) => id)).size;
}

function check(
  world: DelayWorld,
  series: string,
  { first, startMs, everyMs, count, cancelled }: Expected,
  nowMs: number,
  crashes: boolean,
  outcome?: string,
): void {
  const mine = world.fired.slice(first).filter(({ value }) => value === series);
  const numbers = numbersOf(world, series, first);
  for (const { dueMs, atMs, headers } of mine) {
    assert.equal(dueMs, startMs + everyMs * Number(headers['mq-series-number']));
    assert(atMs >= dueMs, `seed=${seed}: ${series} is early`);
  }
  const due = Math.min(count, Math.floor((nowMs - startMs) / everyMs));
  const wanted = Array.from({ length: due }, (_, i) => i + 1).filter((n) => !cancelled.has(n));
  if (!crashes) assert.deepEqual(numbers, wanted, `seed=${seed}: ${series} ${outcome}`);
  const ids = new Set(mine.map(({ id }) => id));
  assert.deepEqual(
    [...new Set(numbers)].sort((a, b) => a - b),
    wanted,
    `seed=${seed}: ${series}`,
  );
  assert.equal(ids.size, wanted.length, 'a firing that is made again has its id');
}

test('drawn series, restarts, lost indexes and cancels: each number once, never early', async () => {
  const runs = process.env['MQPROXY_TEST_SCALE'] === 'long' ? 40 : 4;
  for (let i = 0; i < runs; i++) await simulate(new Seeded(seed + i), false);
});

test('drawn series over crashes while they fire: each number at least once, under one id', async () => {
  const runs = process.env['MQPROXY_TEST_SCALE'] === 'long' ? 40 : 4;
  let twice = 0;
  for (let i = 0; i < runs; i++) twice += await simulate(new Seeded(seed + i), true);
  console.log(`made twice: ${twice}`);
  assert(twice > 0, 'no crash came between a firing and its record');
});
