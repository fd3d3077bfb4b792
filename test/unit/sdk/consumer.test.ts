import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { ErrorCode, Opcode } from '../../../protocol/src/generated.ts';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import type { ConsumedMessage, SubscribeOptions } from '../../../sdk/ts/src/consume-types.ts';
import type { Consumer } from '../../../sdk/ts/src/consumer.ts';
import { codeOf } from './conformance.ts';
import { FakeClock, fixedRandom } from './fake-clock.ts';
import { FakeGroup } from './fake-group.ts';
import { FakeNode } from './fake-node.ts';

const TIMEOUT_MS = 30_000;

interface Parts {
  readonly node: FakeNode;
  readonly group: FakeGroup;
  readonly client: MqpClient;
  readonly clock: FakeClock;
}

async function start(t: TestContext): Promise<Parts> {
  const group: FakeGroup = new FakeGroup(() => node);
  const node = await FakeNode.start(group.script);
  t.after(() => node.close());
  const clock = new FakeClock();
  const client = await MqpClient.connect(
    { servers: [node.address], timeoutMs: TIMEOUT_MS },
    { clock, random: fixedRandom(0) },
  );
  t.after(() => client.close({ timeoutMs: 0 }));
  return { node, group, client, clock };
}

const ORDERS: SubscribeOptions = { group: 'billing', topics: ['orders'] };

/** Reads so many messages, and leaves the consumer open. */
async function read(consumer: Consumer, count: number): Promise<ConsumedMessage[]> {
  const iterator = consumer[Symbol.asyncIterator]();
  const messages: ConsumedMessage[] = [];
  while (messages.length < count) {
    const { value } = await iterator.next();
    messages.push(value as ConsumedMessage);
  }
  return messages;
}

const text = (message: ConsumedMessage) => Buffer.from(message.value ?? '').toString();

