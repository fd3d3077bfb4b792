import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { FrameWriter } from '../../protocol/src/frame-writer.ts';
import { DueKind } from '../../protocol/src/generated.ts';
import { encodeProduce, messageBytes, type ProduceMessage } from '../../protocol/src/produce.ts';
import { sharedKafka, skipWithoutKafka } from '../support/kafka.ts';
import { readTopic } from '../support/kafka-read.ts';
import { createOn } from '../support/kafka-topics.ts';
import { metric, untilDrained } from '../support/node-state.ts';
import { RawClient } from '../support/raw-client.ts';
import { startServer, type TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const key = Buffer.from('key');
/** Two lengths of such a header may take three bytes on our wire and four in Kafka. */
const header = { name: 'n'.repeat(64), value: Buffer.alloc(64, 'v') };

/** What a message of so many bytes may be made of. */
const shapes: Record<string, (bytes: number) => ProduceMessage> = {
  'a bare value': (bytes) => filled({}, bytes),
  'a key': (bytes) => filled({ key }, bytes),
  'headers that are longer in Kafka': (bytes) => {
    const headers = Array.from({ length: Math.floor(Math.min(bytes, 32_768) / 131) }, () => header);
    return filled({ headers }, bytes);
  },
  'a delay': (bytes) => filled({ key, due: { kind: DueKind.DELAY, due: 0 } }, bytes),
};

/** The rest is value, of bytes that cannot be compressed. */
function filled(parts: Omit<ProduceMessage, 'value'>, bytes: number): ProduceMessage {
  const rest = bytes - messageBytes({ ...parts, value: null });
  return { ...parts, value: randomBytes(rest) };
}

/** Sends messages of a producer; answers the names of their codes. */
async function produce(
  server: TestServer,
  topic: string,
  make: (largest: number) => readonly ProduceMessage[],
): Promise<{ sent: readonly ProduceMessage[]; answers: string[] }> {
  const client = await RawClient.connect(server.mqp);
  const { topicId, messageBytesMax } = await client.open(topic);
  const sent = make(messageBytesMax);
  const writer = new FrameWriter();
  for (const [i, message] of sent.entries()) {
    const head = { topic: topicId, correlationId: i + 1, sequence: i + 1, replicated: true };
    encodeProduce(writer, head, message);
  }
  client.socket.write(writer.detach());
  const outcomes = await client.answersTo(sent.map((_, i) => i + 1));
  client.socket.destroy();
  return { sent, answers: outcomes.map(({ name }) => name) };
}

test('the largest message that a topic takes is delivered, a byte more is not stored', {
  skip: skipWithoutKafka(),
}, async () => {
  const brokers = await sharedKafka();
  const [small, large] = [uniqueTopic('small'), uniqueTopic('large')];
  await createOn(brokers, [1], [small], { 'max.message.bytes': '2000' });
  await createOn(brokers, [1], [large]);
  const args = ['--lanes', '1', '--kafka.options.compression', 'gzip'];
  const server = await startServer({ backend: 'kafka', kafkaBrokers: brokers, args });
  const stored = () => metric(server, 'mqproxy_messages_stored_total');
  for (const topic of [small, large]) {
    const before = await stored();
    const over = await produce(server, topic, (most) =>
      Object.values(shapes).map((shape) => shape(most + 1)),
    );
    assert.deepEqual(new Set(over.answers), new Set(['MESSAGE_TOO_LARGE']), topic);
    assert.equal(await stored(), before, 'nothing of it was stored');
    const fits = await produce(server, topic, (most) =>
      Object.values(shapes).map((shape) => shape(most)),
    );
    for (const [i, name] of Object.keys(shapes).entries()) {
      assert.equal(fits.answers[i], 'OK', `${name}, ${topic}`);
    }
    const wanted = fits.sent.map(({ value }) => value as Buffer).sort(Buffer.compare);
    await until(async () => (await readTopic(brokers, topic)).length >= wanted.length, {
      timeoutMs: 60_000,
      what: 'the delayed one to come',
    });
    const found = (await readTopic(brokers, topic)).map(({ value }) => value as Buffer);
    assert.deepEqual(found.sort(Buffer.compare), wanted);
  }
  await untilDrained(server);
  assert.equal(await metric(server, 'mqproxy_undeliverable_messages'), 0);
});
