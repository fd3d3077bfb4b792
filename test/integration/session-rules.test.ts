import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { RawClient, readAll } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';

const WINDOW = 65_536;
const isCode = (code: number) => (error: unknown) => (error as { code: number }).code === code;

const server = await startServer();
let nextProducer = 1n;

/** A producer of its own on a topic of its own. */
async function producer(more: { unordered?: boolean } = {}) {
  const hello = { producerId: nextProducer++, ...more };
  const client = await RawClient.connect(server.mqp, hello);
  const name = uniqueTopic('rules');
  const { topicId: topic } = await client.open(name);
  return { client, topic, name, hello };
}

const names = (outcomes: readonly { name: string }[]) => outcomes.map(({ name }) => name);

test('a connection of the same epoch takes over, and the older one is fenced', async () => {
  const { client, topic, name, hello } = await producer();
  await client.produce({ topic, first: 1, values: ['a', 'b'] });
  const newer = await RawClient.connect(server.mqp, hello);
  assert.equal((await client.untilClosed())?.code, ErrorCode.FENCED);
  assert.equal(newer.hello?.lastSequence, 2);
  const { topicId } = await newer.open(name);
  assert.deepEqual(names(await newer.produce({ topic: topicId, first: 3, values: ['c'] })), ['OK']);
});

test('a newer epoch fences the older session, and an older epoch gets no further', async () => {
  const { client, name, hello } = await producer();
  const newer = await RawClient.connect(server.mqp, { ...hello, epoch: 5 });
  assert.equal((await client.untilClosed())?.code, ErrorCode.FENCED);
  assert.equal(newer.hello?.lastSequence, 0);
  await assert.rejects(
    RawClient.connect(server.mqp, { ...hello, epoch: 4 }),
    isCode(ErrorCode.FENCED),
  );
  // The refused one disturbed nobody, and the new epoch begins its own sequences.
  const { topicId: topic } = await newer.open(name);
  assert.deepEqual(names(await newer.produce({ topic, first: 1, values: ['x'] })), ['OK']);
});

test('a fenced connection that goes on sending is not stored', async () => {
  const { client, topic, name, hello } = await producer();
  const newer = await RawClient.connect(server.mqp, { ...hello, epoch: 1 });
  client.send({ topic, first: 1, values: Array.from({ length: 50 }, () => 'zombie') });
  await client.untilClosed();
  const { topicId } = await newer.open(name);
  await newer.produce({ topic: topicId, first: 1, values: ['mine'] });
  const values = (await readAll(server.mqp, name)).map(({ value }) => value.toString());
  assert.deepEqual(values, ['mine']);
});

test('what comes after a gap is OUT_OF_SEQUENCE and names the one expected', async () => {
  const { client, topic, name } = await producer();
  await client.produce({ topic, first: 1000, values: ['a'] });
  const outcomes = await client.produce({ topic, first: 1003, values: ['d', 'e'], batch: true });
  for (const { name: code, detail } of outcomes) {
    assert.equal(code, 'OUT_OF_SEQUENCE');
    assert.equal(detail, 1001);
  }
  const rest = await client.produce({ topic, first: 1001, values: ['b', 'c', 'd', 'e'] });
  assert.deepEqual(names(rest), ['OK', 'OK', 'OK', 'OK']);
  assert.equal((await readAll(server.mqp, name)).length, 5);
});

test('a message refused for good is passed over, and then too old', async () => {
  const { client, topic } = await producer();
  const big = Buffer.alloc(1024 * 1024 + 1);
  const outcomes = await client.produce({ topic, first: 1, values: ['a', big, 'c'] });
  assert.deepEqual(names(outcomes), ['OK', 'MESSAGE_TOO_LARGE', 'OK']);
  const again = await client.produce({ topic, first: 2, values: ['smaller', 'c'] });
  assert.deepEqual(names(again), ['SEQUENCE_TOO_OLD', 'OK']);
});

test('a sequence behind the window is SEQUENCE_TOO_OLD, one inside it a duplicate', async () => {
  const { client, topic, name } = await producer();
  const values = Array.from({ length: 1024 }, () => 'v');
  for (let first = 1; first <= WINDOW + 1024; first += values.length) {
    await client.produce({ topic, first, values, batch: true });
  }
  const highest = WINDOW + 1024;
  const oldest = highest - WINDOW + 1;
  const outcomes = await client.produce({ topic, first: oldest - 1, values: ['x', 'y'] });
  assert.deepEqual(names(outcomes), ['SEQUENCE_TOO_OLD', 'OK']);
  assert.equal((await readAll(server.mqp, name)).length, highest);
});

test('below the first sequence of an ordered session everything is too old', async () => {
  const { client, topic } = await producer();
  await client.produce({ topic, first: 500, values: ['a'] });
  assert.deepEqual(names(await client.produce({ topic, first: 499, values: ['b'] })), [
    'SEQUENCE_TOO_OLD',
  ]);
});

test('an unordered session takes sequences as they come, each once', async () => {
  const { client, topic, name } = await producer({ unordered: true });
  const order = [300, 5, 299, 301, 5, 300, 40_000, 41, 1];
  for (const first of order) {
    const outcomes = await client.produce({ topic, first, values: [`n${first}`] });
    assert.deepEqual(names(outcomes), ['OK'], `sequence ${first}`);
  }
  const found = (await readAll(server.mqp, name)).map(({ sequence }) => sequence);
  assert.deepEqual(
    found.toSorted((a, b) => a - b),
    [...new Set(order)].toSorted((a, b) => a - b),
  );
  await client.produce({ topic, first: 40_000 + WINDOW, values: ['far'] });
  assert.deepEqual(names(await client.produce({ topic, first: 302, values: ['late'] })), [
    'SEQUENCE_TOO_OLD',
  ]);
});

test('a topic that was not opened passes the message over', async () => {
  const { client, topic } = await producer();
  await client.produce({ topic, first: 1, values: ['a'] });
  const outcomes = await client.produce({ topic: 77, first: 2, values: ['b', 'c'] });
  assert.deepEqual(names(outcomes), ['TOPIC_NOT_OPEN', 'TOPIC_NOT_OPEN']);
  assert.deepEqual(names(await client.produce({ topic, first: 4, values: ['d'] })), ['OK']);
});

test('an unknown partition is refused, a known one is kept', async () => {
  const { client, topic } = await producer();
  const run = { topic, values: ['a'] };
  const [far] = await client.produce({ ...run, first: 1, partition: 4 });
  assert.equal(far?.name, 'UNKNOWN_PARTITION');
  const [near] = await client.produce({ ...run, first: 2, partition: 3 });
  assert.deepEqual([near?.name, near?.partition, near?.offset], ['OK', 3, 0]);
});

test('replicated is refused by the embedded log, and the session goes on', async () => {
  const { client, topic } = await producer();
  const outcomes = await client.produce({ topic, first: 1, values: ['a'], replicated: true });
  assert.deepEqual(names(outcomes), ['NOT_SUPPORTED']);
  assert.deepEqual(names(await client.produce({ topic, first: 2, values: ['b'] })), ['OK']);
});
