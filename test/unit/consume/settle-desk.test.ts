import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { type Delivered, EngineUnderTest } from './engine-doubles.ts';

for (const mode of ['shared', 'key-ordered'] as const) {
  test(`COMMIT in a ${mode} group is not supported, and settles nothing`, async () => {
    const cluster = new MemoryCluster();
    cluster.addTopic('t', 1);
    cluster.append('t', 0, { value: 'a' }, { value: 'b' });
    const under = new EngineUnderTest(cluster);
    const client = await under.subscribe({ mode });
    const got = client.take();
    const last = got[1] as Delivered;
    assert.deepEqual(under.commit(last).failed, [`0/${last.index}/${ErrorCode.NOT_SUPPORTED}`]);
    await under.pass(150);
    assert.equal(under.engine.stats.acked, 0);
    assert.equal(cluster.commits.get('g/t/0')?.offset, 0);
    assert.deepEqual(under.ack(got).failed, []);
  });
}
