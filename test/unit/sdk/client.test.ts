import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { ErrorCode } from '../../../protocol/src/generated.ts';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import { MqpError } from '../../../sdk/ts/src/errors.ts';
import type { ClientOptions } from '../../../sdk/ts/src/types.ts';
import { FakeClock, fixedRandom } from './fake-clock.ts';
import { FakeNode, type FakeScript } from './fake-node.ts';

interface Parts {
  readonly node: FakeNode;
  readonly client: MqpClient;
  readonly clock: FakeClock;
}

async function start(
  t: TestContext,
  script: FakeScript = {},
  options: Partial<ClientOptions> = {},
): Promise<Parts> {
  const node = await FakeNode.start(script);
  const clock = new FakeClock();
  const client = await MqpClient.connect(
    { servers: [node.address], producerId: 0xffn, epoch: 3, ...options },
    { clock, random: fixedRandom(0) },
  );
  t.after(async () => {
    await client.close({ timeoutMs: 0 });
    await node.close();
  });
  return { node, client, clock };
}

function codeIs(code: string, isRetriable: boolean): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof MqpError);
    assert.equal(error.code, code);
    assert.equal(error.isRetriable, isRetriable);
    return true;
  };
}

describe('a client', () => {
  it('sends messages of one tick as one batch and gives each its id', async (t) => {
    const { node, client } = await start(t);
    const results = await Promise.all([
      client.produce('orders', {
        value: 'a',
        key: 'k',
        headers: [
          ['h', 'v'],
          ['n', null],
        ],
      }),
      client.produce('orders', { value: null, partition: 1 }),
      client.produce('orders', { value: Buffer.from('c') }, { ack: 'replicated' }),
    ]);
    assert.deepEqual(
      results.map(({ id, ack }) => [id, ack]),
      [
        ['00000000000000ff-3-1', 'stored'],
        ['00000000000000ff-3-2', 'stored'],
        ['00000000000000ff-3-3', 'replicated'],
      ],
    );
    const [a, b, c] = node.received;
    assert.equal(a?.message.key?.toString(), 'k');
    assert.deepEqual(
      a?.message.headers.map(({ name, value }) => [name, value?.toString()]),
      [
        ['h', 'v'],
        ['n', undefined],
      ],
    );
    assert.equal(b?.message.value, null);
    assert.equal(b?.message.partition, 1);
    assert.deepEqual([a?.isBatch, b?.isBatch, c?.isBatch], [true, true, false]);
    assert.deepEqual([a?.isReplicated, b?.isReplicated, c?.isReplicated], [false, false, true]);
    assert.equal(node.opens.length, 1);
  });

  it('tells partition, offset and cluster of a placed answer', async (t) => {
    const { client } = await start(t, {
      produce: () => ({ partition: 3, offset: 2 ** 40, cluster: 1 }),
    });
    const result = await client.produce('orders', { value: 'a' }, { ack: 'replicated' });
    assert.equal(result.partition, 3);
    assert.equal(result.offset, 2 ** 40);
    assert.equal(result.cluster, 'backup');
  });

  it('goes on behind the last sequence that the node knows of its producer', async (t) => {
    const { node, client } = await start(t, { lastSequence: 2 ** 33 });
    await client.produce('orders', { value: 'a' });
    assert.equal(node.received[0]?.sequence, 2 ** 33 + 1);
  });

  it('calls back once per batch, with each message its own outcome', async (t) => {
    const { client } = await start(t, {
      produce: ({ value }) => (value === 'b' ? { code: ErrorCode.UNDELIVERABLE, detail: 0 } : 'ok'),
    });
    const messages = [{ value: 'a' }, { value: 'b' }, { value: 'c' }];
    const [error, results] = await new Promise<[Error | null, readonly unknown[]]>((resolve) => {
      client.produceBatch('orders', messages, {}, (...told) => resolve(told));
    });
    assert.ok(error instanceof MqpError);
    assert.equal(error.code, 'UNDELIVERABLE');
    assert.equal(error.id, '00000000000000ff-3-2');
    assert.deepEqual(
      results.map((result) => result instanceof MqpError),
      [false, true, false],
    );
  });

  it('resends what was not answered, with the same ids and in order, after a cut', async (t) => {
    let isCut = false;
    const { node, client } = await start(t, {
      produce: ({ session, value }) => {
        if (isCut) return 'ok';
        if (value === '5') {
          isCut = true;
          setImmediate(() => session.cut());
        }
        return value === '1' ? 'ok' : 'hold';
      },
    });
    const sent = [1, 2, 3, 4, 5].map((n) => client.produce('orders', { value: String(n) }));
    await sent[0];
    const ids = (await Promise.all(sent)).map(({ id }) => id.split('-')[2]);
    assert.deepEqual(ids, ['1', '2', '3', '4', '5']);
    assert.deepEqual(node.values, ['1', '2', '3', '4', '5', '2', '3', '4', '5']);
    assert.deepEqual(
      node.received.map(({ sequence }) => sequence),
      [1, 2, 3, 4, 5, 2, 3, 4, 5],
    );
    assert.equal(node.hellos[1]?.producerId, 0xffn);
  });

  it('goes back to a refused message and sends everything behind it again', async (t) => {
    let refusals = 2;
    let expected = 1;
    const { node, client, clock } = await start(t, {
      produce: ({ value, sequence }) => {
        if (sequence !== expected) return { code: ErrorCode.OUT_OF_SEQUENCE, detail: expected };
        if (value === 'b' && refusals-- > 0) return { code: ErrorCode.RETRY_LATER, detail: 250 };
        expected++;
        return 'ok';
      },
    });
    await client.openTopic('orders');
    const sent = ['a', 'b', 'c'].map((value) => client.produce('orders', { value }));
    await sent[0];
    await client.ping();
    assert.deepEqual(node.values, ['a', 'b', 'c']);
    clock.advance(249);
    await client.ping();
    assert.equal(node.received.length, 3, 'it waits as long as the node asked');
    clock.advance(1);
    await node.until(() => node.received.length === 5);
    await client.ping();
    clock.advance(250);
    await Promise.all(sent);
    assert.deepEqual(node.values, ['a', 'b', 'c', 'b', 'c', 'b', 'c']);
  });

  it('ends a sent message as UNKNOWN at its deadline and keeps its place in the sequence', async (t) => {
    let isHolding = true;
    const { node, client, clock } = await start(t, {
      produce: () => (isHolding ? 'hold' : 'ok'),
    });
    const late = client.produce('orders', { value: 'late' }, { timeoutMs: 1000 });
    await node.until(() => node.received.length === 1);
    clock.advance(1017);
    await assert.rejects(late, codeIs('UNKNOWN', true));
    isHolding = false;
    node.last.cut();
    await client.produce('orders', { value: 'next' });
    assert.deepEqual(node.values, ['late', 'late', 'next']);
    assert.equal(client.outstandingBytes, 0);
  });

  it('takes an unsent message back at its deadline without leaving a gap', async (t) => {
    const { node, client, clock } = await start(t, {
      open: () =>
        node.opens.length < 2
          ? { code: ErrorCode.TOPIC_UNCONFIRMED, retryAfterMs: 5000 }
          : undefined,
    });
    const gone = client.produce('orders', { value: 'gone' }, { timeoutMs: 1000 });
    const kept = client.produce('orders', { value: 'kept' });
    await node.until(() => node.opens.length === 1);
    // The second has left only after the refusal before the first was read.
    await client.ping();
    await client.ping();
    clock.advance(1017);
    await assert.rejects(gone, codeIs('TIMED_OUT', true));
    await assert.rejects(gone, /the message was not sent: TOPIC_UNCONFIRMED: \S/);
    clock.advance(5000);
    assert.equal((await kept).id, '00000000000000ff-3-1');
    assert.deepEqual(node.values, ['kept']);
  });

  it('tells an aborted message apart by whether its bytes had left', async (t) => {
    const { node, client } = await start(t, { produce: () => 'hold' });
    const controller = new AbortController();
    const { signal } = controller;
    const sent = client.produce('orders', { value: 'sent' }, { signal });
    await node.until(() => node.received.length === 1);
    const unsent = client.produce('orders', { value: 'unsent' }, { signal });
    controller.abort();
    await assert.rejects(sent, codeIs('UNKNOWN', true));
    await assert.rejects(unsent, codeIs('ABORTED', true));
    await assert.rejects(
      client.produce('orders', { value: 'x' }, { signal }),
      codeIs('ABORTED', true),
    );
    assert.deepEqual(node.values, ['sent']);
  });

  it('refuses what goes beyond its bound of bytes', async (t) => {
    const { client } = await start(t, { produce: () => 'hold' }, { bufferBytesMax: 10_000 });
    const settled: Promise<unknown>[] = [];
    const value = Buffer.alloc(4000);
    for (let i = 0; i < 3; i++)
      settled.push(client.produce('orders', { value }).catch((e) => e.code));
    assert.equal(await settled[2], 'BUFFER_FULL');
    assert.equal(client.outstandingMessages, 2);
  });

  it('holds no more than its bound while the node refuses connections, and then goes on', async (t) => {
    const { node, client, clock } = await start(t, {}, { bufferBytesMax: 10_000 });
    const { port } = node;
    await node.close();
    for (let attempts = 0; attempts < 3; attempts++) await once(client, 'connectionError');
    const settled = (value: string, timeoutMs = 0) =>
      client.produce('orders', { value: value.repeat(2000) }, { timeoutMs }).then(
        () => 'OK',
        (error: MqpError) => error.code,
      );
    const brief = settled('b', 1000);
    const kept = ['k', 'l', 'm'].map((value) => settled(value));
    const beyond = Array.from({ length: 200 }, () => settled('x'));
    assert.equal(client.outstandingMessages, 4);
    assert.ok(client.outstandingBytes <= 10_000, `${client.outstandingBytes} bytes`);
    assert.deepEqual(new Set(await Promise.all(beyond)), new Set(['BUFFER_FULL']));
    // What is given up makes room, connection or not.
    clock.advance(2000);
    assert.equal(await brief, 'TIMED_OUT');
    kept.push(settled('n'));
    assert.equal(await settled('x'), 'BUFFER_FULL');
    const back = await FakeNode.start({}, port);
    t.after(() => back.close());
    assert.deepEqual(await Promise.all(kept), ['OK', 'OK', 'OK', 'OK']);
    assert.deepEqual(
      back.values.map((value) => value?.[0]),
      ['k', 'l', 'm', 'n'],
    );
    assert.equal(client.outstandingBytes, 0);
  });

  it('is closed for good when it is fenced', async (t) => {
    const { node, client } = await start(t, { produce: () => 'hold' });
    const fenced = once(client, 'fenced');
    const sent = client.produce('orders', { value: 'a' });
    await node.until(() => node.received.length === 1);
    node.last.fail(ErrorCode.FENCED, 'a newer epoch');
    await assert.rejects(sent, (error: MqpError) => {
      assert.equal(error.code, 'UNKNOWN');
      assert.equal((error.cause as MqpError).code, 'FENCED');
      return true;
    });
    await fenced;
    assert.equal(client.state, 'closed');
    await assert.rejects(client.produce('orders', { value: 'b' }), codeIs('FENCED', false));
    assert.equal(node.hellos.length, 1);
  });

  it('answers what is in flight before it leaves a node that is going away', async (t) => {
    const { node, client } = await start(t, {
      produce: ({ value }) => (value === 'held' ? 'hold' : 'ok'),
    });
    const states: string[] = [];
    client.on('state', (state) => states.push(state));
    const held = client.produce('orders', { value: 'held' });
    await node.until(() => node.received.length === 1);
    const first = node.last;
    first.goaway(60_000);
    await once(client, 'state');
    const next = client.produce('orders', { value: 'next' });
    first.plain(node.received[0]?.correlationId as number);
    first.flush();
    await held;
    await next;
    assert.deepEqual(node.values, ['held', 'next']);
    assert.deepEqual(states, ['draining', 'disconnected', 'connecting', 'ready']);
  });

  it('drains on close and takes nothing more', async (t) => {
    const { node, client } = await start(t, { produce: () => 'hold' });
    const sent = client.produce('orders', { value: 'a' });
    await node.until(() => node.received.length === 1);
    const closed = client.close();
    assert.equal(client.state, 'draining');
    await assert.rejects(client.produce('orders', { value: 'b' }), codeIs('CLOSED', false));
    node.last.plain(node.received[0]?.correlationId as number);
    node.last.flush();
    await sent;
    await closed;
    assert.equal(client.state, 'closed');
  });

  it('fails the messages of a topic that is refused for good, and no others', async (t) => {
    const { client } = await start(t, {
      open: (topic) => (topic === 'bad' ? { code: ErrorCode.UNKNOWN_TOPIC } : undefined),
    });
    const bad = client.produce('bad', { value: 'a' });
    const good = client.produce('good', { value: 'b' });
    await assert.rejects(bad, codeIs('UNKNOWN_TOPIC', false));
    assert.equal((await good).id, '00000000000000ff-3-1');
  });

  it('begins a new epoch when the node waits for a sequence that is gone', async (t) => {
    const { node, client } = await start(t, {
      produce: ({ sequence, session }) => {
        const isOld = session.hello?.epoch === 3;
        return isOld && sequence > 1 ? { code: ErrorCode.OUT_OF_SEQUENCE, detail: 1 } : 'ok';
      },
    });
    await client.produce('orders', { value: 'a' });
    const result = await client.produce('orders', { value: 'b' });
    assert.equal(result.id, '00000000000000ff-4-1');
    assert.equal(node.hellos[1]?.epoch, 4);
  });

  it('ends the messages of a topic that is gone after a cut, and goes on with the others', async (t) => {
    let expected = 1;
    const { node, client } = await start(t, {
      open: (topic) =>
        topic === 'gone' && node.sessions.length > 1
          ? { code: ErrorCode.UNKNOWN_TOPIC }
          : undefined,
      produce: ({ sequence, session }) => {
        if (node.sessions.length === 1) return 'hold';
        if (session.hello?.epoch === 4) return 'ok';
        if (sequence !== expected) return { code: ErrorCode.OUT_OF_SEQUENCE, detail: expected };
        expected++;
        return 'ok';
      },
    });
    const gone = client.produce('gone', { value: 'a' });
    const kept = client.produce('kept', { value: 'b' });
    await node.until(() => node.received.length === 2);
    node.last.cut();
    await assert.rejects(gone, codeIs('UNKNOWN', true));
    assert.equal((await kept).id, '00000000000000ff-4-1');
  });

  it('rejects connect with what the node said', async (t) => {
    const node = await FakeNode.start({
      hello: () => ({ code: ErrorCode.AUTHENTICATION_FAILED, message: 'no such token' }),
    });
    t.after(() => node.close());
    await assert.rejects(
      MqpClient.connect({ servers: [node.address], token: 'x' }),
      codeIs('AUTHENTICATION_FAILED', false),
    );
  });
});
