import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import { MqpError } from '../../sdk/ts/src/errors.ts';
import type { ClientOptions, TailOptions, TailRecord } from '../../sdk/ts/src/types.ts';
import { startServer, type TestServer } from '../support/start-server.ts';

async function connect(
  t: { after(fn: () => Promise<void>): void },
  server: TestServer,
  options: Partial<ClientOptions> = {},
): Promise<MqpClient> {
  const servers = [`${server.mqp.host}:${server.mqp.port}`];
  const client = await MqpClient.connect({ servers, reconnect: { maxMs: 200 }, ...options });
  t.after(() => client.close({ timeoutMs: 0 }));
  return client;
}

async function read(
  client: MqpClient,
  topic: string,
  count: number,
  options: TailOptions = { from: 'beginning' },
): Promise<TailRecord[]> {
  const records: TailRecord[] = [];
  if (count === 0) return records;
  for await (const record of client.tail(topic, options)) {
    records.push(record);
    if (records.length === count) break;
  }
  return records;
}

const textOf = (bytes: Uint8Array | null): string | null =>
  bytes === null ? null : Buffer.from(bytes).toString();

test('what is produced is read back byte for byte, with its id and place', async (t) => {
  const client = await connect(t, await startServer());
  const binary = Uint8Array.from({ length: 256 }, (_, i) => i);
  const sent = await Promise.all([
    client.produce('orders', { value: 'plain' }),
    client.produce('orders', { value: binary, key: binary, partition: 1 }),
    client.produce('orders', { value: null, key: 'tombstone', headers: [] }),
    client.produce('orders', {
      value: '',
      key: '',
      headers: [
        ['trace', 'ünï'],
        ['trace', null],
        ['empty', ''],
      ],
    }),
  ]);
  const records = new Map((await read(client, 'orders', 4)).map((record) => [record.id, record]));
  for (const result of sent) {
    const record = records.get(result.id);
    assert.deepEqual([record?.partition, record?.offset], [result.partition, result.offset]);
  }
  const [plain, bytes, tombstone, empty] = sent.map(({ id }) => records.get(id) as TailRecord);
  assert.deepEqual([textOf(plain?.value ?? null), plain?.key], ['plain', null]);
  assert.deepEqual([...(bytes?.value ?? [])], [...binary]);
  assert.deepEqual([...(bytes?.key ?? [])], [...binary]);
  assert.equal(bytes?.partition, 1);
  assert.deepEqual([tombstone?.value, textOf(tombstone?.key ?? null)], [null, 'tombstone']);
  assert.deepEqual([empty?.value?.length, empty?.key?.length], [0, 0]);
  assert.deepEqual(
    empty?.headers.map(([name, value]) => [name, textOf(value)]),
    [
      ['trace', 'ünï'],
      ['trace', null],
      ['empty', ''],
    ],
  );
});

test('a node that is killed twice under load holds each message once and in order', async (t) => {
  const server = await startServer();
  const client = await connect(t, server);
  await client.createTopic('orders', { partitions: 1 });
  const total = 20_000;
  let answered = 0;
  const results: Promise<unknown>[] = [];
  const sendAll = async (): Promise<void> => {
    for (let n = 0; n < total; n++) {
      const sent = client.produce('orders', { value: String(n) });
      results.push(
        sent.then(() => {
          answered++;
        }),
      );
      if (n % 50 === 49) await new Promise(setImmediate);
    }
  };
  const sending = sendAll();
  for (const share of [0.2, 0.5]) {
    while (answered < total * share) await new Promise(setImmediate);
    await server.kill('SIGKILL');
    await server.restart();
  }
  await sending;
  await Promise.all(results);
  const values = (await read(client, 'orders', total)).map(({ value }) => Number(textOf(value)));
  assert.deepEqual(
    values,
    Array.from({ length: total }, (_, n) => n),
  );
  const description = await client.describeTopic('orders');
  assert.equal(description.partitions[0]?.endOffset, total, 'and none twice');
});

test('a node that drains and comes back costs its clients no error', async (t) => {
  const server = await startServer();
  const client = await connect(t, server);
  const states: string[] = [];
  client.on('state', (state) => states.push(state));
  const ready = once(client, 'state');
  const results: Promise<unknown>[] = [];
  for (let n = 0; n < 2000; n++) results.push(client.produce('orders', { value: String(n) }));
  const restarted = server.restart();
  await ready;
  for (let n = 0; n < 100; n++) results.push(client.produce('orders', { value: 'during' }));
  await restarted;
  await Promise.all(results);
  assert.equal(states[0], 'draining');
  assert.equal(states.at(-1), 'ready');
});

