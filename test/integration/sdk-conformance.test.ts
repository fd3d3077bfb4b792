import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ErrorCode, Opcode } from '../../protocol/src/generated.ts';
import { beginTailAnswer, type TailRequest, writeTailRecord } from '../../protocol/src/tail.ts';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import type { TailRecord } from '../../sdk/ts/src/types.ts';
import { repoRoot } from '../support/repo.ts';
import { codeOf, conformance, demands, heldIds, pair } from '../unit/sdk/conformance.ts';
import { FakeClock, fixedRandom } from '../unit/sdk/fake-clock.ts';
import { FakeNode } from '../unit/sdk/fake-node.ts';

test('every demand of SPEC.md is held, and has a test', () => {
  assert.deepEqual(heldIds, [...demands.keys()]);
  const sources = [
    'sdk-conformance.test.ts',
    'sdk-conformance-produce.test.ts',
    'sdk-conformance-consume.test.ts',
  ]
    .map((file) => readFileSync(join(repoRoot, 'test', 'integration', file), 'utf8'))
    .join('');
  for (const id of demands.keys()) assert.ok(sources.includes(`conformance('${id}'`), id);
});

conformance('C-1.1', async (t) => {
  const { node } = await pair(t);
  assert.equal(node.last.frames[0]?.opcode, Opcode.HELLO);
  assert.deepEqual([node.hellos[0]?.versionMin, node.hellos[0]?.versionMax], [1, 1]);
});

conformance('C-1.2', async (t) => {
  const names = { clientName: 'n'.repeat(255), token: 't'.repeat(4096) };
  const { node, client } = await pair(t, {}, names);
  const sent = client.produce('orders', { value: Buffer.alloc(20_000) });
  node.last.cut();
  await sent;
  for (const session of node.sessions) {
    assert.equal(session.frames[0]?.opcode, Opcode.HELLO);
    assert.ok((session.frames[0]?.length ?? 0) <= 8192);
  }
});

conformance('C-1.3', async (t) => {
  const node = await FakeNode.start({
    hello: () => ({ code: ErrorCode.TOO_MANY_CONNECTIONS, message: 'full' }),
  });
  t.after(() => node.close());
  const clock = new FakeClock();
  const options = { servers: [node.address], connectTimeoutMs: 5000 };
  const connecting = MqpClient.connect(options, { clock, random: fixedRandom(0.5) });
  const told = codeOf(connecting);
  await node.until(() => node.hellos.length === 1);
  while (!clock.delaysMs.includes(50)) await new Promise(setImmediate);
  assert.equal(node.hellos.length, 1, 'half of the first 100 ms must pass');
  clock.advance(5000);
  assert.equal(await told, 'TOO_MANY_CONNECTIONS');
});

conformance('C-1.4', async (t) => {
  const { client } = await pair(t, { features: ['not-yet'], limits: { moonPhaseMax: 3 } });
  assert.deepEqual(client.node?.features, ['not-yet']);
});

conformance('C-1.5', async (t) => {
  const limits = {
    inFlightMessagesMax: 2,
    keyBytesMax: 4,
    headersBytesMax: 8,
    messageBytesMax: 64,
  };
  const { node, client } = await pair(t, { limits, produce: () => 'hold' });
  const sent = [1, 2, 3, 4].map((n) => client.produce('orders', { value: String(n) }));
  await node.until(() => node.received.length === 2);
  await client.ping();
  assert.equal(node.received.length, 2);
  node.last.plain(node.received[0]?.correlationId as number, 2);
  node.last.flush();
  await Promise.all(sent.slice(0, 2));
  await node.until(() => node.received.length === 4);
  node.last.plain(node.received[2]?.correlationId as number, 2);
  node.last.flush();
  await Promise.all(sent);
  const large = [
    client.produce('orders', { value: '', key: 'large' }),
    client.produce('orders', { value: '', headers: [['name', 'large']] }),
    client.produce('orders', { value: Buffer.alloc(2 ** 21) }),
  ];
  for (const each of large) assert.equal(await codeOf(each), 'MESSAGE_TOO_LARGE');
  assert.equal(node.sessions.length, 1, 'the connection stays');
});

conformance('C-2.1', async (t) => {
  const { client } = await pair(t, { isDripping: true });
  const sent = ['a', 'b', 'c'].map((value) => client.produce('orders', { value }));
  assert.equal((await Promise.all(sent)).length, 3);
});

