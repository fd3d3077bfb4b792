import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { KafkaBackend } from '../../../../src/backend/kafka/kafka-backend.ts';
import type { KafkaTopic } from '../../../../src/backend/kafka/kafka-topics.ts';
import { openTopic } from '../../../../src/backend/open-topic.ts';
import type { CreateTopicRequest, TopicDescription } from '../../../../src/backend/port.ts';
import type { BookedMetadata, BookedTopic, TopicBook } from '../../../../src/backend/topic-book.ts';
import { coded } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { FakeClock } from '../embedded/doubles.ts';

class MemoryBook implements TopicBook {
  readonly topics = new Map<string, BookedTopic>();

  get(name: string): BookedTopic | undefined {
    return this.topics.get(name);
  }

  list(prefix: string): BookedTopic[] {
    return [...this.topics.values()].filter((topic) => topic.name.startsWith(prefix));
  }

  async record(name: string, cluster: string, metadata: BookedMetadata): Promise<BookedTopic> {
    const id = this.topics.get(name)?.id ?? this.topics.size + 1;
    const topic = { id, name, clusters: { [cluster]: { ...metadata, confirmed: true } } };
    this.topics.set(name, topic);
    return topic;
  }

  async unconfirm(name: string, cluster: string): Promise<void> {
    const topic = this.topics.get(name);
    const known = topic?.clusters[cluster];
    if (topic === undefined || known === undefined) return;
    this.topics.set(name, { ...topic, clusters: { [cluster]: { ...known, confirmed: false } } });
  }
}

/** A cluster that can be away. */
class FakeCluster {
  readonly topics = new Map<string, KafkaTopic>();
  away = false;
  asked = 0;

  add(name: string, partitions: number): KafkaTopic {
    const topic: KafkaTopic = {
      name,
      partitions,
      messageBytesMax: 1_048_588,
      replicationFactor: 3,
      minInsyncReplicas: 2,
      config: {},
      leaders: Array.from({ length: partitions }, () => 1),
    };
    this.topics.set(name, topic);
    return topic;
  }

  #answer(): void {
    this.asked += 1;
    if (this.away) throw coded('BACKEND_UNAVAILABLE', 'nobody is there');
  }

  async describe(name: string): Promise<KafkaTopic | undefined> {
    this.#answer();
    return this.topics.get(name);
  }

  async describeAll(names: ReadonlySet<string>): Promise<KafkaTopic[]> {
    this.#answer();
    return [...this.topics.values()].filter((topic) => names.has(topic.name));
  }

  async probe(): Promise<void> {
    if (this.away) throw coded('BACKEND_UNAVAILABLE', 'nobody is there');
  }

  async list(): Promise<never[]> {
    this.#answer();
    return [];
  }

  async deleteRecords(): Promise<void> {
    this.#answer();
  }

  async create({ name, partitions = 4 }: CreateTopicRequest): Promise<KafkaTopic> {
    this.#answer();
    if (this.topics.has(name)) throw coded('TOPIC_EXISTS', 'it exists');
    return this.add(name, partitions);
  }
}

