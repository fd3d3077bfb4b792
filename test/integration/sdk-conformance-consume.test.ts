import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import {
  CANCEL_DELAYED,
  type DelayedRef,
  type DelayOutcome,
  MOVE_DELAYED,
} from '../../protocol/src/delayed.ts';
import { DueKind, ErrorCode, Opcode } from '../../protocol/src/generated.ts';
import { CANCEL_SERIES, SCHEDULE_SERIES } from '../../protocol/src/series.ts';
import type { ConsumedMessage, SubscribeOptions } from '../../sdk/ts/src/consume-types.ts';
import type { Consumer } from '../../sdk/ts/src/consumer.ts';
import { codeOf, conformance, type Parts, pair } from '../unit/sdk/conformance.ts';
import { FakeGroup } from '../unit/sdk/fake-group.ts';
import type { FakeNode } from '../unit/sdk/fake-node.ts';

interface ConsumeParts extends Parts {
  readonly group: FakeGroup;
}

const ORDERS: SubscribeOptions = { group: 'billing', topics: ['orders'] };

async function consuming(t: TestContext): Promise<ConsumeParts> {
  let node: FakeNode | undefined;
  const group = new FakeGroup(() => node as FakeNode);
  const parts = await pair(t, group.script);
  node = parts.node;
  return { ...parts, group };
}

async function read(consumer: Consumer, count: number): Promise<ConsumedMessage[]> {
  const iterator = consumer[Symbol.asyncIterator]();
  const messages: ConsumedMessage[] = [];
  while (messages.length < count) {
    messages.push((await iterator.next()).value as ConsumedMessage);
  }
  return messages;
}

const text = ({ value }: ConsumedMessage) => Buffer.from(value ?? '').toString();

conformance('C-7.1', async (t) => {
  const { node, group, client } = await consuming(t);
  const script = node.script.other;
  node.script.other = (frame, session) => {
    const isKnown = script?.(frame, session) ?? false;
    // Written after the answer, into the same buffer.
    if (frame.opcode === Opcode.SUBSCRIBE) group.deliver(['at once'], {}, session);
    return isKnown;
  };
  const [message] = await read(await client.subscribe(ORDERS), 1);
  assert.equal(text(message as ConsumedMessage), 'at once');
});

conformance('C-7.2', async (t) => {
  const { group, client } = await consuming(t);
  const consumer = await client.subscribe(ORDERS);
  group.deliver(['a', 'b'], { attempts: [1, 65_535] });
  group.deliver(['c'], { topic: 'refunds', cluster: 1, partition: 9, firstOffset: 7, token: 2 });
  const messages = await read(consumer, 3);
  assert.deepEqual(
    messages.map((m) => [m.topic, m.cluster, m.partition, m.offset, m.attempt, text(m)]),
    [
      ['orders', 'primary', 0, 100, 1, 'a'],
      ['orders', 'primary', 0, 101, 65_535, 'b'],
      ['refunds', 'backup', 9, 7, 1, 'c'],
    ],
  );
});

conformance('C-7.3', async (t) => {
  const { group, client } = await consuming(t);
  const consumer = await client.subscribe(ORDERS);
  group.deliver(['a', 'b', 'c'], { token: 1 });
  group.deliver(['d'], { token: 2, firstOffset: 900 });
  const messages = await read(consumer, 4);
  await Promise.all([3, 2, 0].map((i) => messages[i]?.ack()));
  assert.deepEqual(
    group.settles.map(({ entries }) => entries),
    [
      [
        { token: 2, indexes: [0] },
        { token: 1, indexes: [2, 0] },
      ],
    ],
  );
});

conformance('C-7.4', async (t) => {
  const { group, client } = await consuming(t);
  const consumer = await client.subscribe(ORDERS);
  group.deliver(['a', 'b'], { token: 1 });
  group.deliver(['c', 'd'], { token: 2 });
  group.settle = () => [{ entry: 1, index: 0, code: ErrorCode.BAD_TOKEN }];
  const messages = await read(consumer, 4);
  const codes = await Promise.all(messages.map((message) => codeOf(message.ack())));
  assert.deepEqual(codes, [undefined, undefined, 'BAD_TOKEN', undefined]);
});

