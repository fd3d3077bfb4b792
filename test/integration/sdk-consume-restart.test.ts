import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { MqpClient } from '../../sdk/ts/src/client.ts';
import type { ConsumedMessage, SubscribeOptions } from '../../sdk/ts/src/consume-types.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const COUNT = 1_000;
/** A stop waits 4 s for the handler that outlives it. */
const timeoutMs = 60_000;

async function clientOf(t: TestContext, { mqp }: TestServer): Promise<MqpClient> {
  const servers = [`${mqp.host}:${mqp.port}`];
  const client = await MqpClient.connect({ servers, reconnect: { minMs: 20, maxMs: 200 } });
  t.after(() => client.close());
  return client;
}

async function filled(client: MqpClient): Promise<string> {
  const topic = uniqueTopic('restart');
  const messages = Array.from({ length: COUNT }, (_, i) => ({ value: `${i}`, key: `${i}` }));
  await new Promise<void>((resolve, reject) => {
    client.produceBatch(topic, messages, {}, (error) => (error ? reject(error) : resolve()));
  });
  return topic;
}

const text = ({ value }: ConsumedMessage) => Buffer.from(value ?? '').toString();

test('a planned restart under running handlers brings nothing again', async (t) => {
  const server = await startServer();
  const client = await clientOf(t, server);
  const topic = await filled(client);
  const seen: string[] = [];
  let slow: (() => void) | undefined;
  const options: SubscribeOptions = { group: 'planned', topics: [topic], creditMessages: 64 };
  const consumer = await client.subscribe(options);
  const lost: string[] = [];
  consumer.on('lost', (message, error) => lost.push(`${text(message)}: ${error.message}`));
  void consumer.run(
    async (message) => {
      seen.push(text(message));
      // It outlives the node.
      if (seen.length === 100) await new Promise<void>((resolve) => (slow = resolve));
      else await new Promise(setImmediate);
    },
    { concurrency: 8 },
  );
  await until(() => seen.length >= 300, { timeoutMs });
  await server.restart();
  await until(() => new Set(seen).size >= COUNT - 1, { timeoutMs });
  slow?.();
  await until(() => new Set(seen).size >= COUNT && consumer.heldMessages === 0, { timeoutMs });
  await consumer.close();
  assert.deepEqual(lost, []);
  assert.equal(seen.length, COUNT, 'each once');
});

test('what was acked as committed does not come again after a kill', async (t) => {
  const server = await startServer();
  const client = await clientOf(t, server);
  const topic = await filled(client);
  const committed = new Set<string>();
  const wrong: string[] = [];
  const options = { group: 'killed', topics: [topic], ackWait: 'committed' } as const;
  const consumer = await client.subscribe(options);
  void consumer.run(async (message) => {
    const value = text(message);
    if (committed.has(value)) wrong.push(value);
    await message.ack().then(
      () => committed.add(value),
      () => {},
    );
  });
  await until(() => committed.size >= 300, { timeoutMs });
  await server.kill('SIGKILL');
  await server.restart();
  await until(() => committed.size >= COUNT, { timeoutMs });
  await consumer.close();
  assert.deepEqual(wrong, []);
});
