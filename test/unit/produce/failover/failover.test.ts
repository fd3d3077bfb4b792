import assert from 'node:assert/strict';
import { test } from 'node:test';
import { silentLogger } from '../../../../src/base/log.ts';
import type { SendPlan } from '../../../../src/lanes/lane-calls.ts';
import {
  type ClusterSide,
  Failover,
  type UseSetting,
} from '../../../../src/produce/failover/failover.ts';
import { ManualClock } from '../../store/support.ts';
import { settle } from '../support.ts';

class FakeSide implements ClusterSide {
  readonly name: 'primary' | 'backup';
  isAway = false;
  /** The instance does not see the cluster any more; a new one does. */
  isBlind = false;
  /** By probe, since it was last asked for: whether the instance was renewed after it. */
  probed: string[] = [];
  renewed = 0;
  /** No new instance can be made. */
  isBarren = false;

  constructor(name: 'primary' | 'backup') {
    this.name = name;
  }

  health(): Float64Array {
    return new Float64Array(0);
  }

  async probe(): Promise<readonly number[]> {
    const isSilent = this.isAway || this.isBlind;
    this.probed.push(isSilent ? 'silent' : 'answered');
    if (isSilent) throw new RangeError('away');
    return [];
  }

  renew(): void {
    this.renewed++;
    if (this.isBarren) throw new RangeError('the key file is being replaced');
    this.isBlind = false;
    this.probed.push('renewed');
  }
}

class Bench {
  readonly clock = new ManualClock();
  readonly primary = new FakeSide('primary');
  readonly backup = new FakeSide('backup');
  readonly plans: SendPlan[] = [];
  readonly kept: UseSetting[] = [];
  readonly failover: Failover;

  constructor(setting: UseSetting = { use: 'auto' }) {
    this.failover = new Failover({
      clock: this.clock,
      log: silentLogger(),
      sides: [this.primary, this.backup],
      times: { openAfterMs: 3_000, closeAfterMs: 10_000, closeAfterMsMax: 10_000 },
      setting,
      waiting: () => [],
      nameOf: (topic) => `t${topic}`,
      apply: async (plan) => void this.plans.push(plan),
      keep: (kept) => void this.kept.push(kept),
    });
  }

  get main(): number | undefined {
    return this.plans.at(-1)?.main;
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 250) {
      this.clock.advance(250);
      await settle();
    }
  }
}

test('a primary that does not answer is left, its producer renewed, and used again in time', async () => {
  const bench = new Bench();
  await bench.failover.start();
  assert.equal(bench.main, 0);
  await bench.pass(5_000);
  bench.primary.isAway = true;
  await bench.pass(5_000);
  assert.equal(bench.main, 1);
  await bench.pass(10_000);
  assert.ok(bench.primary.renewed >= 1);
  assert.ok(bench.failover.complaints.length >= 2);
  bench.primary.isAway = false;
  await bench.pass(9_000);
  assert.equal(bench.main, 1);
  await bench.pass(3_000);
  assert.equal(bench.main, 0);
  assert.deepEqual(bench.failover.complaints, []);
  assert.equal(bench.failover.report().inUse, 'primary');
  bench.failover.close();
});

test('every fifth probe in a row without an answer renews the instance, once it is left', async () => {
  const bench = new Bench();
  await bench.failover.start();
  await bench.pass(5_000);
  bench.primary.probed = [];
  bench.primary.isAway = true;
  await bench.pass(12_000);
  const silent = (count: number): string[] => new Array(count).fill('silent');
  const renewedTwice = [...silent(5), 'renewed', ...silent(5), 'renewed'];
  assert.deepEqual(bench.primary.probed.slice(0, 12), renewedTwice);
  assert.equal(bench.backup.renewed, 0);
  // An answer begins the count anew.
  bench.primary.isAway = false;
  await bench.pass(1_000);
  bench.primary.isAway = true;
  bench.primary.probed = [];
  await bench.pass(6_000);
  assert.deepEqual(bench.primary.probed.slice(0, 6), renewedTwice.slice(0, 6));
  bench.failover.close();
});

test('a primary that only a new instance can see is found, and used again in time', async () => {
  const bench = new Bench();
  await bench.failover.start();
  await bench.pass(5_000);
  bench.primary.isAway = true;
  await bench.pass(7_000);
  assert.equal(bench.main, 1);
  bench.primary.isAway = false;
  bench.primary.isBlind = true;
  // Five probes to a new instance, then as long as it takes to be trusted.
  await bench.pass(5_000 + 10_000 + 1_000);
  assert.deepEqual([bench.main, bench.primary.isBlind], [0, false]);
  bench.failover.close();
});

test('a producer that cannot be renewed is tried again, and its cluster asked on', async () => {
  const bench = new Bench();
  await bench.failover.start();
  await bench.pass(5_000);
  bench.primary.isBlind = true;
  bench.primary.isBarren = true;
  await bench.pass(12_000);
  assert.equal(bench.primary.renewed, 2);
  bench.primary.isBarren = false;
  await bench.pass(5_000 + 10_000 + 1_000);
  assert.deepEqual([bench.main, bench.primary.isBlind], [0, false]);
  bench.failover.close();
});

test('with both away everything is held, and the first that answers is used', async () => {
  const bench = new Bench();
  await bench.failover.start();
  await bench.pass(5_000);
  bench.primary.isAway = true;
  bench.backup.isAway = true;
  await bench.pass(10_000);
  assert.deepEqual(bench.plans.at(-1)?.isOpen, [true, true]);
  bench.primary.isAway = false;
  await bench.pass(5_000);
  assert.deepEqual([bench.main, bench.plans.at(-1)?.isOpen], [0, [false, true]]);
  bench.failover.close();
});

test('what is set by hand is kept before it is used, and holds whatever happens', async () => {
  const bench = new Bench();
  await bench.failover.start();
  await bench.failover.use('backup', 'ops');
  assert.deepEqual(bench.kept, [{ use: 'backup', setBy: 'ops', setAtMs: bench.clock.now() }]);
  assert.equal(bench.main, 1);
  bench.backup.isAway = true;
  await bench.pass(20_000);
  assert.deepEqual([bench.main, bench.plans.at(-1)?.isOpen[1]], [1, false]);
  assert.equal(bench.backup.renewed, 0, 'lanes send on it');
  bench.failover.close();
  const next = new Bench({ use: 'backup', setBy: 'ops', setAtMs: 5 });
  await next.failover.start();
  assert.deepEqual([next.main, next.failover.report()['setBy']], [1, 'ops']);
  next.failover.close();
});