conformance('C-7.5', async (t) => {
  const { node, group, client } = await consuming(t);
  const consumer = await client.subscribe(ORDERS);
  group.deliver(['a', 'b'], { token: 5 });
  const [a, b] = await read(consumer, 2);
  group.settle = () => 'hold';
  const unanswered = a?.ack();
  await node.until(() => group.settles.length === 1);
  group.settle = undefined;
  node.last.cut();
  await Promise.all([unanswered, b?.ack()]);
  assert.equal(group.subscribes.length, 2);
  const acked = group.settles.slice(1).filter(({ opcode }) => opcode === Opcode.ACK);
  assert.ok(acked.every(({ entries }) => entries.every(({ token }) => token === 5)));
  assert.deepEqual(
    acked.flatMap(({ entries }) => entries.flatMap((e) => e.indexes)).sort(),
    [0, 1],
  );
});

conformance('C-7.6', async (t) => {
  const { group, client } = await consuming(t);
  const consumer = await client.subscribe(ORDERS);
  group.deliver(['a']);
  const iterator = consumer[Symbol.asyncIterator]();
  group.settle = () => [{ entry: 0, index: 0, code: ErrorCode.LEASE_LOST }];
  const first = (await iterator.next()).value as ConsumedMessage;
  assert.equal(await codeOf(first.ack()), 'LEASE_LOST');
  group.deliver(['a'], { attempts: [2], token: 2 });
  const again = (await iterator.next()).value as ConsumedMessage;
  assert.deepEqual([again.attempt, consumer.state], [2, 'active']);
});

conformance('C-7.7', async (t) => {
  const { node, group, client } = await consuming(t);
  const consumer = await client.subscribe(ORDERS);
  consumer.on('state', () => node.notify());
  group.assign({ assigned: 0 });
  await node.until(() => consumer.state === 'waiting');
  assert.equal(group.subscribes.length, 1);
  const busy = { code: ErrorCode.BACKEND_UNAVAILABLE, message: 'a moment' };
  group.assign({ assigned: 0, ended: busy });
  await node.until(() => group.subscribes.length === 2);
  await node.until(() => consumer.state === 'active');
  const step = consumer[Symbol.asyncIterator]().next();
  group.assign({ assigned: 0, ended: { code: ErrorCode.UNKNOWN_TOPIC, message: 'gone' } });
  assert.equal(await codeOf(step), 'UNKNOWN_TOPIC');
});

conformance('C-7.8', async (t) => {
  const { group, client } = await consuming(t);
  const consumer = await client.subscribe(ORDERS);
  group.deliver(['foreign'], { subscription: 99 });
  group.deliver(['own']);
  const [message] = await read(consumer, 1);
  assert.equal(text(message as ConsumedMessage), 'own');
});

conformance('C-7.9', async (t) => {
  const { node, group, client, clock } = await consuming(t);
  const consumer = await client.subscribe({ ...ORDERS, leaseMs: 3000 });
  void consumer.run(() => new Promise(() => {}));
  group.deliver(['slow']);
  while (consumer.heldMessages === 0) await new Promise(setImmediate);
  clock.advance(2000);
  await node.until(() => group.indexesOf(Opcode.EXTEND).length === 1);
  assert.equal(group.settles[0]?.leaseMs, 3000);
});

conformance('C-7.10', async (t) => {
  const { node, group, client } = await consuming(t);
  const consumer = await client.subscribe(ORDERS);
  group.deliver(['a', 'b']);
  const [a] = await read(consumer, 2);
  group.settle = () => 'hold';
  void a?.ack();
  const closed = consumer.close();
  await node.until(() => group.settles.length === 1);
  assert.deepEqual(group.unsubscribes, []);
  const [settle] = group.settles;
  assert.ok(settle);
  group.answer(settle);
  await closed;
  assert.deepEqual(group.unsubscribes, [1]);
});

conformance('C-8.1', async (t) => {
  const { node, client } = await pair(t);
  const key = 'k';
  await Promise.all([
    client.produce('orders', { value: 'a', delayMs: 15_000 }),
    client.produce('orders', { value: 'b', dueAtMs: 2 ** 40, key, unique: true, ifAbsent: true }),
    client.produce('orders', { value: 'c', levelMs: 60_000 }),
    client.produce('orders', { value: 'd' }),
  ]);
  assert.deepEqual(
    node.received.map(({ message: { due } }) => due),
    [
      { kind: DueKind.DELAY, due: 15_000 },
      { kind: DueKind.TIME, due: 2 ** 40, unique: true, ifAbsent: true },
      { kind: DueKind.LEVEL, due: 60_000 },
      undefined,
    ],
  );
});

