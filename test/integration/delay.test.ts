import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MqpClient } from '../../sdk/ts/src/client.ts';
import { connect } from '../support/connect.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

interface Arrived {
  readonly value: string;
  readonly id: string | undefined;
  readonly timestampMs: number;
  readonly key: string | undefined;
}

/** Reads a topic until `enough`; closes its stream afterwards. */
async function readUntil(
  client: MqpClient,
  topic: string,
  enough: (arrived: readonly Arrived[]) => boolean,
): Promise<Arrived[]> {
  const arrived: Arrived[] = [];
  for await (const record of client.tail(topic, { from: 'beginning' })) {
    arrived.push({
      value: Buffer.from(record.value ?? '').toString(),
      id: record.id,
      timestampMs: record.timestampMs,
      key: record.key === null ? undefined : Buffer.from(record.key).toString(),
    });
    if (enough(arrived)) break;
  }
  return arrived;
}

test('a delayed message arrives when it is due, not before, with its id, key and headers', async () => {
  const server = await startServer();
  const client = await connect(server);
  const topic = uniqueTopic('due');
  await client.createTopic(topic, { partitions: 1 });
  await client.produce(topic, { value: 'now' });
  const beforeMs = Date.now();
  const past = await client.produce(topic, { value: 'past', dueAtMs: beforeMs - 5_000 });
  const sent = await client.produce(topic, { value: 'later', key: 'k', delayMs: 1_200 });
  assert.match(sent.delayId ?? '', /^d1-[0-9a-f]{48}$/);
  assert((sent.dueAtMs ?? 0) >= beforeMs + 1_200);
  const [first, second, third] = await readUntil(client, topic, (all) => all.length === 3);
  assert.equal(first?.value, 'now');
  assert.deepEqual([second?.value, second?.id], ['past', past.id]);
  assert.deepEqual([third?.value, third?.key, third?.id], ['later', 'k', sent.id]);
  assert((third?.timestampMs ?? 0) >= (sent.dueAtMs ?? 0), 'never early');
  await client.close();
});

test('what waits is listed, shown, moved and cancelled, by id and by topic and key', async () => {
  const server = await startServer();
  const client = await connect(server);
  const topic = uniqueTopic('change');
  const hour = 3_600_000;
  const a = await client.produce(topic, { value: 'a', delayMs: hour });
  const b = await client.produce(topic, { value: 'b', delayMs: 2 * hour });
  await client.produce(topic, { value: 'c1', key: 'c', delayMs: hour, unique: true });
  const c = await client.produce(topic, { value: 'c2', key: 'c', delayMs: 3 * hour, unique: true });
  const absent = { value: 'c3', key: 'c', delayMs: 1, unique: true, ifAbsent: true };
  assert.equal((await client.produce(topic, absent)).delayId, c.delayId);
  const level = await client.produce(topic, { value: 'l', levelMs: 7_200_000 });
  const ids = async () => (await client.delayed.list({ topic })).delays.map(({ id }) => id);
  await until(async () => (await ids()).length === 4, { what: 'four delays are listed' });
  assert.deepEqual(await ids(), [a.delayId, b.delayId, level.delayId, c.delayId]);

  const shown = await client.delayed.get({ topic, key: 'c' });
  assert.equal(Buffer.from(shown.value ?? '').toString(), 'c2');
  assert.equal(shown.dueMs, c.dueAtMs);
  const page = await client.delayed.list({ topic, limit: 3 });
  const rest = await client.delayed.list({ topic, limit: 3, cursor: page.cursor ?? '' });
  assert.equal(page.delays.length + rest.delays.length, 4);

  assert.equal(await client.delayed.cancel({ id: a.delayId ?? '' }), 'cancelled');
  assert.equal(await client.delayed.cancel({ id: a.delayId ?? '' }), 'notFound');
  assert.equal((await client.delayed.move({ topic, key: 'c', delayMs: 50 })).outcome, 'moved');
  const last = await readUntil(client, topic, (all) => all.length === 1);
  assert.deepEqual(
    last.map(({ value }) => value),
    ['c2'],
  );
  const moved = await client.delayed.move({ id: b.delayId ?? '', dueMs: Date.now() + 9 * hour });
  assert.equal(moved.outcome, 'moved');
  await assert.rejects(client.delayed.cancel({ id: level.delayId ?? '' }), {
    code: 'NOT_SUPPORTED',
  });
  await assert.rejects(client.delayed.move({ id: level.delayId ?? '', delayMs: 1 }), {
    code: 'NOT_SUPPORTED',
  });
  await assert.rejects(client.delayed.get({ id: a.delayId ?? '' }), { code: 'NOT_FOUND' });
  const far = { id: b.delayId ?? '', dueMs: Date.now() + 401 * 24 * hour };
  await assert.rejects(client.delayed.move(far), { code: 'BEYOND_HORIZON' });
  await until(async () => (await ids()).length === 2, { what: 'two are left' });
  await client.close();
});

test('due times that are not allowed are refused in words, the rest is taken', async () => {
  const server = await startServer();
  const client = await connect(server);
  const topic = uniqueTopic('edge');
  const day = 86_400_000;
  const refused = (input: object, code: string, message: RegExp) =>
    assert.rejects(client.produce(topic, { value: 'v', ...input }), { code, message });
  const noTimes = [Number.NaN, -1, 1.5, 2 ** 53, Number.POSITIVE_INFINITY];
  const most = await client.produce(topic, { value: 'far', delayMs: 400 * day });
  const id = most.delayId ?? '';
  await until(async () => (await client.delayed.list({ topic })).delays.length === 1);
  for (const [field, ofMove, fromMs] of [
    ['delayMs', 'delayMs', day],
    ['dueAtMs', 'dueMs', Date.now() + day],
  ] as const) {
    for (const value of noTimes) {
      await refused({ [field]: value }, 'INVALID_ARGUMENT', /whole number of milliseconds/);
      const moved = client.delayed.move({ id, [ofMove]: value });
      const message = new RegExp(`${ofMove} must be an integer`);
      await assert.rejects(moved, { code: 'INVALID_ARGUMENT', message }, `${ofMove} ${value}`);
    }
    for (const value of [fromMs + 400 * day, Number.MAX_SAFE_INTEGER]) {
      await refused({ [field]: value }, 'BEYOND_HORIZON', /400 days/);
      const moved = client.delayed.move({ id, [ofMove]: value });
      await assert.rejects(moved, { code: 'BEYOND_HORIZON', message: /400 days/ });
    }
  }
  await refused({ delayMs: 400 * day + 1 }, 'BEYOND_HORIZON', /400 days/);
  await refused({ levelMs: 1_234 }, 'INVALID_ARGUMENT', /./);
  await client.produce('other', { value: 'far', dueAtMs: Date.now() + 400 * day });
  await client.produce(topic, { value: 'at once', delayMs: 0 });
  const arrived = await readUntil(client, topic, (all) => all.length === 1);
  assert.equal(arrived[0]?.value, 'at once');
  assert.equal(await client.delayed.cancel({ id }), 'cancelled');
  await client.close();
});
