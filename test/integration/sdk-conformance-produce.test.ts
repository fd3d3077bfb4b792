import assert from 'node:assert/strict';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { MqpError } from '../../sdk/ts/src/errors.ts';
import type { ProduceResult } from '../../sdk/ts/src/types.ts';
import { codeOf, conformance, pair } from '../unit/sdk/conformance.ts';

const letters = (count: number): string[] => Array.from({ length: count }, (_, i) => String(i));

conformance('C-4.1', async (t) => {
  const { node, client } = await pair(t, { lastSequence: 41 });
  await Promise.all(letters(100).map((value) => client.produce('orders', { value })));
  assert.deepEqual(
    node.received.map(({ sequence }) => sequence),
    letters(100).map((value) => 42 + Number(value)),
  );
  assert.deepEqual(node.values, letters(100));
});

// The ids of this client are below 2^31 and begin again at 1, so that no run of them can go over
// 2^32; where they turn is tested in test/unit/sdk/correlations.test.ts.
conformance('C-4.2', async (t) => {
  const { node, client } = await pair(t, { produce: () => 'hold' });
  const sent = letters(5000).map((value) => client.produce('orders', { value }));
  await node.until(() => node.received.length === 5000);
  const first = node.received[0]?.correlationId as number;
  node.last.plain(first, 4999);
  node.last.plain(first + 4999, 1);
  node.last.flush();
  const ids = new Set((await Promise.all(sent)).map(({ id }) => id));
  assert.equal(ids.size, 5000);
});

conformance('C-4.3', async (t) => {
  const { client } = await pair(t, {
    produce: ({ sequence }) => ({
      partition: 7,
      offset: sequence === 3 ? -1 : 100 + sequence,
      cluster: 0,
    }),
  });
  const sent = letters(3).map((value) => client.produce('orders', { value }));
  assert.deepEqual(
    (await Promise.all(sent)).map(({ partition, offset, cluster }) => [partition, offset, cluster]),
    [
      [7, 101, 'primary'],
      [7, 102, 'primary'],
      [7, undefined, 'primary'],
    ],
  );
});

conformance('C-4.4', async (t) => {
  const { node, client } = await pair(t, { produce: () => 'hold' });
  const sent = letters(4).map((value) =>
    client.produce('orders', { value }).catch((error: unknown) => error),
  );
  await node.until(() => node.received.length === 4);
  const first = node.received[0]?.correlationId as number;
  node.last.refuse(first + 1, ErrorCode.UNDELIVERABLE, 0, 2);
  node.last.plain(first);
  node.last.plain(first + 3);
  node.last.flush();
  const told = (await Promise.all(sent)) as (ProduceResult | MqpError)[];
  const refused = told.map((each) => (each instanceof MqpError ? each.code : 'ok'));
  assert.deepEqual(refused, ['ok', 'UNDELIVERABLE', 'UNDELIVERABLE', 'ok']);
  assert.equal((told[1] as MqpError).isRetriable, false);
});

conformance('C-4.5', async (t) => {
  const { node, client } = await pair(t, {
    produce: ({ sequence }) =>
      sequence === 1 ? { code: ErrorCode.UNKNOWN_PARTITION, detail: 0 } : 'ok',
  });
  const bad = client.produce('orders', { value: 'bad', partition: 99 });
  const good = client.produce('orders', { value: 'good' });
  assert.equal(await codeOf(bad), 'UNKNOWN_PARTITION');
  assert.equal((await good).id, '00000000000000ff-0-2');
  assert.deepEqual(node.values, ['bad', 'good']);
});

conformance('C-4.6', async (t) => {
  let refusals = 1;
  let expected = 1;
  const { node, client, clock } = await pair(t, {
    produce: ({ sequence }) => {
      if (sequence !== expected) return { code: ErrorCode.OUT_OF_SEQUENCE, detail: expected };
      if (sequence === 2 && refusals-- > 0) return { code: ErrorCode.RETRY_LATER, detail: 100 };
      expected++;
      return 'ok';
    },
  });
  const sent = letters(4).map((value) => client.produce('orders', { value }));
  await sent[0];
  await client.ping();
  clock.advance(100);
  await Promise.all(sent);
  assert.deepEqual(
    node.received.map(({ sequence }) => sequence),
    [1, 2, 3, 4, 2, 3, 4],
  );
});

conformance('C-4.7', async (t) => {
  let isLost = true;
  const { node, client } = await pair(t, {
    produce: ({ sequence }) => {
      // The node has lost the answers of 2 and 3, and with them what it knew.
      if (sequence < 4 && isLost) return sequence === 1 ? 'ok' : 'hold';
      if (!isLost) return 'ok';
      isLost = false;
      return { code: ErrorCode.OUT_OF_SEQUENCE, detail: 2 };
    },
  });
  await Promise.all(letters(4).map((value) => client.produce('orders', { value })));
  assert.deepEqual(
    node.received.map(({ sequence }) => sequence),
    [1, 2, 3, 4, 2, 3, 4],
  );
});

conformance('C-4.8', async (t) => {
  const { node, client } = await pair(t);
  await Promise.all(letters(50).map((value) => client.produce('orders', { value })));
  const [first] = node.received;
  for (const [i, each] of node.received.entries()) {
    assert.equal(each.isBatch, true);
    assert.equal(each.sequence, (first?.sequence as number) + i);
    assert.equal(each.correlationId, (first?.correlationId as number) + i);
  }
});

conformance('C-4.9', async (t) => {
  const { node, client } = await pair(t);
  await client.produce('orders', { value: null, headers: [['h', null]] });
  await client.produce('orders', { value: '', key: '', headers: [['h', '']] });
  const seen = node.received.map(({ message }) => [
    message.value?.length,
    message.key?.length,
    message.headers[0]?.value?.length,
  ]);
  assert.deepEqual(seen, [
    [undefined, undefined, undefined],
    [0, 0, 0],
  ]);
});
