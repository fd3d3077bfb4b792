import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../src/base/limits.ts';
import { silentLogger } from '../../../src/base/log.ts';
import { MissingTopics } from '../../../src/produce/missing-topics.ts';
import { ManualClock } from '../store/support.ts';
import { settle } from './support.ts';

/** Watches one topic while the cluster answers as told: here, gone, away. */
function watching(): {
  clock: ManualClock;
  dropped: number[];
  answer: { now: boolean | undefined };
  topics: MissingTopics;
  probes: string[];
  pass(ms: number): Promise<void>;
} {
  const clock = new ManualClock();
  const dropped: number[] = [];
  const probes: string[] = [];
  const answer: { now: boolean | undefined } = { now: false };
  const topics = new MissingTopics({
    clock,
    log: silentLogger(),
    probe: async (name) => {
      probes.push(name);
      if (answer.now === undefined) throw new TypeError('away');
      return answer.now;
    },
    drop: async (id) => dropped.push(id),
  });
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 1_000) {
      clock.advance(1_000);
      await settle();
    }
  };
  return { clock, dropped, answer, topics, probes, pass };
}

test('a topic that the cluster has not known for a minute is given up, once', async () => {
  const { topics, dropped, pass } = watching();
  topics.report(7, 'orders');
  topics.report(7, 'orders');
  await pass(limits.topicMissingMs);
  assert.deepEqual(dropped, [], 'the minute begins with the first answer');
  await pass(10_000);
  assert.deepEqual(dropped, [7]);
});

test('a topic that is there again is forgotten, and the next report begins a new minute', async () => {
  const { topics, dropped, answer, pass } = watching();
  topics.report(7, 'orders');
  await pass(50_000);
  answer.now = true;
  await pass(10_000);
  answer.now = false;
  await pass(100_000);
  assert.deepEqual(dropped, []);
  topics.report(7, 'orders');
  await pass(50_000);
  assert.deepEqual(dropped, []);
  await pass(20_000);
  assert.deepEqual(dropped, [7]);
});

test('a cluster that cannot be asked gives nothing up, and the minute begins anew', async () => {
  const { topics, dropped, answer, pass } = watching();
  topics.report(7, 'orders');
  await pass(60_000);
  answer.now = undefined;
  await pass(500_000);
  answer.now = false;
  await pass(50_000);
  assert.deepEqual(dropped, []);
  await pass(20_000);
  assert.deepEqual(dropped, [7]);
});

test('nothing is asked any more after the end', async () => {
  const { topics, probes, pass } = watching();
  topics.report(7, 'orders');
  topics.close();
  topics.report(8, 'others');
  await pass(100_000);
  assert.deepEqual(probes, []);
});
