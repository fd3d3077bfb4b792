import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  delayRecord,
  dueOf,
  movedTarget,
  readDelayRecord,
  tombstone,
} from '../../../src/delay/delay-record.ts';
import { delayTopic } from '../../../src/delay/delay-topic.ts';
import { countOf, Seeded, seed } from '../../support/seeded.ts';
import { DelayWorld } from './delay-world.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const records = countOf('MQP_DELAY_REPLAY', isLong ? 1_000_000 : 20_000);
/** For each message that is scheduled there is half a change behind all of them. */
const count = Math.floor((records * 2) / 3);
const dayMs = 86_400_000;

/** A message of the log by its number: the first third is cancelled, the next sixth moved. */
const isCancelled = (i: number): boolean => i % 3 === 0;
const isMoved = (i: number): boolean => i % 6 === 1;

/** All are overdue; what was cancelled or moved says so at the very end of the log. */
function write(world: DelayWorld, random: Seeded): void {
  const { nowMs } = world.clock;
  for (let i = 0; i < count; i++) {
    world.schedule({ topic: 't', value: `${i}`, dueMs: nowMs - 1 - random.below(dayMs) });
  }
  const scheduled = world.log.partitions.flatMap((log) => [...log]);
  for (const bytes of random.shuffle(scheduled)) {
    const record = readDelayRecord(bytes);
    assert(record?.target !== undefined);
    const { id, target, offset, value } = record;
    const i = Number(value.toString());
    if (isCancelled(i)) world.take(tombstone(delayTopic, id));
    if (!isMoved(i)) continue;
    const ends = { offset, dueMs: dueOf(target) };
    world.take(delayRecord(delayTopic, record, movedTarget(target, nowMs + dayMs), ends));
  }
}

for (const isOneHeld of [false, true]) {
  const how = isOneHeld ? 'while one partition is read late' : 'of all partitions';
  test(`cancels and moves at the end of ${records} records hold at a take-over ${how}`, async () => {
    console.log(`seed=${seed}`);
    const world = new DelayWorld();
    write(world, new Seeded(seed));
    world.log.isSlow = true;
    world.log.heldPartition = isOneHeld ? 3 : undefined;
    await world.start();
    const { cluster } = world;
    for (const late of isOneHeld ? [1, 0] : [0]) {
      const isRead = () => cluster.partitions.own - cluster.partitions.ready === late;
      for (let i = 0; i < records && !isRead(); i++) await world.jump(100);
      world.log.heldPartition = undefined;
      world.log.pump();
    }
    for (let i = 0; i < records / 100; i++) await world.jump(100);
    const early = world.fired.map(({ value }) => Number(value));
    for (const i of early) assert(!isCancelled(i) && !isMoved(i), `${i} fired at the take-over`);
    const expected = Array.from({ length: count }, (_, i) => i);
    const due = expected.filter((i) => !isCancelled(i) && !isMoved(i));
    assert.equal(early.length, due.length);
    await world.jump(dayMs);
    for (let i = 0; i < records / 100; i++) await world.jump(100);
    const all = world.fired.map(({ value }) => Number(value)).sort((a, b) => a - b);
    assert.deepEqual(
      all,
      expected.filter((i) => !isCancelled(i)),
    );
    assert.equal(world.cluster.pending, 0);
    await world.stop();
  });
}
