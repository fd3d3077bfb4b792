import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FrameWriter } from '../../../../protocol/src/frame-writer.ts';
import { type MessageHeader, writeTailHeaders } from '../../../../protocol/src/message-headers.ts';
import { encodeMqHeader } from '../../../../protocol/src/mq-header.ts';
import { tailFrom } from '../../../../src/backend/port.ts';
import type { PublishRecord } from '../../../../src/backend/publisher-port.ts';
import { partitionOf } from '../../../../src/native/addon.ts';
import { embeddedCluster } from '../../../support/embedded-cluster.ts';

const none = Buffer.alloc(0);
const record = (topic: string, more: Partial<PublishRecord> = {}): PublishRecord => ({
  topic,
  key: null,
  value: Buffer.from('value'),
  headers: none,
  ...more,
});

describe('EmbeddedPublisher', () => {
  test('stores records with key, headers and id as given, in order, over a restart', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'orders', partitions: 4 });
    const key = Buffer.from('k');
    const mq = encodeMqHeader({
      producerId: 5n,
      epoch: 6,
      sequence: 7,
      originNode: 8n,
      acceptedMs: 9,
    });
    const headers = tailHeaders([
      { name: 'a', value: Buffer.from('1') },
      { name: 'mq', value: mq },
      { name: 'mq-dead', value: null },
    ]);
    const partition = partitionOf(key, 4);
    const results = await cluster.publisher.publish([
      record('orders', { key, headers }),
      record('orders', { key, value: null }),
      record('orders', { partition: (partition + 1) % 4 }),
    ]);
    assert.deepEqual(results, [
      { partition, offset: 0 },
      { partition, offset: 1 },
      { partition: (partition + 1) % 4, offset: 0 },
    ]);
    await cluster.close();
    const again = await embeddedCluster(cluster.folder);
    const more = await again.publisher.publish([record('orders', { key })]);
    assert.deepEqual(more, [{ partition, offset: 2 }]);
    const found = await again.consumers.tail({
      topic: 'orders',
      partition,
      from: tailFrom.beginning,
      position: 0,
      bytesMax: 10_000,
      waitMs: 0,
    });
    assert.equal(found.count, 3);
    const [first = none, second = none] = split(Buffer.from(found.records));
    assert.equal(first[20], 0x01 | 0x02 | 0x40);
    assert.deepEqual(first.subarray(21, 37), mq.subarray(2, 18));
    const rest = tailHeaders([
      { name: 'a', value: Buffer.from('1') },
      { name: 'mq-dead', value: null },
    ]);
    const head = 21 + 16 + 4 + 1;
    assert.equal(first.readUInt32BE(head), rest.length);
    assert.deepEqual(first.subarray(head + 4, head + 4 + rest.length), rest);
    assert.equal(first.subarray(head + 4 + rest.length).toString(), 'value');
    assert.equal(second[20], 0x01 | 0x08, 'a tombstone has no value');
  });

  test('refuses for good what will never pass, and the rest goes on', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({
      name: 'orders',
      partitions: 1,
      config: { 'max.message.bytes': '100' },
    });
    const results = await cluster.publisher.publish([
      record('nothing'),
      record('orders', { partition: 3 }),
      record('orders', { value: Buffer.alloc(101) }),
      record('orders'),
    ]);
    assert.deepEqual(
      results.map((result) => ('code' in result ? [result.code, result.retriable] : result)),
      [
        ['UNKNOWN_TOPIC', true],
        ['UNKNOWN_PARTITION', false],
        ['MESSAGE_TOO_LARGE', false],
        { partition: 0, offset: 0 },
      ],
    );
  });

  test('many calls at once share writes, and keep their order', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'orders', partitions: 1 });
    const calls = Array.from({ length: 200 }, () =>
      cluster.publisher.publish([record('orders'), record('orders')]),
    );
    const offsets = (await Promise.all(calls)).flat().map((r) => ('offset' in r ? r.offset : -1));
    assert.deepEqual(
      offsets,
      Array.from({ length: 400 }, (_, i) => i),
    );
    assert.equal(cluster.publisher.inFlightBytes, 0);
  });

  test('a topic that has its bytes in flight is refused, another is not', async () => {
    const cluster = await embeddedCluster();
    await cluster.backend.createTopic({ name: 'full', partitions: 1 });
    await cluster.backend.createTopic({ name: 'other', partitions: 1 });
    const large = record('full', { value: Buffer.alloc(900_000) });
    const results = await cluster.publisher.publish([
      ...Array.from({ length: 12 }, () => large),
      record('other'),
      record('full'),
    ]);
    const codes = results.map((result) => ('code' in result ? result.code : 'stored'));
    assert.equal(codes.filter((code) => code === 'RETRY_LATER').length, 4);
    assert.equal(codes[12], 'stored');
    assert.equal(codes[13], 'RETRY_LATER', 'a later record does not pass one that was refused');
    await cluster.publisher.close();
    await assert.rejects(cluster.publisher.publish([]), { code: 'DRAINING' });
  });
});

function tailHeaders(headers: readonly MessageHeader[]): Buffer {
  const writer = new FrameWriter();
  writeTailHeaders(writer, headers);
  return Buffer.from(writer.view());
}

function split(records: Buffer): Buffer[] {
  const found: Buffer[] = [];
  for (let at = 0; at < records.length; ) {
    const end = at + 4 + records.readUInt32BE(at);
    found.push(records.subarray(at, end));
    at = end;
  }
  return found;
}
