import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { ErrorCode, Opcode } from '../../../protocol/src/generated.ts';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import type { ConsumedMessage, SubscribeOptions } from '../../../sdk/ts/src/consume-types.ts';
import { codeOf } from './conformance.ts';
import { FakeClock, fixedRandom } from './fake-clock.ts';
import { FakeGroup, type Settle } from './fake-group.ts';
import { FakeNode } from './fake-node.ts';

async function start(t: TestContext, options: Partial<SubscribeOptions> = {}) {
  const group: FakeGroup = new FakeGroup(() => node);
  const node = await FakeNode.start(group.script);
  t.after(() => node.close());
  const clock = new FakeClock();
  const client = await MqpClient.connect(
    { servers: [node.address] },
    { clock, random: fixedRandom(0) },
  );
  t.after(() => client.close({ timeoutMs: 0 }));
  const consumer = await client.subscribe({ group: 'billing', topics: ['orders'], ...options });
  return { node, group, client, clock, consumer };
}

/** A handler whose calls the test ends. */
class Work {
  readonly begun: string[] = [];
  private readonly ends = new Map<string, (error?: Error) => void>();
  private readonly node: FakeNode;

  constructor(node: FakeNode) {
    this.node = node;
  }

  readonly handler = (message: ConsumedMessage): Promise<void> =>
    new Promise((resolve, reject) => {
      const value = Buffer.from(message.value ?? '').toString();
      this.begun.push(value);
      this.ends.set(value, (error) => (error === undefined ? resolve() : reject(error)));
      this.node.notify();
    });

  end(value: string, error?: Error): void {
    this.ends.get(value)?.(error);
  }

  until(...values: string[]): Promise<void> {
    return this.node.until(() => values.every((value) => this.begun.includes(value)));
  }
}

