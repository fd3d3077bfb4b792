import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { ErrorCode, Opcode } from '../../../protocol/src/generated.ts';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import type { ConsumedMessage, SubscribeOptions } from '../../../sdk/ts/src/consume-types.ts';
import { codeOf } from './conformance.ts';
import { FakeClock, fixedRandom } from './fake-clock.ts';
import { FakeGroup } from './fake-group.ts';
import { FakeNode } from './fake-node.ts';

const IN_ORDER: SubscribeOptions = {
  group: 'billing',
  topics: ['orders'],
  mode: 'partition-ordered',
  creditMessages: 10,
};

async function start(t: TestContext) {
  const group: FakeGroup = new FakeGroup(() => node);
  const node = await FakeNode.start(group.script);
  t.after(() => node.close());
  const clock = new FakeClock();
  const client = await MqpClient.connect(
    { servers: [node.address] },
    { clock, random: fixedRandom(0) },
  );
  t.after(() => client.close({ timeoutMs: 0 }));
  const consumer = await client.subscribe(IN_ORDER);
  const lost: [number, number][] = [];
  consumer.on('lost', ({ partition, offset }) => lost.push([partition, offset]));
  const iterator = consumer[Symbol.asyncIterator]();
  const read = async (count: number): Promise<ConsumedMessage[]> => {
    const messages: ConsumedMessage[] = [];
    while (messages.length < count) {
      const { value } = await iterator.next();
      messages.push(value as ConsumedMessage);
    }
    return messages;
  };
  return { node, group, clock, consumer, lost, read };
}

describe('what a consumer holds', () => {
  it('is settled by a commit up to its message, in its partition alone', async (t) => {
    const { group, consumer, read } = await start(t);
    group.deliver(['a', 'b', 'c', 'd'], { partition: 0 });
    group.deliver(['e'], { partition: 1, token: 2, firstOffset: 7 });
    const [a, b, c, d, e] = await read(5);
    await c?.commit();
    assert.deepEqual(
      [a, b, c, d, e].map((message) => message?.isSettled),
      [true, true, true, false, false],
    );
    assert.equal(consumer.heldMessages, 2);
    await Promise.all([a?.ack(), b?.nack()]);
    assert.deepEqual(
      group.settles.map(({ opcode }) => opcode),
      [Opcode.COMMIT],
      'nothing is left to ask for',
    );
  });

  it('is left by a commit that failed, all but its message', async (t) => {
    const { group, consumer, read } = await start(t);
    group.deliver(['a', 'b', 'c']);
    const [, b] = await read(3);
    group.settle = () => [{ entry: 0, index: 1, code: ErrorCode.LEASE_LOST }];
    assert.equal(await codeOf(b?.commit() as Promise<void>), 'LEASE_LOST');
    assert.equal(consumer.heldMessages, 2);
  });

  it('is extended on a new connection, save what was committed', async (t) => {
    const { node, group, lost, read } = await start(t);
    group.deliver(['a', 'b', 'c', 'd']);
    const [, , c, d] = await read(4);
    await c?.commit();
    group.settle = ({ opcode, entries }) =>
      opcode === Opcode.EXTEND && entries[0]?.indexes.includes(0)
        ? [{ entry: 0, index: 0, code: ErrorCode.LEASE_LOST }]
        : [];
    node.last.cut();
    await node.until(() => group.indexesOf(Opcode.EXTEND).length > 0);
    await d?.ack();
    assert.deepEqual(group.indexesOf(Opcode.EXTEND), [3]);
    assert.deepEqual(lost, []);
  });

  it('gives the credit of a new subscription back as it is settled', async (t) => {
    const { node, group, read } = await start(t);
    group.deliver(['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j']);
    const messages = await read(10);
    node.last.cut();
    await node.until(() => group.subscribes.length === 2);
    assert.equal(group.subscribes[1]?.creditMessages, 1, 'all of it is out');
    // One that it is given now is beyond the credit: it waits for those before it.
    group.deliver(['k'], { firstOffset: 110, token: 2 });
    await read(1);
    await messages[3]?.commit();
    await node.until(() => group.credits.length === 1);
    assert.deepEqual(group.credits[0], {
      subscription: 2,
      messages: 4,
      bytes: 8 * 1024 * 1024,
    });
    await messages[9]?.commit();
    await node.until(() => group.credits.length === 2);
    assert.equal(group.credits[1]?.messages, 10, 'though one more is held');
  });

  it('is settled while a new subscription is not granted yet, and its credit comes back', async (t) => {
    const { node, group, read } = await start(t);
    group.deliver(['a', 'b', 'c']);
    const messages = await read(3);
    group.subscribe = () => 'hold';
    node.last.cut();
    await node.until(() => group.subscribes.length === 2);
    await messages[2]?.commit();
    group.granted();
    await node.until(() => group.credits.length === 1);
    assert.equal(group.credits[0]?.messages, 10);
  });

  it('does not count against the credit any more when its lease has ended', async (t) => {
    const { node, group, clock, read } = await start(t);
    group.deliver(['a', 'b', 'c']);
    await read(3);
    node.last.cut();
    await node.until(() => group.indexesOf(Opcode.EXTEND).length === 3);
    assert.equal(group.subscribes[1]?.creditMessages, 7);
    clock.advance(31_000);
    group.deliver(['d'], { firstOffset: 103, token: 2 });
    await node.until(() => group.credits.length === 1);
    assert.equal(group.credits[0]?.messages, 10);
  });
});
