import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { codeOf, pair } from './conformance.ts';

describe('a pipeline', () => {
  for (const topics of [['orders'], ['orders', 'bills']]) {
    it(`settles all there is, of ${topics.length}, when a callback ends the client while it writes`, async (t) => {
      const { node, client } = await pair(t, { limits: { keyBytesMax: 4 } });
      await Promise.all(topics.map((topic) => client.openTopic(topic)));
      const closed = new Promise<void>((resolve) => {
        const long = [{ key: 'longer', value: null }];
        client.produceBatch('orders', long, {}, () => resolve(client.close({ timeoutMs: 0 })));
      });
      const behind = topics.map((topic) => codeOf(client.produce(topic, { value: 'a' })));
      await closed;
      assert.deepEqual(new Set(await Promise.all(behind)), new Set(['CLOSED']));
      assert.equal(client.outstandingMessages, 0);
      assert.equal(node.received.length, 0);
    });
  }
});
