import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FetchedRecords } from '../../../src/backend/consumer-port.ts';
import type { LogApplier } from '../../../src/delay/log-applier.ts';
import { type AppliedPartition, LogIntake } from '../../../src/delay/log-intake.ts';

/** An intake whose work is done one by one when it is told, and what it applied in each write. */
class Intake {
  readonly own = new Map<number, AppliedPartition>();
  readonly writes: [partition: number, from: number, to: number][][] = [];
  readonly wanted: [partition: number, bytes: number][] = [];
  readonly intake: LogIntake<AppliedPartition>;
  private readonly tasks: (() => Promise<void>)[] = [];

  constructor() {
    const applier = {
      apply: async (parts: readonly FetchedRecords[]) => {
        this.writes.push(
          parts.map(({ partition, offsets, nextOffset }) => [
            partition,
            offsets[0] as number,
            nextOffset,
          ]),
        );
        return parts.map(() => ({ effects: [], foreign: 0 }));
      },
    } as unknown as LogApplier;
    this.intake = new LogIntake({
      applier,
      work: async (task) => void this.tasks.push(task),
      own: (partition) => this.own.get(partition),
      onApplied: () => {},
      want: (partition, bytes) => void this.wanted.push([partition, bytes]),
    });
  }

  give(partition: number, from: number, count: number): void {
    this.intake.receive({
      topic: 't',
      partition,
      count,
      records: Buffer.alloc(count),
      starts: Uint32Array.from({ length: count + 1 }, (_, i) => i),
      offsets: Float64Array.from({ length: count }, (_, i) => from + i),
      keyHashes: new Uint32Array(count),
      nextOffset: from + count,
      endOffset: from + count,
    });
  }

  /** False: there was nothing to do. */
  async work(): Promise<boolean> {
    const task = this.tasks.shift();
    await task?.();
    return task !== undefined;
  }
}

test('what came of several partitions meanwhile is one write, of a thousand records at most', async () => {
  const world = new Intake();
  for (const partition of [0, 1, 2]) world.own.set(partition, { applied: 0 });
  for (const partition of [0, 1, 2]) world.give(partition, 0, 10);
  await world.work();
  assert.deepEqual(world.writes, [
    [
      [0, 0, 10],
      [1, 0, 10],
      [2, 0, 10],
    ],
  ]);
  assert.deepEqual(world.wanted, [
    [0, 10],
    [1, 10],
    [2, 10],
  ]);
  world.writes.length = 0;
  world.wanted.length = 0;
  world.give(0, 10, 2_500);
  world.give(1, 10, 400);
  // Others have their turn between two writes.
  for (let turns = 1; await world.work(); turns++) assert.equal(world.writes.length, turns);
  assert.deepEqual(world.writes, [
    [[0, 10, 1_010]],
    [[0, 1_010, 2_010]],
    [
      [0, 2_010, 2_510],
      [1, 10, 410],
    ],
  ]);
  assert.deepEqual(world.wanted, [
    [0, 2_500],
    [1, 400],
  ]);
});

test('what is not ours or was applied is passed over, and nothing comes after a stop', async () => {
  const world = new Intake();
  world.own.set(1, { applied: 5 });
  world.give(0, 0, 3);
  world.give(1, 0, 5);
  world.give(1, 5, 2);
  world.give(1, 5, 2);
  await world.work();
  assert.deepEqual(world.writes, [[[1, 5, 7]]]);
  assert.equal(world.own.get(1)?.applied, 7);
  world.give(1, 7, 1);
  world.intake.stop();
  while (await world.work());
  assert.deepEqual(world.writes.flat(), [[1, 5, 7]]);
});

test('what came before a partition was lost and given back is not applied over the gap', async () => {
  const world = new Intake();
  world.own.set(0, { applied: 100 });
  world.own.set(1, { applied: 0 });
  world.give(0, 100, 1_000);
  world.give(0, 1_100, 1_000);
  world.give(1, 0, 5);
  // The first is passed over while the partition is nobody's here, the second comes after that.
  world.own.delete(0);
  await world.work();
  const again = { applied: 100 };
  world.own.set(0, again);
  while (await world.work());
  assert.deepEqual(world.writes.flat(), [[1, 0, 5]]);
  assert.equal(again.applied, 100);
  assert.deepEqual(world.wanted, [[1, 5]], 'who reads it now has asked for its own');
  world.give(0, 100, 10);
  while (await world.work());
  assert.equal(again.applied, 110);
});
