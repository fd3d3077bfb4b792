import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

import { GIVE_UP_MS, within } from '../../support/wait.ts';
import { freshKey, TestLane } from './kafka-lane.ts';

interface Order {
  key: string;
  lane: number;
  count: number;
  close: boolean;
}

/** A worker: sends, waits for its verdicts, says so, and closes when told to. */
async function work({ key, lane, count, close }: Order): Promise<void> {
  const held = new TestLane({ key, lane });
  await held.topic(1, 'threads');
  for (let sent = 0; sent < count; sent += 100) {
    held.produce(Array.from({ length: 100 }, (_, i) => ({ topic: 1, key: `${i}`, value: 'v' })));
  }
  await held.hasVerdicts(count);
  const sequences = new Set(held.verdicts.map((v) => v.sequence));
  parentPort?.postMessage({ verdicts: held.verdicts.length, sequences: sequences.size });
  if (close) await held.close();
  else parentPort?.ref();
}

if (!isMainThread) {
  parentPort?.on('message', () => undefined);
  parentPort?.unref();
  await work(workerData as Order);
} else {
  const worker = (order: Order) => new Worker(new URL(import.meta.url), { workerData: order });
  const report = async (from: Worker) =>
    (await within(once(from, 'message'), GIVE_UP_MS, 'a report')) as [object];

  test('lanes in several threads share a producer and get their own verdicts', async () => {
    const key = freshKey();
    const workers = [1, 2, 3].map((lane) => worker({ key, lane, count: 2_000, close: true }));
    const exits = workers.map((w) => once(w, 'exit'));
    const reports = await Promise.all(workers.map(report));
    for (const [said] of reports) assert.deepEqual(said, { verdicts: 2_000, sequences: 2_000 });
    await within(Promise.all(exits), GIVE_UP_MS, 'the exits');
  });

  test('a thread that ends without closing lets go of its lane', async () => {
    const key = freshKey();
    const keeper = new TestLane({ key, lane: 0 });
    await keeper.topic(1, 'threads');
    for (let round = 0; round < 3; round++) {
      const lost = worker({ key, lane: 1, count: 500, close: false });
      assert.deepEqual((await report(lost))[0], { verdicts: 500, sequences: 500 });
      await lost.terminate();
    }
    keeper.produce([{ topic: 1, value: 'v' }]);
    assert.equal((await keeper.hasVerdicts(1))[0]?.code, 0);
    await keeper.close();
  });
}
