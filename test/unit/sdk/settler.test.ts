import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MqpError } from '../../../sdk/ts/src/errors.ts';
import { codeOf, pair } from './conformance.ts';
import { FakeGroup } from './fake-group.ts';

describe('what was asked for a message', () => {
  it('ends with its consumer, which tells the messages as lost before it is closed', async (t) => {
    const group: FakeGroup = new FakeGroup(() => node);
    const { node, client, clock } = await pair(t, group.script);
    const consumer = await client.subscribe({ group: 'billing', topics: ['orders'] });
    const lost: [number, string][] = [];
    consumer.on('lost', ({ offset }, error) => lost.push([offset, (error as MqpError).code]));
    group.settle = () => 'hold';
    group.deliver(['a', 'b', 'c']);
    const iterator = consumer[Symbol.asyncIterator]();
    const asked: Promise<string | undefined>[] = [];
    for (let i = 0; i < 2; i++) {
      const { value } = await iterator.next();
      if (value) asked.push(codeOf(value.ack()));
    }
    await node.until(() => group.settles.length > 0);
    const closed = consumer.close({ timeoutMs: 5000 });
    const { done } = await iterator.next();
    assert.ok(done);
    clock.advance(5000);
    await closed;
    assert.deepEqual(lost, [
      [100, 'CLOSED'],
      [101, 'CLOSED'],
    ]);
    assert.deepEqual(await Promise.all(asked), ['CLOSED', 'CLOSED']);
  });
});
