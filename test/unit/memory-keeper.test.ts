import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { MemoryKeeper } from '../../src/memory-keeper.ts';
import { giveBackMemory } from '../../src/native/addon.ts';
import { settle } from './produce/support.ts';
import { ManualClock } from './store/support.ts';

const MIB = 1024 * 1024;

function bench() {
  const clock = new ManualClock();
  const memory = { rss: 200 * MIB, given: 0 };
  const keeper = new MemoryKeeper({
    clock,
    rss: () => memory.rss,
    giveBack: async () => {
      memory.given++;
    },
  });
  const pass = async (seconds: number) => {
    for (let i = 0; i < seconds; i += 10) {
      clock.advance(10_000);
      await settle();
    }
  };
  return { memory, keeper, pass };
}

test('memory is given back when it has grown, and not again before it grows further', async () => {
  const { memory, keeper, pass } = bench();
  await pass(60);
  assert.equal(memory.given, 0);
  memory.rss = 300 * MIB;
  await pass(120);
  assert.equal(memory.given, 1, 'what is in use stays');
  memory.rss = 350 * MIB;
  await pass(60);
  assert.equal(memory.given, 1);
  memory.rss = 100 * MIB;
  await pass(30);
  memory.rss = 170 * MIB;
  await pass(30);
  assert.equal(memory.given, 2, 'it is measured by the least since');
  keeper.close();
  memory.rss = 900 * MIB;
  await pass(120);
  assert.equal(memory.given, 2);
});

test('what was in use the last time is given back within ten minutes', async () => {
  const { memory, keeper, pass } = bench();
  await pass(620);
  assert.equal(memory.given, 1);
  await pass(620);
  assert.equal(memory.given, 2);
  keeper.close();
});

test('the addon gives back what was freed between pieces that are in use', async () => {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const kept: Buffer[] = [];
  let freed: Buffer[] = [];
  for (let i = 0; i < 40_000; i++) {
    (i % 40 === 0 ? kept : freed).push(Buffer.allocUnsafeSlow(8_000).fill(1));
  }
  const full = process.memoryUsage.rss();
  freed = [];
  // The second one waits for what the first left to a thread of its own.
  for (let i = 0; i < 2; i++) {
    await settle();
    collect();
  }
  await giveBackMemory();
  const gone = (full - process.memoryUsage.rss()) / MIB;
  assert(gone > 200, `${gone} MiB of 297 were given back`);
  assert.equal(kept.length, 1_000);
});
