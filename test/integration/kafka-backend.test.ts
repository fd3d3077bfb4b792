import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import kafkajs from 'kafkajs';
import type { KafkaBackend } from '../../src/backend/kafka/kafka-backend.ts';
import { clientSettings } from '../../src/backend/kafka/kafka-settings.ts';
import { openKafkaBackend } from '../../src/backend/kafka/open-kafka-backend.ts';
import { openTopic } from '../../src/backend/open-topic.ts';
import { type TailRequest, tailFrom } from '../../src/backend/port.ts';
import { sleep, systemClock } from '../../src/base/clock.ts';
import { codeOf } from '../../src/base/errors.ts';
import { silentLogger } from '../../src/base/log.ts';
import { FileCatalog } from '../../src/catalog/file-catalog.ts';
import { openKafkaProducer, openKafkaTail } from '../../src/native/kafka.ts';
import { sharedKafka, skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';

/** A backend of the real parts, as the node puts them together. */
function open(
  address: string,
  book: FileCatalog,
): { backend: KafkaBackend; close(): Promise<void> } {
  const settings = clientSettings({
    brokers: [address],
    clientId: 'test',
    tls: { enabled: false },
    sasl: { mechanism: 'none' },
    lingerMs: 0,
    compression: 'none',
    messageBytesMax: 1_000_000,
  });
  const producer = openKafkaProducer({
    key: address,
    lane: 255,
    config: settings.producer,
    onVerdicts: () => undefined,
  });
  const backend = openKafkaBackend({
    settings,
    book,
    clock: systemClock,
    logger: silentLogger(),
    partitions: 4,
    metadata: producer,
    makeTail: (config) => openKafkaTail({ config }),
  });
  const close = async () => {
    await backend.close();
    await producer.close();
  };
  return { backend, close };
}

const skip = skipWithoutKafka();
const shared = skip === false ? await sharedKafka() : '';
const sharedBook = await FileCatalog.open(join(tempDir(), 'topics.json'), systemClock);

describe('KafkaBackend on a real Kafka', { skip }, () => {
  let backend: KafkaBackend;
  let close: () => Promise<void>;
  before(() => {
    ({ backend, close } = open(shared, sharedBook));
  });
  after(() => close());

  test('creates a topic with settings and describes it with its limits', async () => {
    const name = uniqueTopic('made');
    assert.equal(await backend.describeTopic(name), undefined);
    const config = { 'max.message.bytes': '5000', 'min.insync.replicas': '1' };
    const made = await backend.createTopic({ name, partitions: 3, config });
    assert.deepEqual(made, {
      name,
      partitions: 3,
      messageBytesMax: 5000,
      replicationFactor: 1,
      minInsyncReplicas: 1,
      config,
    });
    assert.deepEqual(await backend.describeTopic(name), made);
    assert.deepEqual(await backend.listTopics(name), [{ name, partitions: 3 }]);
    assert.deepEqual(
      await backend.offsets(name),
      [0, 1, 2].map((partition) => ({ partition, startOffset: 0, endOffset: 0, leader: 1 })),
    );
  });

  test('makes the topic that a client opens, with the defaults, once for all who do', async () => {
    const name = uniqueTopic('opened');
    const all = await Promise.all(
      [1, 2, 3, 4].map(() => openTopic(backend, name, { autoCreate: true })),
    );
    assert.deepEqual(
      all.map((topic) => topic.partitions),
      [4, 4, 4, 4],
    );
    assert.equal(all[0]?.messageBytesMax, 1_048_588);
  });

  test('reads what another client wrote, from any place, and waits for what comes', async () => {
    const topic = uniqueTopic('read');
    await backend.createTopic({ name: topic, partitions: 1 });
    const producer = new kafkajs.Kafka({ brokers: [shared] }).producer();
    await producer.connect();
    const send = (...values: string[]) =>
      producer.send({
        topic,
        messages: values.map((value) => ({ key: `k-${value}`, value, headers: { h: 'v' } })),
      });
    await send('a', 'b', 'c');
    const request: TailRequest = {
      topic,
      partition: 0,
      from: tailFrom.beginning,
      position: 0,
      bytesMax: 100_000,
      waitMs: 5_000,
    };
    const first = await backend.tail(request);
    assert.deepEqual([first.count, first.startOffset, first.nextOffset], [3, 0, 3]);
    assert.match(Buffer.from(first.records).toString('latin1'), /k-a.*k-b.*k-c/s);
    const next = { ...request, from: tailFrom.offset, position: 3 };
    const waiting = backend.tail({ ...next, waitMs: 20_000 });
    await send('d');
    const later = await waiting;
    assert.deepEqual([later.count, later.nextOffset], [1, 4]);
    assert.equal((await backend.tail({ ...next, position: 4, waitMs: 0 })).count, 0);
    assert.equal((await backend.offsets(topic))[0]?.endOffset, 4);
    await assert.rejects(backend.tail({ ...next, position: 99 }), { code: 'OFFSET_OUT_OF_RANGE' });
    await assert.rejects(backend.tail({ ...next, partition: 1 }), { code: 'UNKNOWN_PARTITION' });
    await assert.rejects(backend.tail({ ...next, topic: uniqueTopic() }), {
      code: 'UNKNOWN_TOPIC',
    });
    await producer.disconnect();
  });

  test('answers what the broker refuses with a code of ours', async () => {
    const name = uniqueTopic('refused');
    await backend.createTopic({ name });
    await assert.rejects(backend.createTopic({ name }), { code: 'TOPIC_EXISTS' });
    const other = uniqueTopic('refused');
    const config = { 'no.such.setting': '1' };
    await assert.rejects(backend.createTopic({ name: other, config }), {
      code: 'INVALID_ARGUMENT',
    });
    const copies = { name: other, replicationFactor: 2 };
    await assert.rejects(backend.createTopic(copies), { code: 'INVALID_ARGUMENT' });
    await assert.rejects(backend.offsets(other), { code: 'UNKNOWN_TOPIC' });
    assert.equal(await backend.probeTopic(other), false, 'asking made no topic');
    assert.deepEqual(backend.reachable(), { reachable: true });
  });
});

describe('KafkaBackend without its Kafka', { skip }, () => {
  test('knows old topics, calls new ones unconfirmed, and goes on when Kafka is back', async () => {
    // This broker would make any topic that a client mentions; the node must not mention it so.
    const broker = await startKafka({
      heapMaxMib: 512,
      config: { 'auto.create.topics.enable': 'true' },
    });
    const book = await FileCatalog.open(join(tempDir(), 'topics.json'), systemClock);
    const first = open(broker.address, book);
    assert.equal(await first.backend.describeTopic('asked'), undefined);
    assert.equal(await first.backend.probeTopic('asked'), false);
    assert.deepEqual(await first.backend.listTopics(''), []);
    const known = await openTopic(first.backend, 'known', { autoCreate: true });
    await broker.stop();
    await assert.rejects(first.backend.refresh(), { code: 'BACKEND_UNAVAILABLE' });
    assert.equal(first.backend.reachable().reachable, false);
    assert.deepEqual(await openTopic(first.backend, 'known', { autoCreate: true }), known);
    await assert.rejects(openTopic(first.backend, 'new', { autoCreate: true }), {
      code: 'TOPIC_UNCONFIRMED',
    });
    await first.close();

    const again = open(broker.address, book);
    assert.deepEqual(await openTopic(again.backend, 'known', { autoCreate: true }), known);
    await broker.start();
    const made = await eventually(() => openTopic(again.backend, 'new', { autoCreate: true }));
    assert.equal(made.partitions, 4);
    assert.equal(again.backend.reachable().reachable, true);
    await again.close();
  });
});

/** What a client does with a retriable refusal: it asks again. */
async function eventually<T>(ask: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (error) {
      if (codeOf(error) !== 'TOPIC_UNCONFIRMED' || tries >= 40) throw error;
      await sleep(systemClock, 250);
    }
  }
}
