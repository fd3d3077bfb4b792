import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { MemoryCluster } from '../support/memory-cluster.ts';
import { EngineUnderTest } from '../unit/consume/engine-doubles.ts';

// Runs are numbered by each owner from 1 on. A token of the owner before was taken for one of a
// lease that it had handed over, whatever its run, and so for a lease of the new owner.

test('a token of the owner before, whose run has the number of a new one, settles nothing', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, { value: 'a' }, { value: 'b' }, { value: 'c' });
  const under = new EngineUnderTest(cluster, { nodeId: 'node-1' });
  const old = (await under.subscribe()).take();
  assert.equal(old.length, 3);
  // The node is gone without a word.
  cluster.members.clear();
  const next = new EngineUnderTest(cluster, { nodeId: 'node-2' });
  const client = await next.subscribe();
  assert.equal(client.take().length, 3);
  const lost = old.map(({ index }, i) => `${i}/${index}/${ErrorCode.LEASE_LOST}`);
  assert.deepEqual(next.ack(old).failed, lost);
  assert.equal(next.engine.stats.acked, 0);
});
