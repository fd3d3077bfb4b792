import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest, quiet } from './engine-doubles.ts';

const place = { topic: 't', partition: 0 };

function clusterWith(messages: number): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...Array.from({ length: messages }, (_, i) => ({ value: `m${i}` })));
  return cluster;
}

/** A node that takes over what another one has left. */
async function nextOwner(cluster: MemoryCluster, nodeId: string, creditMessages = 100) {
  cluster.members.clear();
  const under = new EngineUnderTest(cluster, { nodeId });
  const client = await under.subscribe({ leaseMs: 60_000, creditMessages });
  return { under, client };
}

test('acks that come while the last commit of a hand-over is on its way are in the next', async () => {
  const cluster = clusterWith(4);
  const { under, client } = await nextOwner(cluster, 'a');
  const got = client.take();
  const [member] = cluster.members;
  const revoked = member?.revoke([place]);
  await under.pass(3_900);
  let go = (): void => {};
  cluster.hold = new Promise((resolve) => {
    go = resolve;
  });
  await under.pass(200);
  assert.deepEqual(under.ack(got.slice(0, 3)).failed, []);
  go();
  await quiet();
  await revoked;
  assert.equal(cluster.commits.get('g/t/0')?.offset, 3);
});
