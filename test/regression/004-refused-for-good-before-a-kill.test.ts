import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RawClient, readAll } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';

test('an ordered client goes on behind what was refused for good before a kill', async () => {
  const args = ['--limits.message-bytes-max', '1KiB'];
  const server = await startServer({ args });
  const name = uniqueTopic('passed');
  const hello = { producerId: 31n };
  const client = await RawClient.connect(server.mqp, hello);
  const { topicId: topic } = await client.open(name);
  const large = 'x'.repeat(2_000);
  const before = await client.produce({ topic, first: 1, values: ['one', large, large] });
  const names = before.map((outcome) => outcome.name);
  assert.deepEqual(names, ['OK', 'MESSAGE_TOO_LARGE', 'MESSAGE_TOO_LARGE']);
  await server.kill('SIGKILL');
  await server.restart();
  const again = await RawClient.connect(server.mqp, hello);
  assert.equal(again.hello?.lastSequence, 3, 'the node knows that they are behind it');
  await again.open(name);
  const after = await again.produce({ topic, first: 4, values: ['four'] });
  assert.deepEqual(
    after.map((outcome) => outcome.name),
    ['OK'],
  );
  const found = (await readAll(server.mqp, name)).map(({ value }) => value.toString());
  assert.deepEqual(found.toSorted(), ['four', 'one']);
});