conformance('C-2.2', async (t) => {
  const { node, client } = await pair(t);
  for (const length of [0xffff_ffff, 7]) {
    const { socket } = node.last;
    const ready = once(client, 'state');
    const bytes = Buffer.alloc(12);
    bytes.writeUInt32BE(length);
    socket.write(bytes);
    await once(socket, 'close');
    await ready;
    await client.ping();
  }
  assert.equal(node.sessions.length, 3);
});

conformance('C-2.3', async (t) => {
  const { node, client } = await pair(t, { produce: () => 'hold' });
  const order: string[] = [];
  const sent = ['a', 'b', 'c'].map((value) =>
    client.produce('orders', { value }).then(() => order.push(value)),
  );
  await node.until(() => node.received.length === 3);
  for (const { correlationId } of node.received.toReversed()) node.last.plain(correlationId);
  node.last.flush();
  await Promise.all(sent);
  assert.deepEqual(order, ['c', 'b', 'a']);
});

conformance('C-2.4', async (t) => {
  const { node, client } = await pair(t, { produce: () => 'hold' });
  const first = client.produce('orders', { value: 'first' });
  await node.until(() => node.received.length === 1);
  node.last.socket.pause();
  const value = Buffer.alloc(1_000_000);
  for (let i = 0; i < 16; i++) void codeOf(client.produce('orders', { value }));
  await new Promise(setImmediate);
  node.last.plain(node.received[0]?.correlationId as number);
  node.last.flush();
  await first;
});

conformance('C-2.5', async (t) => {
  const { node, client } = await pair(t, {
    produce: () => (node.sessions.length === 1 ? 'hold' : 'ok'),
  });
  const sent = client.produce('orders', { value: 'a' });
  await node.until(() => node.received.length === 1);
  const { socket } = node.last;
  node.last.fail(ErrorCode.IDLE_TIMEOUT, 'too quiet');
  await once(socket, 'close');
  await sent;
  assert.deepEqual(node.values, ['a', 'a']);
});

conformance('C-3.1', async (t) => {
  const { node, client } = await pair(t);
  await client.produce('orders', { value: 'a' });
  node.last.cut();
  await client.produce('orders', { value: 'b' });
  assert.deepEqual(node.opens, ['orders', 'orders']);
  const opcodes = node.last.frames.map(({ opcode }) => opcode);
  assert.deepEqual(opcodes, [Opcode.HELLO, Opcode.OPEN_TOPIC, Opcode.PRODUCE]);
});

conformance('C-3.2', async (t) => {
  const unconfirmed = { code: ErrorCode.TOPIC_UNCONFIRMED, retryAfterMs: 0 };
  const { node, client } = await pair(t, {
    open: () => (node.opens.length < 3 ? unconfirmed : undefined),
  });
  await client.produce('orders', { value: 'a' });
  assert.equal(node.opens.length, 3);
});

conformance('C-5.1', async (t) => {
  const { node, client } = await pair(t, {}, { epoch: 9 });
  node.last.cut();
  await once(client, 'state');
  await client.ping();
  assert.deepEqual(
    node.hellos.map(({ producerId, epoch }) => [producerId, epoch]),
    [
      [0xffn, 9],
      [0xffn, 9],
    ],
  );
});

conformance('C-5.2', async (t) => {
  const { node, client } = await pair(t, {
    produce: ({ sequence }) => (node.sessions.length > 1 || sequence === 2 ? 'ok' : 'hold'),
  });
  const sent = ['a', 'b', 'c', 'd'].map((value) => client.produce('orders', { value }));
  await sent[1];
  node.last.cut();
  await Promise.all(sent);
  const again = node.received.slice(4).map(({ sequence, value }) => [sequence, value]);
  assert.deepEqual(again, [
    [1, 'a'],
    [3, 'c'],
    [4, 'd'],
  ]);
});

conformance('C-5.3', async (t) => {
  const { node, client, clock } = await pair(t, { produce: () => 'hold' });
  const sent = client.produce('orders', { value: 'a' }, { timeoutMs: 500 });
  const told = codeOf(sent);
  await node.until(() => node.received.length === 1);
  clock.advance(520);
  assert.equal(await told, 'UNKNOWN');
});

