import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../protocol/src/generated.ts';
import { decodeTopicList, encodeCreateTopic, encodeListTopics } from '../../protocol/src/topics.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer } from '../support/start-server.ts';

const isCode = (code: number) => (error: unknown) => (error as { code: number }).code === code;
const create = (client: RawClient, name: string) =>
  client.request((writer, id) => encodeCreateTopic(writer, id, { name }));

test('without auto-create a topic is opened only once it was made', async () => {
  const server = await startServer({ args: ['--topics.auto-create', 'false'] });
  const client = await RawClient.connect(server.mqp);
  await assert.rejects(client.open('orders'), isCode(ErrorCode.UNKNOWN_TOPIC));
  await assert.rejects(
    client.open('orders'),
    isCode(ErrorCode.UNKNOWN_TOPIC),
    'the asking made it',
  );
  await create(client, 'orders');
  const { topicId: topic } = await client.open('orders');
  const [outcome] = await client.produce({ topic, first: 1, values: ['x'] });
  assert.equal(outcome?.name, 'OK');
});

test('topics of the node itself are neither opened, made nor listed', async () => {
  const server = await startServer();
  const client = await RawClient.connect(server.mqp);
  for (const name of ['__mqproxy.delay', '__mqproxy.acks', '__consumer_offsets', '__']) {
    await assert.rejects(client.open(name), isCode(ErrorCode.INVALID_TOPIC), name);
    await assert.rejects(create(client, name), isCode(ErrorCode.INVALID_TOPIC), name);
  }
  await client.open('_single');
  const frame = await client.request((writer, id) => encodeListTopics(writer, id, { prefix: '' }));
  const names = decodeTopicList(frame).topics.map(({ name }) => name);
  assert.deepEqual(names, ['_single']);
});