describe('a handler', () => {
  it('acks what it resolves and gives back what it throws, also at once', async (t) => {
    const { node, group, consumer } = await start(t);
    group.deliver(['sync', 'throws', 'async', 'rejects', 'own']);
    void consumer.run((message) => {
      const value = Buffer.from(message.value ?? '').toString();
      if (value === 'throws') throw new Error('no good');
      if (value === 'async') return Promise.resolve();
      if (value === 'rejects') return Promise.reject(new Error('later'));
      if (value === 'own') return message.nack({ dead: true, reason: 'poison' });
    });
    await node.until(() => group.settles.flatMap(({ entries }) => entries).length >= 4);
    assert.deepEqual(group.indexesOf(Opcode.ACK), [0, 2]);
    const nacks = group.settles.filter(({ opcode }) => opcode === Opcode.NACK);
    assert.deepEqual(
      nacks.map(({ reason, dead, entries }) => [reason, dead, entries[0]?.indexes[0]]).sort(),
      [
        ['later', false, 3],
        ['no good', false, 1],
        ['poison', true, 4],
      ],
    );
  });

  it('runs as often at once as it may', async (t) => {
    const { node, group, consumer } = await start(t);
    const work = new Work(node);
    void consumer.run(work.handler, { concurrency: 2 });
    group.deliver(['a', 'b', 'c', 'd']);
    await work.until('a', 'b');
    assert.deepEqual(work.begun, ['a', 'b']);
    work.end('b');
    await work.until('c');
    assert.deepEqual(work.begun, ['a', 'b', 'c']);
    assert.throws(() => consumer.run(work.handler, { concurrency: 0 }));
  });

  it('runs one at a time per partition when that is the order', async (t) => {
    const { node, group, consumer } = await start(t, { mode: 'partition-ordered' });
    const work = new Work(node);
    void consumer.run(work.handler, { concurrency: 8 });
    group.deliver(['a1', 'a2', 'a3'], { partition: 0 });
    group.deliver(['b1', 'b2'], { partition: 1, token: 2 });
    await work.until('a1', 'b1');
    assert.deepEqual(work.begun, ['a1', 'b1']);
    work.end('a1');
    await work.until('a2');
    work.end('b1');
    await work.until('b2');
    assert.deepEqual(work.begun, ['a1', 'b1', 'a2', 'b2']);
  });

  it('takes any number behind one that is late, when that is the order', async (t) => {
    const creditMessages = 20_000;
    const { node, group, consumer } = await start(t, { mode: 'partition-ordered', creditMessages });
    const work = new Work(node);
    let handled = 0;
    void consumer.run((message) => {
      if (++handled === 1) return work.handler(message);
      node.notify();
    });
    const values = Array.from({ length: creditMessages }, () => 'm');
    group.deliver(['late', ...values.slice(1)]);
    await work.until('late');
    while (consumer.heldMessages < creditMessages) await passing();
    work.end('late');
    await node.until(() => handled === creditMessages);
    await node.until(() => group.indexesOf(Opcode.ACK).length === creditMessages);
    assert.equal(new Set(group.indexesOf(Opcode.ACK)).size, creditMessages);
  });

  it('drops what came behind a message that was given back, when that is the order', async (t) => {
    const { node, group, consumer } = await start(t, { mode: 'partition-ordered' });
    const work = new Work(node);
    group.settle = ({ opcode }) => (opcode === Opcode.NACK ? 'hold' : []);
    void consumer.run(work.handler, { concurrency: 8 });
    group.deliver(['one', 'two']);
    await work.until('one');
    work.end('one', new Error('not yet'));
    await node.until(() => group.settles.length === 1);
    // On its way while the node had not heard of it: it ended that lease too.
    group.deliver(['three'], { firstOffset: 102, token: 2 });
    while (consumer.heldMessages < 3) await passing();
    assert.deepEqual(work.begun, ['one']);
    const [nack] = group.settles;
    assert.ok(nack);
    group.answer(nack);
    group.deliver(['one', 'two', 'three'], { attempts: [2, 1, 1], token: 3 });
    for (const value of ['one', 'two', 'three']) {
      await node.until(
        () => work.begun.filter((v) => v === value).length === (value === 'one' ? 2 : 1),
      );
      work.end(value);
    }
    await node.until(() => group.indexesOf(Opcode.ACK).length === 3);
    assert.deepEqual(work.begun, ['one', 'one', 'two', 'three']);
  });

  it('extends the leases of what waits and runs, until the longest time is over', async (t) => {
    const { node, group, clock, consumer } = await start(t, { leaseMs: 3000 });
    const work = new Work(node);
    void consumer.run(work.handler, { concurrency: 1, extendMsMax: 4000 });
    group.deliver(['runs', 'waits']);
    await work.until('runs');
    clock.advance(1000);
    assert.deepEqual(group.indexesOf(Opcode.EXTEND), [], 'two thirds of it are left');
    clock.advance(1000);
    await node.until(() => group.indexesOf(Opcode.EXTEND).length === 2);
    assert.equal(group.settles[0]?.leaseMs, 3000);
    assert.equal(group.settles.length, 1, 'one frame for both');
    while (consumer.heldMessages === 2 && clock.delaysMs[0] !== 1000) await passing();
    await settled();
    clock.advance(2000);
    await settled();
    assert.deepEqual(group.indexesOf(Opcode.EXTEND), [0, 1]);
  });

  it('has one extension on its way for each lease, however long the node says nothing', async (t) => {
    const { node, group, clock, consumer } = await start(t, { leaseMs: 3000 });
    const work = new Work(node);
    group.settle = () => 'hold';
    void consumer.run(work.handler);
    group.deliver(['runs']);
    await work.until('runs');
    for (let thirds = 0; thirds < 6; thirds++) {
      clock.advance(1000);
      await settled();
    }
    assert.deepEqual(group.indexesOf(Opcode.EXTEND), [0]);
    node.last.cut();
    await node.until(() => group.settles.length === 2);
    await settled();
    assert.deepEqual(group.indexesOf(Opcode.EXTEND), [0, 0], 'it is asked again, once');
    group.answer(group.settles[1] as Settle);
    while (group.settles.length === 2) {
      await settled();
      clock.advance(1000);
    }
    assert.deepEqual(group.indexesOf(Opcode.EXTEND), [0, 0, 0], 'and again when it was answered');
  });

  it('tells a running handler that its lease is lost', async (t) => {
    const { node, group, clock, consumer } = await start(t, { leaseMs: 3000 });
    group.settle = () => [{ entry: 0, index: 0, code: ErrorCode.LEASE_LOST }];
    const aborted = new Promise<void>((resolve) => {
      void consumer.run((message) => {
        message.signal.addEventListener('abort', () => resolve());
        node.notify();
        return new Promise(() => {});
      });
    });
    group.deliver(['a']);
    while (consumer.heldMessages === 0) await passing();
    clock.advance(2000);
    await aborted;
    assert.equal(consumer.heldMessages, 0);
  });

  it('is waited for by close, which gives back what was not begun', async (t) => {
    const { node, group, consumer } = await start(t);
    const work = new Work(node);
    const ran = consumer.run(work.handler, { concurrency: 1 });
    group.deliver(['a', 'b']);
    await work.until('a');
    const closed = consumer.close();
    await node.until(() => group.credits.length === 1);
    assert.deepEqual(group.unsubscribes, []);
    work.end('a');
    await Promise.all([closed, ran]);
    assert.deepEqual(work.begun, ['a']);
    assert.deepEqual(group.indexesOf(Opcode.ACK), [0]);
    assert.deepEqual(group.unsubscribes, [1]);
  });

  it('is not waited for any longer than close was told to', async (t) => {
    const { node, group, clock, consumer } = await start(t);
    const work = new Work(node);
    const ran = consumer.run(work.handler);
    group.deliver(['a']);
    await work.until('a');
    const closed = consumer.close({ timeoutMs: 5000 });
    await node.until(() => group.credits.length === 1);
    clock.advance(5000);
    await Promise.all([closed, ran]);
    assert.deepEqual(group.unsubscribes, [1]);
  });

  it('ends with the error that ended the subscription', async (t) => {
    const { group, consumer } = await start(t);
    const ran = consumer.run(() => {});
    group.assign({ assigned: 0, ended: { code: ErrorCode.UNKNOWN_TOPIC, message: 'gone' } });
    assert.equal(await codeOf(ran), 'UNKNOWN_TOPIC');
    assert.equal(await codeOf(consumer.close()), undefined);
  });

  it('is told nothing twice when a node that goes is left', async (t) => {
    const { node, group, consumer } = await start(t);
    const work = new Work(node);
    void consumer.run(work.handler);
    group.deliver(['a']);
    await work.until('a');
    const first = node.last;
    first.goaway(60_000);
    work.end('a');
    await node.until(() => group.subscribes.length === 2);
    assert.deepEqual(
      group.settles.map(({ session }) => session === first),
      [true],
      'the ack reached the node that was left',
    );
  });
});

function passing(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await passing();
}