describe('a consumer', () => {
  it('subscribes with what it was asked for, and tells what was granted', async (t) => {
    const { group, client } = await start(t);
    group.grant = { creditMessages: 10, leaseMs: 5000 };
    const consumer = await client.subscribe({
      group: 'billing',
      prefix: 'orders.',
      mode: 'key-ordered',
      creditMessages: 100,
      creditBytes: 1000,
      leaseMs: 60_000,
      start: new Date(5),
      dedupe: false,
    });
    assert.deepEqual(group.subscribes, [
      {
        group: 'billing',
        prefix: 'orders.',
        mode: 'key-ordered',
        creditMessages: 100,
        creditBytes: 1000,
        leaseMs: 60_000,
        start: { timeMs: 5 },
        dedupe: false,
      },
    ]);
    assert.equal(consumer.state, 'active');
    assert.equal(consumer.info?.creditMessages, 10);
    assert.equal(consumer.info?.leaseMs, 5000);
  });

  it('reads every field of a message, and of what other programs wrote', async (t) => {
    const { group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    const id = { producerId: 255n, epoch: 1, sequence: 42 };
    const headers = [{ name: 'h', value: null }];
    group.deliverRecords(
      [
        { offset: 7, timestampMs: 9, id, key: Buffer.from('k'), headers, value: null },
        { offset: 70, timestampMs: 10, value: Buffer.from('v') },
      ],
      { firstOffset: 7, cluster: 1, partition: 3, attempts: [2, 1] },
    );
    const [one, two] = await read(consumer, 2);
    assert.deepEqual(
      [one?.topic, one?.cluster, one?.partition, one?.offset, one?.timestampMs, one?.attempt],
      ['orders', 'backup', 3, 7, 9, 2],
    );
    assert.deepEqual(
      [one?.id, one?.key?.toString(), one?.headers, one?.value],
      ['00000000000000ff-1-42', 'k', [['h', null]], null],
    );
    assert.deepEqual([two?.id, two?.key, two?.headers, two?.attempt], [undefined, null, [], 1]);
    assert.equal(text(two as ConsumedMessage), 'v');
  });

  it('sends what is asked in one turn in one frame per kind', async (t) => {
    const { node, group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    group.deliver(['a', 'b', 'c', 'd', 'e'], { token: 1 });
    group.deliver(['f'], { token: 2, firstOffset: 500 });
    const [a, b, c, d, e, f] = (await read(consumer, 6)) as [
      ConsumedMessage,
      ConsumedMessage,
      ConsumedMessage,
      ConsumedMessage,
      ConsumedMessage,
      ConsumedMessage,
    ];
    await Promise.all([
      f.ack(),
      c.ack(),
      a.ack(),
      b.nack({ delayMs: 5, reason: 'later' }),
      d.nack({ dead: true }),
      e.extend(45_000),
    ]);
    const seen = group.settles.map(({ opcode, entries, delayMs, reason, dead, leaseMs }) => ({
      opcode,
      entries,
      rest: [delayMs, reason, dead, leaseMs],
    }));
    assert.deepEqual(seen, [
      {
        opcode: Opcode.ACK,
        entries: [
          { token: 2, indexes: [0] },
          { token: 1, indexes: [2, 0] },
        ],
        rest: [undefined, '', false, 0],
      },
      { opcode: Opcode.NACK, entries: [{ token: 1, indexes: [1] }], rest: [5, 'later', false, 0] },
      {
        opcode: Opcode.NACK,
        entries: [{ token: 1, indexes: [3] }],
        rest: [undefined, '', true, 0],
      },
      {
        opcode: Opcode.EXTEND,
        entries: [{ token: 1, indexes: [4] }],
        rest: [undefined, '', false, 45_000],
      },
    ]);
    assert.ok(a.isSettled && !e.isSettled);
    assert.equal(consumer.heldMessages, 1);
    assert.equal(node.sessions.length, 1);
  });

  it('waits for the commit when asked, for all acks or for one', async (t) => {
    const { group, client } = await start(t);
    const consumer = await client.subscribe({ ...ORDERS, ackWait: 'committed' });
    group.deliver(['a', 'b', 'c']);
    const [a, b, c] = await read(consumer, 3);
    await Promise.all([a?.ack(), b?.ack({ wait: 'recorded' }), c?.commit()]);
    assert.deepEqual(
      group.settles.map(({ opcode, committed }) => [opcode, committed]),
      [
        [Opcode.ACK, true],
        [Opcode.ACK, false],
        [Opcode.COMMIT, true],
      ],
    );
  });

  it('rejects only the messages that failed, by code, and tells of them', async (t) => {
    const { group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    const lost: [number, string][] = [];
    consumer.on('lost', ({ offset }, error) =>
      lost.push([offset, (error as { code?: string }).code ?? '']),
    );
    group.deliver(['a', 'b', 'c']);
    group.settle = () => [
      { entry: 0, index: 1, code: ErrorCode.LEASE_LOST },
      { entry: 0, index: 2, code: ErrorCode.NOT_OWNER, owner: 'n-2' },
    ];
    const [a, b, c] = await read(consumer, 3);
    const results = await Promise.allSettled([a?.ack(), b?.ack(), c?.ack()]);
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'rejected', 'rejected'],
    );
    assert.match(String((results[2] as PromiseRejectedResult).reason), /n-2/);
    assert.deepEqual(lost, [
      [101, 'LEASE_LOST'],
      [102, 'NOT_OWNER'],
    ]);
    assert.ok(b?.signal.aborted);
    assert.equal(consumer.heldMessages, 0);
    assert.equal(await codeOf(b?.extend() ?? Promise.resolve()), 'LEASE_LOST');
  });

  it('asks again on the next connection for what was not answered', async (t) => {
    const { node, group, client } = await start(t);
    const consumer = await client.subscribe({ ...ORDERS, creditMessages: 10 });
    group.deliver(['a', 'b', 'c']);
    const [a, b, c] = await read(consumer, 3);
    group.settle = () => 'hold';
    const done = Promise.all([a?.ack(), b?.nack()]);
    await node.until(() => group.settles.length === 2);
    group.settle = ({ opcode }) =>
      opcode === Opcode.NACK ? [{ entry: 0, index: 1, code: ErrorCode.LEASE_LOST }] : [];
    node.last.cut();
    await done;
    assert.deepEqual(group.indexesOf(Opcode.ACK), [0, 0]);
    assert.deepEqual(group.indexesOf(Opcode.NACK), [1, 1], 'that it is gone is what was wanted');
    // Three were held when it subscribed again; as they are settled, it comes back.
    assert.deepEqual(
      group.subscribes.map(({ creditMessages }) => creditMessages),
      [10, 7],
    );
    await c?.ack();
    await node.until(() => group.credits.at(-1)?.messages === 10);
    assert.deepEqual(group.indexesOf(Opcode.EXTEND), [2], 'the lease that was left is made long');
  });

  it('waits out a refusal that may pass, and ends with one that will not', async (t) => {
    const { group, client } = await start(t);
    group.subscribe = (nth) =>
      nth === 1
        ? { code: ErrorCode.BACKEND_UNAVAILABLE, retryAfterMs: 0 }
        : nth === 3
          ? { code: ErrorCode.GROUP_CONFLICT }
          : undefined;
    await client.subscribe(ORDERS);
    assert.equal(group.subscribes.length, 2);
    assert.equal(await codeOf(client.subscribe(ORDERS)), 'GROUP_CONFLICT');
    assert.equal(await codeOf(client.subscribe({ group: 'g' })), 'INVALID_ARGUMENT');
  });

  it('says when other nodes read everything, and when the node ends it', async (t) => {
    const { node, group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    const states: string[] = [];
    consumer.on('state', (state) => {
      states.push(state);
      node.notify();
    });
    group.assign({ assigned: 0 });
    await node.until(() => states.length === 1);
    group.assign({ assigned: 2 });
    await node.until(() => states.length === 2);
    const [first] = consumerSteps(consumer);
    group.assign({ assigned: 0, ended: { code: ErrorCode.UNKNOWN_TOPIC, message: 'it is gone' } });
    assert.equal(await codeOf(first as Promise<unknown>), 'UNKNOWN_TOPIC');
    assert.deepEqual(states, ['waiting', 'active', 'closed']);
  });

  it('subscribes again when the node ended it for a reason that may pass', async (t) => {
    const { node, group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    group.assign({ assigned: 0, ended: { code: ErrorCode.BACKEND_UNAVAILABLE, message: '' } });
    await node.until(() => group.subscribes.length === 2);
    group.deliver(['a']);
    const [a] = await read(consumer, 1);
    assert.equal(text(a as ConsumedMessage), 'a');
  });

  it('drops what comes for a subscription that it does not have', async (t) => {
    const { group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    group.deliver(['foreign'], { subscription: 4711 });
    group.deliver(['own']);
    const [own] = await read(consumer, 1);
    assert.equal(text(own as ConsumedMessage), 'own');
  });

  it('leaves out messages whose lease ended before they were read', async (t) => {
    const { node, group, client, clock } = await start(t);
    const consumer = await client.subscribe({ ...ORDERS, leaseMs: 1000 });
    group.deliver(['old']);
    while (consumer.heldMessages === 0) await new Promise(setImmediate);
    clock.advance(1000);
    group.deliver(['new'], { token: 2 });
    const [message] = await read(consumer, 1);
    assert.equal(text(message as ConsumedMessage), 'new');
    assert.deepEqual(group.settles, []);
    assert.equal(node.sessions.length, 1);
  });

  it('gives its leases back when the iteration is left', async (t) => {
    const { group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    group.deliver(['a', 'b', 'c']);
    for await (const message of consumer) {
      void message.ack();
      break;
    }
    assert.equal(consumer.state, 'closed');
    assert.deepEqual(group.indexesOf(Opcode.ACK), [0], 'the ack is answered before it ends');
    assert.deepEqual(group.unsubscribes, [1]);
    assert.deepEqual(group.credits, [{ subscription: 1, messages: 0, bytes: 0 }]);
  });

  it('ends its subscription at the node also when it does not wait for the answer', async (t) => {
    const { node, group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    await consumer.close({ timeoutMs: 0 });
    await node.until(() => group.unsubscribes.length > 0);
    assert.deepEqual(group.unsubscribes, [1]);
  });

  it('ends a subscription that is granted after it was given up', async (t) => {
    const { node, group, client, clock } = await start(t);
    group.subscribe = () => 'hold';
    const subscribing = codeOf(client.subscribe(ORDERS));
    await node.until(() => group.subscribes.length === 1);
    clock.advance(TIMEOUT_MS);
    assert.equal(await subscribing, 'TIMED_OUT');
    clock.advance(10 * TIMEOUT_MS);
    group.granted();
    await node.until(() => group.unsubscribes.length > 0);
    assert.deepEqual(group.unsubscribes, [1]);
    assert.equal(group.subscribes.length, 1, 'it was not asked for again');
  });

  it('loses, in order, what came behind a message that was given back, and nothing else', async (t) => {
    const { group, client } = await start(t);
    const consumer = await client.subscribe({ ...ORDERS, mode: 'partition-ordered' });
    group.deliver(['a', 'b', 'c'], { partition: 0 });
    group.deliver(['d'], { partition: 1, token: 2, firstOffset: 900 });
    const [a, b, c, d] = await read(consumer, 4);
    await b?.nack();
    assert.deepEqual(
      [a, c, d].map((message) => message?.isSettled),
      [false, true, false],
    );
    assert.ok(c?.signal.aborted);
    await Promise.all([a?.ack(), d?.ack()]);
    assert.equal(await codeOf(c?.ack() as Promise<void>), 'LEASE_LOST');
    assert.equal(consumer.heldMessages, 0);
  });

  it('is read or run once', async (t) => {
    const { client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    consumer[Symbol.asyncIterator]();
    assert.throws(() => consumer.run(() => {}), { code: 'INVALID_ARGUMENT' });
  });

  it('keeps a message that was asked for what cannot be sent', async (t) => {
    const { group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    group.deliver(['a']);
    const [a] = await read(consumer, 1);
    assert.equal(await codeOf(a?.nack({ delayMs: -1 }) as Promise<void>), 'INVALID_ARGUMENT');
    assert.equal(await codeOf(a?.extend(1) as Promise<void>), 'INVALID_ARGUMENT');
    await a?.nack({ reason: 'ü'.repeat(1000) });
    assert.equal(group.settles[0]?.reason, 'ü'.repeat(512));
  });

  it('ends with its client', async (t) => {
    const { group, client } = await start(t);
    const consumer = await client.subscribe(ORDERS);
    const [step] = consumerSteps(consumer);
    await client.close();
    assert.deepEqual(await step, { done: true, value: undefined });
    assert.deepEqual(group.unsubscribes, [1]);
    assert.equal(await codeOf(client.subscribe(ORDERS)), 'CLOSED');
  });
});

/** The next step, not awaited. */
function consumerSteps(consumer: Consumer): Promise<unknown>[] {
  return [consumer[Symbol.asyncIterator]().next()];
}