conformance('C-5.4', async (t) => {
  const { node, client } = await pair(t);
  const fenced = once(client, 'fenced');
  node.last.fail(ErrorCode.FENCED, 'a newer epoch');
  await fenced;
  assert.equal(client.state, 'closed');
  assert.equal(node.sessions.length, 1);
});

conformance('C-5.5', async (t) => {
  const { node, client } = await pair(t, {
    produce: ({ value }) => (value === 'before' ? 'hold' : 'ok'),
  });
  const before = client.produce('orders', { value: 'before' });
  await node.until(() => node.received.length === 1);
  const [session] = node.sessions;
  session?.goaway(60_000);
  await once(client, 'state');
  const after = client.produce('orders', { value: 'after' });
  session?.plain(node.received[0]?.correlationId as number);
  session?.flush();
  await Promise.all([before, after]);
  assert.equal(node.received[1]?.session, node.sessions[1]);
});

conformance('C-5.6', async (t) => {
  const { node, client, clock } = await pair(t, { limits: { idleTimeoutMs: 3000 } });
  clock.advance(1000);
  await node.until(() => node.pings === 1);
  await client.ping();
  clock.advance(1000);
  await node.until(() => node.pings === 3);
  await client.ping();
  const { socket } = node.last;
  socket.pause();
  clock.advance(1000);
  clock.advance(1000);
  await once(client, 'state');
  assert.equal(client.state, 'disconnected');
});

async function take(records: AsyncIterable<TailRecord>, count: number): Promise<TailRecord[]> {
  const taken: TailRecord[] = [];
  for await (const record of records) if (taken.push(record) === count) break;
  return taken;
}

conformance('C-6.1', async (t) => {
  const asked: TailRequest[] = [];
  const { client } = await pair(t, {
    tail: (request, session, correlationId) => {
      asked.push(request);
      const count = asked.length === 2 ? 1 : 0;
      const head = { partition: 1, startOffset: 0, endOffset: 50, nextOffset: 10, count };
      if (asked.length > 2) return;
      if (count === 1) head.nextOffset = 43;
      beginTailAnswer(session.writer, correlationId, head);
      if (count === 1) writeTailRecord(session.writer, { offset: 42, timestampMs: 1, value: null });
      session.writer.end();
    },
  });
  const [record] = await take(client.tail('orders', { from: 'beginning', partition: 1 }), 1);
  assert.equal(record?.offset, 42);
  assert.deepEqual(asked.map(({ from, position }) => [from, position]).slice(0, 2), [
    [1, 0],
    [0, 10],
  ]);
});

/** Answers the first poll with three records of different making. */
const threeRecords = {
  tail: (request: TailRequest, session: FakeNode['last'], correlationId: number): void => {
    if (request.from !== 1) return;
    const { writer } = session;
    const head = { partition: 0, startOffset: 0, endOffset: 3, nextOffset: 3, count: 3 };
    beginTailAnswer(writer, correlationId, head);
    const headers = [{ name: 'x'.repeat(300), value: null }];
    writeTailRecord(writer, { offset: 0, timestampMs: 5, headers, value: Buffer.from('a') });
    writeTailRecord(writer, { offset: 1, timestampMs: 5, key: Buffer.alloc(0), value: null });
    const id = { producerId: 0xabn, epoch: 2, sequence: 7 };
    writeTailRecord(writer, { offset: 2, timestampMs: 5, id, value: Buffer.alloc(0) });
    writer.end();
  },
};

conformance('C-6.2', async (t) => {
  const { client } = await pair(t, threeRecords);
  const records = await take(client.tail('orders', { from: 'beginning', partition: 0 }), 3);
  assert.deepEqual(
    records.map(({ id }) => id === undefined),
    [true, true, false],
  );
  assert.deepEqual(records[0]?.headers, [['x'.repeat(300), null]]);
  assert.deepEqual([records[0]?.key, records[1]?.key?.length], [null, 0]);
  assert.deepEqual([records[1]?.value, records[2]?.value?.length], [null, 0]);
});

conformance('C-6.3', async (t) => {
  const { client } = await pair(t, threeRecords);
  const records = await take(client.tail('orders', { from: 'beginning', partition: 0 }), 3);
  assert.equal(records[2]?.id, '00000000000000ab-2-7');
  assert.equal((await client.produce('orders', { value: 'a' })).id, '00000000000000ff-0-1');
});
