import assert from 'node:assert/strict';
import { test } from 'node:test';
import { countOf, Seeded, seed } from '../../support/seeded.ts';
import { DelayWorld } from './delay-world.ts';
import { MemoryStore } from './memory-store.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const count = countOf('MQP_DELAY_YEARS', isLong ? 1_000_000 : 10_000);
const perTick = 50;
const dayMs = 86_400_000;
const years = 10;
const tickMs = Math.floor((years * 365 * dayMs) / (count / perTick));
const aheadMs = [-5, 0, 1, 40, 500, 20_000, 2 * 3_600_000, dayMs, 30 * dayMs, 90 * dayMs];
const mostAheadMs = 400 * dayMs;
/** The clock stands still while these turns of the loop let everything happen. */
const turns = 8;
/** Ticks between two cleanings of the log, and between two restarts at most. */
const cleanEvery = 100;
const restartEvery = 50;

/** Drawn messages and ticks; each is due at the first tick from its due time on. */
class Years {
  readonly world = new DelayWorld();
  readonly dues = new Float64Array(count);
  readonly times = new Uint8Array(count);
  readonly restarts = { stopped: 0, killed: 0, indexLost: 0, indexOlder: 0 };
  sent = 0;
  ticks = 0;
  fired = 0;
  private readonly random: Seeded;
  /** Up to it all that was sent has fired. */
  private doneMs = 0;
  private restartAt = 5;
  private olderIndex = new MemoryStore();

  constructor(random: Seeded) {
    this.random = random;
  }

  send(most: number): void {
    const { random, world } = this;
    for (let i = 0; i < most && this.sent < count; i++) {
      const kinds = aheadMs.length + 1;
      const kind = random.below(kinds);
      const ahead = aheadMs[kind] ?? random.below(mostAheadMs);
      const dueMs = world.clock.nowMs + ahead + (ahead > 0 ? random.below(ahead) : 0);
      this.dues[this.sent] = Math.min(dueMs, world.clock.nowMs + mostAheadMs);
      world.schedule({
        topic: random.pick(['a', 'b', 'c']),
        value: `${this.sent}`,
        dueMs: this.dues[this.sent] as number,
      });
      this.sent++;
    }
  }

  /** Time goes to the next tick: to one just before or at a due time, or anywhere. */
  async tick(): Promise<void> {
    const { random, world } = this;
    this.ticks++;
    const near = this.dues[this.sent - 1 - random.below(perTick)] ?? 0;
    const leftMs = near - world.clock.nowMs - random.below(2);
    const isAtDue = random.below(3) === 0 && leftMs > 0 && leftMs < 2 * tickMs;
    const byMs = isAtDue ? leftMs : 1 + random.below(3 * tickMs);
    if (this.ticks === this.restartAt) await this.restart(byMs);
    else world.clock.jump(byMs);
    await world.settle(turns);
    this.check();
    if (this.ticks % cleanEvery === 0) world.log.clean(world.clock.nowMs);
    if (random.below(3) === 0) this.olderIndex = new MemoryStore(world.store);
  }

  /** All that fired since the last tick fires at this one, for the first time, and was due. */
  check(): void {
    const { clock, fired } = this.world;
    for (const { value, atMs } of fired) {
      const i = Number(value);
      const dueMs = this.dues[i] as number;
      const words = `message ${value}, due ${dueMs}, fired ${atMs}, tick ${this.ticks}`;
      assert.equal(this.times[i], 0, `twice: ${words}`);
      assert(dueMs <= atMs, `early: ${words}`);
      assert(dueMs > this.doneMs || i >= this.sent - perTick, `late: ${words}`);
      assert.equal(atMs, clock.nowMs, words);
      this.times[i] = 1;
    }
    this.fired += fired.length;
    fired.length = 0;
    this.doneMs = clock.nowMs;
  }

  private async restart(byMs: number): Promise<void> {
    const { world, random, restarts } = this;
    this.restartAt += 1 + random.below(restartEvery);
    const kind = random.below(4);
    if (kind === 0) await world.stop();
    else world.kill();
    if (kind === 0) restarts.stopped++;
    else if (kind === 1) restarts.killed++;
    else if (kind === 2) restarts.indexLost++;
    else restarts.indexOlder++;
    if (kind === 2) world.store = new MemoryStore();
    if (kind === 3) world.store = new MemoryStore(this.olderIndex);
    world.clock.jump(byMs);
    await world.start(turns);
  }
}

test(`${count} delays over ten years fire once each, at the first tick from their due time on, over restarts`, async () => {
  console.log(`seed=${seed} count=${count}`);
  const run = new Years(new Seeded(seed));
  const { world } = run;
  const startMs = world.clock.nowMs;
  await world.start(turns);
  while (run.sent < count || world.clock.nowMs - startMs < years * 365 * dayMs) {
    run.send(perTick);
    await world.settle(turns);
    run.check();
    await run.tick();
  }
  const endMs = world.clock.nowMs + mostAheadMs + dayMs;
  while (world.clock.nowMs < endMs) await run.tick();
  const spanYears = (world.clock.nowMs - startMs) / (365 * dayMs);
  const restarts = Object.entries(run.restarts).map(([kind, times]) => `${kind}=${times}`);
  console.log(
    `fired=${run.fired} years=${spanYears.toFixed(1)} ticks=${run.ticks} ${restarts.join(' ')}`,
  );
  assert.equal(run.fired, count, 'each fired');
  assert.equal(world.cluster.pending, 0);
  assert.equal(world.cluster.stats.early, 0);
  await world.stop();
});