describe('KafkaBackend', () => {
  const clock = new FakeClock();
  let cluster: FakeCluster;
  let book: MemoryBook;
  let backend: KafkaBackend;
  let changes: TopicDescription[];
  const open = () => {
    changes = [];
    backend = new KafkaBackend({
      topics: cluster,
      tails: {
        read: () => new Promise(() => undefined),
        offsets: async ({ partition }) => ({ startOffset: partition, endOffset: 10 + partition }),
        close: async () => undefined,
      },
      book,
      clock,
      logger: silentLogger(),
      clusterId: async () => 'cluster-1',
      onClose: async () => undefined,
      onTopic: (topic) => changes.push(topic),
    });
  };
  beforeEach(() => {
    cluster = new FakeCluster();
    book = new MemoryBook();
    open();
  });
  afterEach(() => backend.close());
  const opened = (name: string, autoCreate = true) => openTopic(backend, name, { autoCreate });

  test('asks once for a topic, whoever and however often they open it', async () => {
    cluster.add('orders', 3);
    await Promise.all(Array.from({ length: 50 }, () => opened('orders')));
    await opened('orders');
    assert.equal(cluster.asked, 1);
    assert.equal(book.get('orders')?.clusters.primary?.minInsyncReplicas, 2);
    assert.deepEqual(
      changes.map((topic) => topic.partitions),
      [3],
    );
  });

  test('creates a topic that is opened, unless it is not to', async () => {
    assert.equal((await opened('new')).partitions, 4);
    await assert.rejects(opened('other', false), { code: 'UNKNOWN_TOPIC' });
    await assert.rejects(backend.createTopic({ name: 'new' }), { code: 'TOPIC_EXISTS' });
    await assert.rejects(opened('__x'), { code: 'INVALID_TOPIC' });
    await assert.rejects(backend.createTopic({ name: 'a', partitions: 0 }), {
      code: 'INVALID_ARGUMENT',
    });
  });

  test('knows a topic from before while Kafka is away, and a new one is unconfirmed', async () => {
    cluster.add('orders', 3);
    await opened('orders');
    await backend.close();
    cluster.away = true;
    open();
    assert.equal((await opened('orders')).partitions, 3);
    await assert.rejects(opened('new'), { code: 'TOPIC_UNCONFIRMED', retryAfterMs: 1000 });
    assert.deepEqual(backend.reachable(), { reachable: false, reason: 'nobody is there' });
    await assert.rejects(backend.listTopics(''), { code: 'BACKEND_UNAVAILABLE' });
    cluster.away = false;
    assert.equal((await opened('new')).partitions, 4);
    assert.deepEqual(backend.reachable(), { reachable: true });
  });

  test('sees grown and deleted topics at the next refresh, and tells', async () => {
    cluster.add('grown', 1);
    cluster.add('deleted', 1);
    await opened('grown');
    await opened('deleted');
    cluster.add('grown', 2);
    cluster.topics.delete('deleted');
    await backend.refresh();
    assert.equal((await opened('grown')).partitions, 2);
    assert.deepEqual(
      changes.map((topic) => topic.partitions),
      [1, 1, 2],
    );
    assert.equal(book.get('deleted')?.clusters.primary?.confirmed, false);
    await assert.rejects(opened('deleted', false), { code: 'UNKNOWN_TOPIC' });
    assert.equal(await backend.probeTopic('deleted'), false);
    cluster.away = true;
    await assert.rejects(opened('deleted'), { code: 'TOPIC_UNCONFIRMED' });
    // A broker that has just started denies topics that it has: while nobody can be asked, what
    // was known counts, or a second outage would refuse what the first one took.
    assert.equal((await opened('deleted')).partitions, 1);
    await assert.rejects(backend.probeTopic('grown'), { code: 'BACKEND_UNAVAILABLE' });
  });

  test('refreshes by itself, and looks sooner for a cluster that is away', async () => {
    const turn = () => new Promise(setImmediate);
    cluster.away = true;
    clock.advance(0);
    await turn();
    assert.equal(backend.reachable().reachable, false);
    cluster.away = false;
    clock.advance(2_000);
    await turn();
    assert.equal(backend.reachable().reachable, true);
    const { asked } = cluster;
    clock.advance(29_000);
    await turn();
    assert.equal(cluster.asked, asked);
    clock.advance(1_000);
    await turn();
    assert.equal(cluster.asked, asked + 1);
  });

  test('gives offsets with leaders, and refuses topics and partitions that are not there', async () => {
    cluster.topics.set('orders', { ...cluster.add('orders', 2), leaders: [7, -1] });
    assert.deepEqual(await backend.offsets('orders'), [
      { partition: 0, startOffset: 0, endOffset: 10, leader: 7 },
      { partition: 1, startOffset: 1, endOffset: 11 },
    ]);
    await assert.rejects(backend.offsets('none'), { code: 'UNKNOWN_TOPIC' });
    const request = { topic: 'orders', from: 1, position: 0, bytesMax: 1, waitMs: 9 } as const;
    await assert.rejects(backend.tail({ ...request, partition: 2 }), { code: 'UNKNOWN_PARTITION' });
    await assert.rejects(backend.tail({ ...request, topic: 'none', partition: 0 }), {
      code: 'UNKNOWN_TOPIC',
    });
    const abort = new AbortController();
    const waiting = backend.tail({ ...request, partition: 0, signal: abort.signal });
    abort.abort();
    assert.equal((await waiting).count, 0);
  });
});
