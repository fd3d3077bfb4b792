import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planOf } from '../../../../src/produce/failover/cluster-choice.ts';
import {
  ClusterCircuits,
  type TopicHealth,
} from '../../../../src/produce/failover/cluster-circuits.ts';
import { fc } from '../../../support/fast-check.ts';
import { check } from '../support.ts';

const times = { openAfterMs: 3_000, closeAfterMs: 10_000, closeAfterMsMax: 10_000 };
const answered = { kind: 'probe', isAnswered: true, tookMs: 5, sick: [] } as const;
const silent = { kind: 'probe', isAnswered: false, tookMs: 2_000, sick: [] } as const;
const stuck = (topic: number, waitingMs = 3_000): TopicHealth => ({
  topic,
  waitingMs,
  confirmed: 0,
  failed: 0,
});
const moving = (topic: number, confirmed: number): TopicHealth => ({
  topic,
  waitingMs: 1,
  confirmed,
  failed: 0,
});

test('one topic of three that is stuck opens its own circuit only', () => {
  const circuits = new ClusterCircuits(times, 0, true);
  const topics = [stuck(1), moving(2, 5), moving(3, 5)];
  const changes = circuits.step({ kind: 'look', topics }, 100);
  assert.deepEqual(
    changes.map(({ topic, isOpen }) => [topic, isOpen]),
    [[1, true]],
  );
  assert.deepEqual([circuits.isOpen, circuits.openTopics], [false, [1]]);
});

test('half of the active topics stuck open the circuit of the cluster', () => {
  const circuits = new ClusterCircuits(times, 0, true);
  circuits.step({ kind: 'look', topics: [stuck(1), moving(2, 5)] }, 100);
  assert.equal(circuits.isOpen, true);
});

test('topics that send nothing do not count', () => {
  const circuits = new ClusterCircuits(times, 0, true);
  const idle = { topic: 2, waitingMs: 0, confirmed: 0, failed: 0 };
  circuits.step({ kind: 'look', topics: [stuck(1), idle, { ...idle, topic: 3 }] }, 20_000);
  assert.equal(circuits.isOpen, true);
});

test('a topic whose messages come back again and again opens its circuit, unless some pass', () => {
  const well = [moving(2, 5), moving(3, 5)];
  const failing = (now: number, confirmed: number): TopicHealth => {
    return { topic: 1, waitingMs: 0, confirmed, failed: Math.floor(now / 1_000) };
  };
  for (const passes of [false, true]) {
    const circuits = new ClusterCircuits(times, 0, true);
    for (let now = 0; now <= 6_000; now += 500) {
      const topics = [failing(now, passes ? now : 0), ...well];
      circuits.step({ kind: 'look', topics }, now);
    }
    assert.deepEqual(circuits.openTopics, passes ? [] : [1]);
  }
});

test('a cluster that does not answer opens, unless it confirms', () => {
  const circuits = new ClusterCircuits(times, 0, true);
  circuits.step(silent, 2_000);
  assert.equal(circuits.isOpen, false);
  circuits.step({ kind: 'look', topics: [moving(1, 0)] }, 2_100);
  circuits.step({ kind: 'look', topics: [moving(1, 7)] }, 2_500);
  circuits.step(silent, 4_000);
  assert.equal(circuits.isOpen, false, 'it has just confirmed something');
  circuits.step(silent, 6_000);
  assert.equal(circuits.isOpen, true);
});

test('a topic that cannot be written to stays open while its cluster answers', () => {
  const circuits = new ClusterCircuits(times, 0, true);
  circuits.step({ kind: 'look', topics: [stuck(1), moving(2, 1), moving(3, 1)] }, 0);
  // Its messages were taken back.
  circuits.step({ kind: 'look', topics: [stuck(1, 0)] }, 500);
  for (let now = 1_000; now <= 30_000; now += 1_000) circuits.step({ ...answered, sick: [1] }, now);
  assert.deepEqual(circuits.openTopics, [1]);
  for (let now = 31_000; now <= 41_000; now += 1_000) circuits.step(answered, now);
  assert.deepEqual(circuits.openTopics, []);
});

test('an unproven cluster is not used before it has answered for a while', () => {
  const circuits = new ClusterCircuits(times, 0, false);
  assert.equal(circuits.isOpen, true);
  for (let now = 0; now <= 10_000; now += 1_000) circuits.step(answered, now);
  assert.equal(circuits.isOpen, false);
});

const event = fc.record({
  cluster: fc.constantFrom<(0 | 1)[]>(0, 1),
  after: fc.integer({ min: 0, max: 2_000 }),
  what: fc.oneof(
    fc.constant(answered),
    fc.constant(silent),
    fc.array(
      fc.record({
        topic: fc.integer({ min: 1, max: 4 }),
        waitingMs: fc.constantFrom(0, 100, 3_000, 9_000),
        confirmed: fc.integer({ min: 0, max: 9 }),
        failed: fc.integer({ min: 0, max: 9 }),
      }),
      { maxLength: 4 },
    ),
  ),
});

test('whatever is seen, a plan never sends where it should not, and waiting topics never leave', async () => {
  const use = fc.constantFrom('auto' as const, 'primary' as const, 'backup' as const);
  const property = fc.property(fc.array(event, { maxLength: 60 }), use, (events, setting) => {
    const circuits = [
      new ClusterCircuits(times, 0, true),
      new ClusterCircuits(times, 0, false),
    ] as const;
    let main: 0 | 1 = 0;
    let nowMs = 0;
    for (const { cluster, after, what } of events) {
      nowMs += after;
      const step = Array.isArray(what) ? ({ kind: 'look', topics: what } as const) : what;
      circuits[cluster].step(step as typeof answered, nowMs);
      const plan = planOf({ use: setting, main, circuits, waiting: [4], nowMs });
      const [primary, backup] = circuits;
      if (setting === 'auto') {
        if (!primary.isOpen) assert.equal(plan.main, 0, 'a primary that is well is used');
        if (main === 0 && plan.main === 1) assert.equal(backup.isOpen, false);
        const isMainOpen = circuits[plan.main].isOpen;
        assert.equal(
          plan.isOpen[plan.main],
          isMainOpen && !circuits[plan.main].isUsableAlone(nowMs),
        );
      } else assert.equal(plan.isOpen[plan.main], false, 'what was set by hand is used');
      const route = new Map(plan.elsewhere);
      assert.equal(route.get(4) ?? plan.main, 0, 'a waiting topic stays with the primary');
      for (const [, to] of plan.elsewhere) assert.notEqual(to, plan.main);
      main = plan.main;
    }
  });
  await check(property, 500);
});