conformance('C-8.2', async (t) => {
  const { client } = await pair(t, { produce: () => ({ acceptedMs: 1_000 }) });
  const [plain, unique, same] = await Promise.all([
    client.produce('orders', { value: 'a', delayMs: 500 }),
    client.produce('orders', { value: 'b', dueAtMs: 7_000, key: 'k', unique: true }),
    client.produce('orders', { value: 'c', delayMs: 1, key: Buffer.from('k'), unique: true }),
  ]);
  assert.deepEqual([plain?.dueAtMs, unique?.dueAtMs, same?.dueAtMs], [1_500, 7_000, 1_001]);
  assert.match(
    plain?.delayId ?? '',
    /^d1-01[0-9a-f]{2}000000000000(00000000000000ff0000[0-9a-f]{12})$/,
  );
  assert.match(unique?.delayId ?? '', /^d1-01[0-9a-f]{2}01[0-9a-f]{42}$/);
  assert.equal(unique?.delayId, same?.delayId, 'topic and key are the id');
});

/** A client, and what it asked of delayed messages; the script answers with `outcome`. */
async function delaying(t: TestContext, outcome: () => DelayOutcome) {
  const asked: DelayedRef[] = [];
  const parts = await pair(t, {
    features: ['delay'],
    other: (frame, { writer }) => {
      const message = frame.opcode === Opcode.CANCEL_DELAYED ? CANCEL_DELAYED : MOVE_DELAYED;
      const { id, topic, key } = message.decode(frame);
      asked.push({ id, topic, key: key === undefined ? undefined : Buffer.from(key).toString() });
      message.encodeAnswer(writer, frame.correlationId, { outcome: outcome() });
      return true;
    },
  });
  return { ...parts, asked };
}

conformance('C-8.3', async (t) => {
  const { client, asked } = await delaying(t, () => 'cancelled');
  const id = `d1-${'01'.padEnd(48, '0')}`;
  await client.delayed.cancel({ id });
  await client.delayed.cancel({ topic: 'orders', key: 'k' });
  await client.delayed.move({ topic: 'orders', key: Buffer.from('b'), dueMs: 5 });
  assert.deepEqual(asked, [
    { id, topic: undefined, key: undefined },
    { id: undefined, topic: 'orders', key: 'k' },
    { id: undefined, topic: 'orders', key: 'b' },
  ]);
});

conformance('C-8.4', async (t) => {
  const outcomes = ['cancelled', 'tooLate', 'notFound', 'accepted'] as const;
  let nth = 0;
  const { client } = await delaying(t, () => outcomes[nth++ % 4] as DelayOutcome);
  const ref = { topic: 'orders', key: 'k' };
  const told: string[] = [];
  for (const _ of outcomes) told.push(await client.delayed.cancel(ref));
  assert.deepEqual(told, [...outcomes]);
  assert.deepEqual((await client.delayed.move({ ...ref, delayMs: 5 })).outcome, 'cancelled');
});

conformance('C-8.5', async (t) => {
  const asked: object[] = [];
  const { client } = await pair(t, {
    features: ['delay', 'series'],
    other: (frame, { writer }) => {
      const { opcode, correlationId } = frame;
      if (opcode === Opcode.CANCEL_SERIES) {
        asked.push(CANCEL_SERIES.decode(frame));
        CANCEL_SERIES.encodeAnswer(writer, correlationId, { outcome: 'cancelled' });
        return true;
      }
      const { every, value, ...rest } = SCHEDULE_SERIES.decode(frame);
      const text = value === null ? null : Buffer.from(value).toString();
      asked.push({ every, value: text, count: rest.count, missed: rest.missed });
      SCHEDULE_SERIES.encodeAnswer(writer, correlationId, { series: 's', nextMs: 7 });
      return true;
    },
  });
  const { series } = client.delayed;
  const cron = { cron: '0 3 * * *', timeZone: 'Europe/Berlin' };
  const growing = { firstMs: 1_000, factor: 1.5, maxMs: 60_000 };
  const base = { topic: 'orders', value: 'v' };
  await series.schedule({ ...base, every: { intervalMs: 1_000 }, count: 3, missed: 'all' });
  await series.schedule({ ...base, every: cron, series: 's' });
  const answer = await series.schedule({ ...base, every: growing, value: null });
  assert.deepEqual(answer, { series: 's', nextMs: 7 });
  assert.equal(await series.cancel('s'), 'cancelled');
  assert.equal(await series.cancel('s', 7), 'cancelled');
  const none = { count: undefined, missed: undefined };
  assert.deepEqual(asked, [
    { every: { intervalMs: 1_000 }, value: 'v', count: 3, missed: 'all' },
    { every: cron, value: 'v', ...none },
    { every: growing, value: null, ...none },
    { series: 's', number: undefined },
    { series: 's', number: 7 },
  ]);
});