test('a tail that waits at the end goes on across a restart of the node', async (t) => {
  const server = await startServer();
  const writer = await connect(t, server);
  await writer.createTopic('orders', { partitions: 2 });
  const reader = await connect(t, server);
  const controller = new AbortController();
  const seen: (string | null)[] = [];
  const reading = (async () => {
    const tail = reader.tail('orders', { from: 'beginning', signal: controller.signal });
    for await (const record of tail) {
      seen.push(textOf(record.value));
      if (seen.length === 2) controller.abort();
    }
  })();
  await writer.produce('orders', { value: 'before', partition: 0 });
  await server.restart();
  await writer.produce('orders', { value: 'after', partition: 1 });
  await reading;
  assert.deepEqual(seen.sort(), ['after', 'before']);
});

test('a tail begins at an offset, at a time, or at the end', async (t) => {
  const client = await connect(t, await startServer());
  await client.createTopic('orders', { partitions: 1 });
  for (const value of ['a', 'b', 'c']) await client.produce('orders', { value });
  const [b] = await read(client, 'orders', 1, { from: 1, partition: 0 });
  assert.equal(textOf(b?.value ?? null), 'b');
  const [first] = await read(client, 'orders', 1, { from: new Date(0) });
  assert.equal(textOf(first?.value ?? null), 'a');
  const next = read(client, 'orders', 1, { from: 3 });
  await client.produce('orders', { value: 'd' });
  assert.equal(textOf((await next)[0]?.value ?? null), 'd');
  await assert.rejects(read(client, 'orders', 1, { from: 1000 }), (error: MqpError) => {
    assert.equal(error.code, 'OFFSET_OUT_OF_RANGE');
    return true;
  });
});

test('topics are created, described and listed, and the node tells of itself', async (t) => {
  const client = await connect(t, await startServer());
  const created = await client.createTopic('orders', { partitions: 3 });
  assert.equal(created.partitions.length, 3);
  await assert.rejects(client.createTopic('orders'), { code: 'TOPIC_EXISTS' });
  await assert.rejects(client.describeTopic('absent'), { code: 'UNKNOWN_TOPIC' });
  await assert.rejects(client.produce('no/name', { value: 'x' }), { code: 'INVALID_TOPIC' });
  await client.createTopic('other');
  const names = (await client.listTopics()).map(({ name }) => name);
  assert.deepEqual(names, ['orders', 'other']);
  assert.deepEqual(await client.listTopics('or'), [{ name: 'orders', partitions: 3 }]);
  assert.equal((await client.openTopic('orders')).partitions, 3);
  assert.ok((await client.ping()) >= 0);
  assert.equal(typeof (await client.status()), 'object');
  assert.equal(client.node?.backend, 'embedded');
});

test('a newer epoch of a producer fences the older one for good', async (t) => {
  const server = await startServer();
  const old = await connect(t, server, { producerId: 77n, epoch: 1 });
  await old.produce('orders', { value: 'a' });
  const fenced = once(old, 'fenced');
  const young = await connect(t, server, { producerId: 77n, epoch: 2 });
  await fenced;
  assert.equal(old.state, 'closed');
  await assert.rejects(old.produce('orders', { value: 'b' }), { code: 'FENCED' });
  await young.produce('orders', { value: 'c' });
  await assert.rejects(connect(t, server, { producerId: 77n, epoch: 1 }), { code: 'FENCED' });
});

test('a producer that comes back with its id goes on behind its last sequence', async (t) => {
  const server = await startServer();
  const first = await connect(t, server, { producerId: 78n });
  await first.produce('orders', { value: 'a' });
  await first.close();
  const second = await connect(t, server, { producerId: 78n });
  assert.equal((await second.produce('orders', { value: 'b' })).id, '000000000000004e-0-2');
});

test('the embedded backend refuses replicated and says so with a code', async (t) => {
  const client = await connect(t, await startServer());
  const refused = client.produce('orders', { value: 'a' }, { ack: 'replicated' });
  await assert.rejects(refused, (error: MqpError) => {
    assert.ok(error instanceof MqpError);
    assert.deepEqual([error.code, error.isRetriable], ['NOT_SUPPORTED', false]);
    return true;
  });
  assert.equal((await client.produce('orders', { value: 'b' })).ack, 'stored');
});
