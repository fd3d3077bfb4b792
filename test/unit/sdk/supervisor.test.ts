import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { MqpClient } from '../../../sdk/ts/src/client.ts';
import type { ClientOptions, NodeChange } from '../../../sdk/ts/src/types.ts';
import { FakeClock, fixedRandom } from './fake-clock.ts';
import { FakeNode, type FakeScript } from './fake-node.ts';

interface Two {
  readonly first: FakeNode;
  readonly second: FakeNode;
  readonly client: MqpClient;
  readonly clock: FakeClock;
  readonly changes: NodeChange[];
}

/** A client of two nodes, connected to the first. */
async function two(
  t: TestContext,
  options: Partial<ClientOptions> = {},
  script: FakeScript = {},
): Promise<Two> {
  const first = await FakeNode.start({ nodeId: 'first', ...script });
  const second = await FakeNode.start({ nodeId: 'second' });
  const clock = new FakeClock();
  const client = await MqpClient.connect(
    { servers: [first.address, second.address], producerId: 1n, ...options },
    { clock, random: fixedRandom(0.5) },
  );
  const changes: NodeChange[] = [];
  client.on('nodeChanged', (change) => changes.push(change));
  t.after(async () => {
    await client.close({ timeoutMs: 0 });
    await first.close();
    await second.close();
  });
  return { first, second, client, clock, changes };
}

/** Lets time pass, and the sockets with it, until `isThere`. */
async function pass(clock: FakeClock, stepMs: number, isThere: () => boolean): Promise<void> {
  for (let turns = 0; !isThere() && turns < 100_000; turns++) {
    await new Promise(setImmediate);
    if (turns % 20 === 19) clock.advance(stepMs);
  }
  assert.ok(isThere());
}

test('connect goes on to the next address when one cannot be reached', async (t) => {
  const gone = await FakeNode.start();
  const { address } = gone;
  await gone.close();
  const node = await FakeNode.start({ nodeId: 'there' });
  t.after(() => node.close());
  const client = await MqpClient.connect(
    { servers: [address, node.address] },
    { clock: new FakeClock(), random: fixedRandom(0.5) },
  );
  t.after(() => client.close({ timeoutMs: 0 }));
  assert.equal(client.node?.nodeId, 'there');
});

test('connect is rejected as CONNECT_FAILED when nobody answers in time', async () => {
  const gone = await FakeNode.start();
  const { address } = gone;
  await gone.close();
  const clock = new FakeClock();
  const connecting = MqpClient.connect(
    { servers: [address], connectTimeoutMs: 3000 },
    { clock, random: fixedRandom(0.5) },
  );
  let code: string | undefined;
  const told = connecting.catch((error: { code: string }) => {
    code = error.code;
  });
  await pass(clock, 100, () => code !== undefined);
  await told;
  assert.equal(code, 'CONNECT_FAILED');
});

test('an ordered client waits for its node while messages there were only stored', async (t) => {
  const { first, second, client, clock, changes } = await two(t, { nodeChangeAfterMs: 30_000 });
  await client.produce('orders', { value: 'a' });
  const states: string[] = [];
  client.on('state', (state) => states.push(state));
  await first.close();
  const lostAtMs = clock.monotonic();
  await pass(clock, 500, () => states.length > 4);
  assert.equal(second.hellos.length, 0);
  await pass(clock, 500, () => second.hellos.length > 0);
  assert.ok(clock.monotonic() - lostAtMs >= 30_000, 'it waited as long as it was told to');
  await pass(clock, 10, () => client.state === 'ready');
  assert.deepEqual(changes, [{ from: 'first', to: 'second', isOrderKept: false }]);
});

test('an ordered client changes at once when all was answered replicated', async (t) => {
  const { first, second, client, clock, changes } = await two(t);
  await client.produce('orders', { value: 'a' }, { ack: 'replicated' });
  await first.close();
  const lostAtMs = clock.monotonic();
  await pass(clock, 10, () => client.state === 'ready' && second.hellos.length > 0);
  assert.ok(clock.monotonic() - lostAtMs < 5000);
  assert.deepEqual(changes, [{ from: 'first', to: 'second', isOrderKept: true }]);
});

test('an unordered client takes its unanswered messages to the next node', async (t) => {
  const { first, second, client, clock } = await two(
    t,
    { ordered: false },
    { produce: () => 'hold' },
  );
  const sent = client.produce('orders', { value: 'a' });
  await first.until(() => first.received.length === 1);
  await first.close();
  await pass(clock, 10, () => second.received.length === 1);
  assert.equal((await sent).id, '0000000000000001-0-1');
  assert.equal(second.received[0]?.sequence, 1);
});

test('a client that is asked to leave goes to the next node', async (t) => {
  const { first, second, client, clock } = await two(t);
  await client.produce('orders', { value: 'a' }, { ack: 'replicated' });
  const state = once(client, 'state');
  first.last.goaway(1000);
  await state;
  await pass(clock, 10, () => client.state === 'ready');
  assert.equal(client.node?.nodeId, 'second');
  assert.equal(second.hellos.length, 1);
});

test('waits between attempts grow and stay below their bound', async (t) => {
  const { first, client, clock } = await two(t, {
    nodeChangeAfterMs: Number.POSITIVE_INFINITY,
    reconnect: { minMs: 100, maxMs: 1000 },
  });
  await client.produce('orders', { value: 'a' });
  const attemptsMs: number[] = [];
  client.on('connectionError', () => attemptsMs.push(clock.monotonic()));
  await first.close();
  await pass(clock, 1, () => attemptsMs.length === 7);
  const waitsMs = attemptsMs.slice(1).map((at, i) => at - (attemptsMs[i] as number));
  for (const [i, waitMs] of waitsMs.entries()) {
    const boundMs = Math.min(1000, 100 * 2 ** (i + 1));
    assert.ok(waitMs >= boundMs / 2 && waitMs < boundMs / 2 + 50, `${waitMs} of ${boundMs}`);
  }
});
