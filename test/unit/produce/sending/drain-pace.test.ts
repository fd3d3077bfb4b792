import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LaneStats, stat } from '../../../../src/produce/intake/lane-stats.ts';
import { DrainPace } from '../../../../src/produce/sending/drain-pace.ts';
import { fc } from '../../../support/fast-check.ts';
import { ManualClock } from '../../store/support.ts';
import { check, settle } from '../support.ts';

const MIB = 1024 * 1024;
const CHUNK = 256 * 1024;

/** A pace, and a load of one message a millisecond beside it. */
class Bench {
  readonly clock = new ManualClock();
  readonly stats = new LaneStats();
  readonly pace = new DrainPace({
    clock: this.clock,
    stats: this.stats,
    isGentle: () => this.isGentle,
    takeTurns: async () => {},
  });
  sent = 0;
  isGentle = true;
  private readonly walk = this.pace.walk();
  private isWaiting = false;

  get limit(): number {
    return this.pace.limit / MIB;
  }

  /** Sends what it may, for so many ms; new messages wait for `waitedMs(rate)`. */
  async run(
    ms: number,
    load?: { waitedMs(mibPerS: number): number; bytes?: number },
    drains = true,
  ) {
    let lately = 0;
    for (let i = 0; i < ms; i++) {
      if (load !== undefined) {
        this.stats.add(stat.storedBytes, load.bytes ?? 100);
        this.pace.answered(load.waitedMs((lately * 1000) / MIB), 1);
      }
      const before = this.sent;
      if (drains) await this.drain();
      lately = 0.9 * lately + 0.1 * (this.sent - before);
      this.clock.advance(1);
    }
  }

  /** As a forwarder does: chunk after chunk, until it has to wait. At most 500 MiB a second. */
  private async drain(): Promise<void> {
    for (let chunks = 0; !this.isWaiting && chunks < 2; chunks++) {
      this.isWaiting = true;
      void this.walk.pass().then(() => {
        this.isWaiting = false;
        this.walk.took(CHUNK);
        this.sent += CHUNK;
      });
      for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    }
  }
}

test('with no new messages the backend alone is the limit', async () => {
  const bench = new Bench();
  await bench.run(1_000);
  assert.equal(bench.limit, 0);
  assert(bench.sent >= 490 * MIB, `${bench.sent / MIB} MiB in a second`);
});

test('the rate settles where new messages take twice as long as before', async () => {
  const bench = new Bench();
  const calm = { waitedMs: () => 3 };
  await bench.run(5_000, calm, false);
  // 6 ms, twice of calm, are reached at 60 MiB a second.
  const busy = { waitedMs: (rate: number) => 3 + rate / 20 };
  await bench.run(20_000, busy);
  const before = bench.sent;
  await bench.run(20_000, busy);
  const rate = (bench.sent - before) / MIB / 20;
  assert(rate > 25 && rate < 75, `${rate} MiB a second`);
});

test('what costs new messages nothing is sent faster and faster', async () => {
  const bench = new Bench();
  await bench.run(15_000, { waitedMs: () => 3 });
  assert(bench.limit > 300, `${bench.limit} MiB a second`);
});

test('a backlog shrinks whatever new messages wait: twice of what comes in is sent', async () => {
  const bench = new Bench();
  await bench.run(10_000, { waitedMs: () => 500, bytes: 20_000 });
  const before = bench.sent;
  await bench.run(10_000, { waitedMs: () => 500, bytes: 20_000 });
  const rate = (bench.sent - before) / MIB / 10;
  assert(rate > 36 && rate < 42, `${rate} MiB a second, 19 come in`);
});

test('what was sent without a limit is no debt when messages come again', async () => {
  const alone = new Bench();
  await alone.run(5_000);
  const before = alone.sent;
  await alone.run(200, { waitedMs: () => 3 });
  assert(alone.sent - before > 4 * MIB, `${(alone.sent - before) / MIB} MiB in 0.2 s`);
  const full = new Bench();
  full.isGentle = false;
  await full.run(5_000, { waitedMs: () => 3 });
  full.isGentle = true;
  const then = full.sent;
  await full.run(200, { waitedMs: () => 3 });
  assert(full.sent - then > 4 * MIB, `${(full.sent - then) / MIB} MiB in 0.2 s`);
});

test('two walks at once have the rate each', async () => {
  const bench = new Bench();
  const other = bench.pace.walk();
  let others = 0;
  const readOther = async () => {
    for (;;) {
      await other.pass();
      other.took(CHUNK);
      others += CHUNK;
    }
  };
  bench.pace.answered(3, 1);
  void readOther();
  await bench.run(10_000, { waitedMs: () => 500, bytes: 20_000 });
  const before = bench.sent;
  await bench.run(10_000, { waitedMs: () => 500, bytes: 20_000 });
  const rate = (bench.sent - before) / MIB / 10;
  assert(rate > 36 && others > 0, `${rate} MiB a second, 19 come in`);
});

test('who wants the backlog gone has no limit set', async () => {
  const bench = new Bench();
  bench.isGentle = false;
  await bench.run(2_000, { waitedMs: () => 500 });
  assert(bench.sent >= 980 * MIB, `${bench.sent / MIB} MiB in two seconds`);
});

test('a burst before an outage is not what new messages are measured by', async () => {
  const bench = new Bench();
  await bench.run(20_000, { waitedMs: () => 3 }, false);
  await bench.run(10_000, { waitedMs: () => 80 }, false);
  await bench.run(20_000, { waitedMs: (rate) => 3 + rate / 20 });
  const before = bench.sent;
  await bench.run(20_000, { waitedMs: (rate) => 3 + rate / 20 });
  const rate = (bench.sent - before) / MIB / 20;
  assert(rate > 25 && rate < 75, `${rate} MiB a second`);
});

test('a stop of the load frees the rate, also for one who waits', async () => {
  const bench = new Bench();
  await bench.run(20_000, { waitedMs: () => 500 });
  assert(bench.limit < 5);
  const before = bench.sent;
  await bench.run(3_000);
  assert(bench.sent - before > 500 * MIB, `${(bench.sent - before) / MIB} MiB in 3 s`);
  assert.equal(bench.limit, 0);
});

test('whatever the waits are, the rate keeps its bounds and nobody waits for ever', async () => {
  await check(
    fc.asyncProperty(
      fc.array(
        fc.record({
          ms: fc.integer({ min: 1, max: 900 }),
          waited: fc.double({ min: 0, max: 1e6, noNaN: true }),
        }),
        { maxLength: 12 },
      ),
      async (spans) => {
        const bench = new Bench();
        for (const { ms, waited } of spans) await bench.run(ms, { waitedMs: () => waited });
        const { limit } = bench;
        assert(limit === 0 || (limit >= 4 && limit <= 4096), `${limit} MiB a second`);
        const before = bench.sent;
        await bench.run(2_500);
        await settle();
        assert(bench.sent > before);
      },
    ),
    40,
  );
});
