import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BackupTopics } from '../../../../src/backend/kafka/backup-topics.ts';
import type { KafkaTopic } from '../../../../src/backend/kafka/kafka-topics.ts';
import type { BookedMetadata, BookedTopic, TopicBook } from '../../../../src/backend/topic-book.ts';
import { coded } from '../../../../src/base/errors.ts';
import { silentLogger } from '../../../../src/base/log.ts';

const metadata = {
  partitions: 4,
  messageBytesMax: 1_048_588,
  replicationFactor: 1,
  minInsyncReplicas: 1,
  config: {},
};

/** A backup cluster without topics, of which it may refuse to create some. */
class Bench {
  readonly created: string[] = [];
  readonly refused = new Set<string>();
  tries = 0;
  isAway = false;
  readonly tending: BackupTopics;
  private readonly booked: BookedTopic[];

  constructor(names: readonly string[]) {
    const primary = { ...metadata, confirmed: true };
    this.booked = names.map((name, i) => ({ id: i + 1, name, clusters: { primary } }));
    const book: TopicBook = {
      get: (name) => this.booked.find((topic) => topic.name === name),
      list: () => this.booked,
      record: async (name: string, _cluster: string, _found: BookedMetadata) => {
        const topic = book.get(name);
        assert(topic);
        return topic;
      },
      unconfirm: async () => {},
    };
    this.tending = new BackupTopics({
      topics: {
        describe: async () => {
          if (this.isAway) throw coded('BACKEND_UNAVAILABLE', 'nobody is there');
          return undefined;
        },
        create: async ({ name }): Promise<KafkaTopic> => {
          this.tries++;
          if (this.refused.has(name)) throw coded('NOT_AUTHORIZED', 'it may not be created');
          this.created.push(name);
          return { name, leaders: [1, 1, 1, 1], ...metadata };
        },
      },
      book,
      log: silentLogger(),
      mayCreate: true,
      replicas: async () => 1,
    });
  }

  async rounds(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await this.tending.tend();
  }
}

function named(word: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${word}-${i}`);
}

test('topics that cannot be created keep none of the later ones off the backup', async () => {
  const [bad, good] = [named('bad', 45), named('good', 5)];
  const bench = new Bench([...bad, ...good]);
  for (const name of bad) bench.refused.add(name);
  await bench.rounds(3);
  assert.deepEqual(bench.created, good);
  assert.equal(bench.tries, 50, 'each was tried once');
  // They are tried again, and again, until they can be created.
  await bench.rounds(3);
  assert.equal(bench.tries, 50 + 45);
  bench.refused.clear();
  await bench.rounds(3);
  assert.deepEqual(bench.created, [...good, ...bad]);
  await bench.rounds(3);
  assert.equal(bench.tries, 50 + 45 + 45, 'nothing is left to be done');
});

test('a cluster that is away costs one question a round, and a topic that is missing is seen to at once', async () => {
  const names = named('topic', 30);
  const bench = new Bench(names);
  bench.isAway = true;
  await bench.rounds(2);
  assert.equal(bench.tries, 0);
  bench.isAway = false;
  await bench.rounds(3);
  assert.deepEqual(bench.created.toSorted(), names.toSorted());
  bench.tending.missing('topic-7');
  await bench.rounds(1);
  assert.equal(bench.created.at(-1), 'topic-7');
});
