import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { type DelayIndex, dueKey, type IndexedDelay } from '../../../src/delay/delay-index.ts';
import { DelayStats } from '../../../src/delay/delay-stats.ts';
import { DueLoads } from '../../../src/delay/due-loads.ts';
import type { DueQueues } from '../../../src/delay/due-queues.ts';
import { DueWindow } from '../../../src/delay/due-window.ts';
import { DelayWorld, JumpClock } from './delay-world.ts';

const perTurn = 1_000;

/** Lines of an index, as a log and its applier made them. */
async function linesOf(count: number): Promise<IndexedDelay[]> {
  const world = new DelayWorld();
  await world.start();
  const dueMs = world.clock.nowMs + 60_000;
  for (let i = 0; i < count; i++) world.schedule({ topic: 't', value: `${i}`, dueMs: dueMs + i });
  await world.settle();
  const lines: IndexedDelay[] = [];
  const range = { from: dueKey(0, undefined), to: dueKey(2 ** 47, undefined) };
  for await (const line of world.cluster.index.between(range)) lines.push(line);
  await world.stop();
  return lines;
}

/** Loads of an index whose lines come without a wait; queues take all. */
function loadsOf(lines: readonly IndexedDelay[]) {
  const clock = new JumpClock();
  const window = new DueWindow({ entriesMax: 1e6, bytesMax: 1e9 }, clock.now(), () => {});
  const shown = { lines };
  const index = {
    between: async function* (_: unknown, limit = lines.length) {
      yield* shown.lines.slice(0, limit);
    },
    tidy: async () => {},
  } as unknown as DelayIndex;
  let left: Buffer | undefined;
  const queues = {
    isLeft: () => left !== undefined,
    admits: () => true,
    wants: () => true,
    isRefilled: false,
    take: () => {},
    beginRefill: () => dueKey(0, undefined),
    refilled: (next: Buffer | undefined) => {
      left = next;
    },
  } as unknown as DueQueues;
  let done = 0;
  const loads = new DueLoads({
    index,
    clock,
    stats: new DelayStats(),
    window,
    queues,
    work: (task) => void task().then(() => done++),
    mayFire: () => true,
    isStray: () => false,
    onLoaded: () => {},
  });
  const turns = async () => {
    for (let i = 0; i < 5; i++) await setImmediate();
  };
  return { clock, window, loads, turns, shown, done: () => done };
}

test('a long load or refill pauses, so that what is due has its turn', async () => {
  const lines = await linesOf(3 * perTurn + 1);
  for (const does of ['load', 'refill'] as const) {
    const { clock, window, loads, turns, shown, done } = loadsOf(lines);
    if (does === 'refill') {
      shown.lines = [];
      loads.load(clock.now());
      await turns();
      shown.lines = lines;
    }
    const before = done();
    if (does === 'load') loads.load(clock.now());
    else loads.refill();
    for (let turn = 1; turn <= 3; turn++) {
      await turns();
      assert.equal(window.size, turn * perTurn, does);
      assert.equal(done(), before);
      clock.fire();
    }
    await turns();
    assert.equal(window.size, lines.length);
    assert.equal(done(), before + 1);
  }
});

test('a load that pauses ends where things were moved back meanwhile, and begins there again', async () => {
  const lines = await linesOf(2 * perTurn);
  const { clock, window, loads, turns, done } = loadsOf(lines);
  const { id, dueMs } = lines[100] as IndexedDelay;
  loads.load(clock.now());
  await turns();
  assert(loads.isNear(dueMs, id));
  loads.moveBack(dueKey(dueMs, undefined));
  clock.fire();
  await turns();
  assert.equal(done(), 1);
  assert.equal(window.size, perTurn);
  assert(!loads.isNear(dueMs, id));
});

test('nothing is taken up once it is closed', async () => {
  const lines = await linesOf(2 * perTurn);
  const { clock, window, loads, turns, done } = loadsOf(lines);
  loads.load(clock.now());
  await turns();
  loads.close();
  clock.fire();
  await turns();
  assert.equal(done(), 1);
  assert.equal(window.size, perTurn);
});

test('a load of what is due in a moment does not pause', async () => {
  const lines = await linesOf(2 * perTurn);
  const { clock, window, loads, turns, done } = loadsOf(lines);
  clock.jump(57_000);
  loads.load(clock.now());
  await turns();
  assert.equal(window.size, lines.length);
  assert.equal(done(), 1);
});

test('a refill is short while a load is late: what it is to bring may be due before', async () => {
  const lines = await linesOf(2 * perTurn);
  const { window, loads, turns, done } = loadsOf(lines);
  loads.refill();
  await turns();
  assert.equal(window.size, perTurn);
  assert.equal(done(), 1);
});

test('what is near is loaded 25 seconds ahead at least', async () => {
  const { clock, loads, turns, done } = loadsOf([]);
  for (const { afterMs, loadsMade } of [
    { afterMs: 0, loadsMade: 1 },
    { afterMs: 4_999, loadsMade: 1 },
    { afterMs: 2, loadsMade: 2 },
  ]) {
    clock.jump(afterMs);
    loads.load(clock.now());
    await turns();
    assert.equal(done(), loadsMade);
  }
});
