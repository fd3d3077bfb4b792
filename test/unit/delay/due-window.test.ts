import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Seeded, seed } from '../../support/seeded.ts';
import { DelayWorld } from './delay-world.ts';

console.log(`seed=${seed}`);

const near = { entriesMax: 400, bytesMax: 1024 * 1024 };
const stepMs = 100;

/** A world that schedules by topic and due time, and holds what fired against it. */
class Shares {
  readonly world = new DelayWorld();
  readonly due = new Map<string, number[]>();

  async start(): Promise<void> {
    this.world.near = near;
    await this.world.start();
  }

  add(topic: string, dueMs: number): void {
    const dues = this.due.get(topic) ?? [];
    this.due.set(topic, dues);
    dues.push(dueMs);
    this.world.schedule({ topic, value: `${dues.length}`, dueMs });
  }

  /** Time goes on, and memory stays bounded. */
  async step(): Promise<void> {
    await this.world.jump(stepMs);
    const { size } = this.world.cluster.loop.window;
    assert(size <= 2 * near.entriesMax, `${size} in memory`);
  }

  late(topic: string): number[] {
    return this.of(topic).map(({ atMs, dueMs }) => atMs - dueMs);
  }

  /** Everything fired, each once, a topic's in the order of due times. */
  mustBeWhole(): void {
    for (const [topic, dues] of this.due) {
      assert.deepEqual(
        this.of(topic).map(({ dueMs }) => dueMs),
        [...dues].sort((a, b) => a - b),
        `${topic}, seed=${seed}`,
      );
      const values = new Set(this.of(topic).map(({ value }) => value));
      assert.equal(values.size, dues.length, `${topic}, seed=${seed}`);
    }
    assert.equal(this.world.cluster.pending, 0);
    assert.equal(this.world.cluster.loop.window.size, 0);
  }

  private of(topic: string) {
    return this.world.fired.filter((one) => one.topic === topic);
  }
}

test('topics with more due in a second than memory holds delay no other, whatever they take', async () => {
  for (const isNear of [false, true]) {
    const shares = new Shares();
    await shares.start();
    const { world } = shares;
    // Far: the index is loaded. Near: it comes from the log straight into memory.
    const dueMs = world.clock.nowMs + (isNear ? 5_000 : 120_000);
    for (const topic of ['big', 'bigger']) {
      for (let i = 0; i < 1_500; i++) shares.add(topic, dueMs + Math.floor(i / 1.5));
    }
    for (let i = 0; i < 30; i++) shares.add('small', dueMs + i * stepMs);
    for (const topic of ['big', 'bigger']) world.frozen.add(topic);
    await world.settle();
    while (world.clock.nowMs < dueMs + 3_000) await shares.step();
    assert.deepEqual(shares.late('small'), new Array(30).fill(0), `near: ${isNear}`);
    world.frozen.clear();
    for (let i = 0; i < 100 && world.cluster.pending > 0; i++) await shares.step();
    shares.mustBeWhole();
    await world.stop();
  }
});

test('drawn topics, bursts and silences agree with a list: all fire, once, in order, those that are small in time', async () => {
  const runs = process.env['MQPROXY_TEST_SCALE'] === 'long' ? 40 : 4;
  for (let run = 0; run < runs; run++) {
    const random = new Seeded(seed + run);
    const shares = new Shares();
    await shares.start();
    const { world } = shares;
    for (let step = 0; step < 60; step++) {
      const { nowMs } = world.clock;
      const aheadMs = stepMs * (1 + random.below(400));
      if (random.below(6) === 0) {
        const topic = `burst-${random.below(4)}`;
        for (let i = random.below(500); i > 0; i--) shares.add(topic, nowMs + aheadMs + (i % 7));
      }
      shares.add('small', nowMs + aheadMs);
      if (random.below(10) === 0) world.frozen.add(`burst-${random.below(4)}`);
      if (random.below(10) === 0) world.frozen.clear();
      await shares.step();
    }
    for (let i = 0; i < 420; i++) await shares.step();
    assert(
      shares.late('small').every((ms) => ms === 0),
      `seed=${seed + run}`,
    );
    world.frozen.clear();
    for (let i = 0; i < 200 && world.cluster.pending > 0; i++) await shares.step();
    shares.mustBeWhole();
    await world.stop();
  }
});
