import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../../src/base/limits.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { EngineUnderTest } from '../engine-doubles.ts';

const { windowMessagesMax: MOST, fetchAheadBytes: AHEAD } = limits;
const VALUE = 'v'.repeat(100);
/** More than the window and all that may be on its way when it is full. */
const MESSAGES = MOST + Math.ceil(AHEAD / VALUE.length) + 10_000;

test('a partition with 65,536 unfinished messages is asked for no more until some are finished', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 2);
  cluster.append('t', 0, ...Array.from({ length: MESSAGES }, () => ({ value: VALUE })));
  const under = new EngineUnderTest(cluster);
  const asked = { creditMessages: 65_536, creditBytes: 64 * 1024 * 1024 };
  const clients = [await under.subscribe(asked), await under.subscribe(asked)];
  const take = () => clients.flatMap((client) => client.take());
  await under.pass(1_000);
  const out = take();
  assert(out.length >= MOST, `${out.length} delivered`);
  // What was asked for before the window was full still came.
  assert(out.length <= MOST + AHEAD / VALUE.length, `${out.length} delivered`);
  cluster.append('t', 1, { value: 'of another partition' });
  await under.pass(1_000);
  assert.deepEqual(
    take().map(({ partition, value }) => [partition, value]),
    [[1, 'of another partition']],
  );
  const finished = out.length - MOST + 1_000;
  assert.deepEqual(under.ack(out.slice(0, finished)).failed, []);
  await under.pass(1_000);
  const more = take();
  assert(more.length >= 1_000 && more.every(({ partition }) => partition === 0));
  assert.equal(more[0]?.offset, out.length);
});
