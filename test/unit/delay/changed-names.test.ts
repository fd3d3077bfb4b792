import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHANGED_KEPT_MS, ChangedNames } from '../../../src/delay/changed-names.ts';
import { dueKey } from '../../../src/delay/delay-index.ts';
import { DelayWorld } from './delay-world.ts';
import { MemoryStore } from './memory-store.ts';

const values = (world: DelayWorld): string[] => world.fired.map(({ value }) => value);

/** What waits, as the index has it. */
async function pendingOf(world: DelayWorld): Promise<number> {
  let lines = 0;
  const range = { from: dueKey(0, undefined), to: dueKey(2 ** 48 - 1, undefined) };
  for await (const _ of world.cluster.index.between(range)) lines++;
  return lines;
}

for (const how of ['on', 'restarted', 'with a new index'] as const) {
  test(`a copy that comes after a cancel was answered does not fire, the node ${how}`, async () => {
    const world = new DelayWorld();
    await world.start();
    const id = world.schedule({ topic: 't', value: 'a', dueMs: world.clock.nowMs + 5_000 });
    await world.settle();
    assert.equal(await world.does(world.commands.cancel(id)), 'cancelled');
    if (how !== 'on') {
      await world.stop();
      if (how === 'with a new index') world.store = new MemoryStore();
      await world.start();
    }
    world.resend();
    await world.settle();
    world.resend();
    await world.jump(10_000);
    assert.deepEqual(values(world), []);
    assert.deepEqual([await pendingOf(world), world.cluster.pending], [0, 0]);
    await world.stop();
    // Nor where the copy is all that the cleaner of the log had left of it.
    world.store = new MemoryStore();
    await world.start();
    await world.jump(10_000);
    assert.deepEqual(values(world), []);
    await world.stop();
  });

  test(`a copy that comes after a move was answered changes nothing, the node ${how}`, async () => {
    const world = new DelayWorld();
    await world.start();
    const { nowMs } = world.clock;
    const id = world.schedule({ topic: 't', value: 'a', dueMs: nowMs + 5_000 });
    await world.settle();
    assert.equal(await world.does(world.commands.move(id, nowMs + 600_000)), 'moved');
    if (how !== 'on') {
      await world.stop();
      if (how === 'with a new index') world.store = new MemoryStore();
      await world.start();
    }
    world.resend();
    await world.settle();
    assert.deepEqual([await pendingOf(world), world.cluster.pending], [1, 1]);
    await world.jump(60_000);
    assert.deepEqual(values(world), []);
    await world.jump(600_000);
    assert.deepEqual(values(world), ['a']);
    world.resend();
    await world.jump(10_000);
    assert.deepEqual(values(world), ['a'], 'nor after it fired');
    assert.deepEqual([await pendingOf(world), world.cluster.pending], [0, 0]);
    await world.stop();
  });
}

test('names are forgotten after a day, and above the bound left to the index until then', () => {
  const names = new ChangedNames(2);
  const at = 1_000_000_000;
  names.add('\u0001\u0003a', at, at);
  names.add('\u0001\u0004b', at + 1, at + 1);
  assert(!names.isCrowded(at + 1));
  names.add('\u0001\u0004c', at + 2, at + 2);
  assert.deepEqual(
    ['\u0001\u0003a', '\u0001\u0004b', '\u0001\u0004c'].map((name) => names.has(name)),
    [false, true, true],
  );
  assert(names.isCrowded(at + CHANGED_KEPT_MS - 1));
  assert(!names.isCrowded(at + CHANGED_KEPT_MS));
  names.forget(4);
  assert(!names.has('\u0001\u0004b'));
  const later = at + CHANGED_KEPT_MS + 10;
  names.add('\u0001\u0003d', at, later - 5);
  names.add('\u0001\u0003e', later, later);
  assert.deepEqual([names.has('\u0001\u0003d'), names.has('\u0001\u0003e')], [false, true]);
});

for (const how of ['on', 'restarted', 'with a new index'] as const) {
  for (const isFar of [false, true]) {
    const away = isFar ? 'far' : 'near';
    test(`what two nodes accepted is cancelled and moved at both due times, the node ${how}, ${away}`, async () => {
      const world = new DelayWorld();
      await world.start();
      const firstMs = world.clock.nowMs + (isFar ? 600_000 : 5_000);
      const twice = async (value: string) => {
        world.schedule({ topic: 't', value, dueMs: firstMs });
        await world.settle();
        world.clock.jump(100);
        const dueMs = firstMs + 100;
        const id = world.schedule({ topic: 't', value, dueMs, isCopy: true });
        await world.settle();
        return id;
      };
      const cancelled = await twice('cancelled');
      const moved = await twice('moved');
      assert.equal(await world.does(world.commands.cancel(cancelled)), 'cancelled');
      const movedMs = firstMs + 3_600_000;
      assert.equal(await world.does(world.commands.move(moved, movedMs)), 'moved');
      if (how !== 'on') {
        await world.stop();
        if (how === 'with a new index') world.store = new MemoryStore();
        await world.start();
      }
      for (let i = 0; i < 700; i++) await world.jump(1_000);
      assert.deepEqual(values(world), []);
      await world.jump(15_000);
      assert.deepEqual([await pendingOf(world), world.cluster.pending], [1, 1]);
      await world.jump(3_600_000);
      assert.deepEqual(values(world), ['moved']);
      await world.stop();
    });
  }
}
