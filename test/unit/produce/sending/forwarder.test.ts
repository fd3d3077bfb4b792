import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stat } from '../../../../src/produce/intake/lane-stats.ts';
import { fc } from '../../../support/fast-check.ts';
import { check, ForwarderBench, settle } from '../support.ts';

test('a batch that was just stored is sent from memory, without a read', async () => {
  const bench = new ForwarderBench().know(1, 2);
  bench.produce([1, 2, 1]);
  bench.produce([2]);
  assert.equal(bench.producer.waiting.length, 4);
  assert.equal(bench.store.reads, 0);
  await bench.drain();
  assert.deepEqual(
    [bench.logOf(1), bench.logOf(2)],
    [
      [1, 3],
      [2, 4],
    ],
  );
});

test('what a former run left is sent at the start, but for what it had confirmed', async () => {
  const bench = new ForwarderBench(({ store }) => {
    for (let i = 0; i < 10; i++) store.append([1, 2]);
    for (const sequence of [1, 2, 5, 8]) store.confirmed.add(sequence);
  }).know(1, 2);
  bench.forwarder.start();
  await settle();
  bench.produce([1]);
  await bench.drain();
  assert.deepEqual(bench.logOf(1), [3, 7, 9, 11, 13, 15, 17, 19, 21]);
  assert.deepEqual(bench.logOf(2), [4, 6, 10, 12, 14, 16, 18, 20]);
  assert.ok(bench.resends.includes('start 3'));
  assert.ok(!bench.resends.some((line) => line.endsWith(' 21')), 'the new one is no resend');
});

test('a topic that cannot be sent waits alone, and its place is kept', async () => {
  const bench = new ForwarderBench().know(1, 2);
  bench.producer.full.set(1, 0);
  for (let i = 0; i < 5; i++) bench.produce([1, 2]);
  assert.deepEqual(
    bench.producer.waiting.map(({ topic }) => topic),
    [2, 2, 2, 2, 2],
  );
  assert.equal(bench.stats.get(stat.deferredTopics), 1);
  bench.producer.full.clear();
  bench.producer.ready(1);
  await settle();
  assert.deepEqual(
    bench.producer.waiting.filter(({ topic }) => topic === 1).map(({ sequence }) => sequence),
    [1, 3, 5, 7, 9],
  );
  assert.equal(bench.stats.get(stat.deferredTopics), 0);
});

test('eight topics that wait for one cluster cost one reading of the backlog', async () => {
  const topics = [1, 2, 3, 4, 5, 6, 7, 8];
  const bench = new ForwarderBench().know(...topics);
  for (const topic of topics) bench.producer.full.set(topic, 0);
  for (let i = 0; i < 60; i++) bench.produce(topics);
  bench.producer.full.clear();
  for (const topic of topics) bench.producer.ready(topic);
  await settle();
  await settle();
  assert.equal(bench.producer.waiting.length, 480);
  // Three batches a read: 20 reads, and the look at the end.
  assert.ok(bench.store.reads <= 22, `${bench.store.reads} reads`);
  await bench.drain();
});

test('a full queue that is retried does not read the same chunk again', async () => {
  const bench = new ForwarderBench(({ store }) => store.append([1, 1, 1, 1, 1, 1])).know(1);
  bench.producer.queueRoom = 1;
  bench.forwarder.start();
  for (let i = 0; i < 6; i++) {
    await settle();
    assert.deepEqual(bench.producer.waiting, [{ topic: 1, sequence: i + 1 }]);
    bench.producer.judge(1, 1, 0);
  }
  assert.deepEqual(bench.logOf(1), [1, 2, 3, 4, 5, 6]);
  assert.equal(bench.store.reads, 1);
});

test('a batch that is refused whole is sent one by one, before what came after it', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1, 1, 1]);
  bench.producer.judge(1, 3, 10);
  bench.produce([1]);
  await settle();
  assert.equal(bench.opened, 1);
  assert.deepEqual(bench.producer.waiting, []);
  assert.deepEqual(
    bench.alone.waiting.map(({ sequence }) => sequence),
    [1, 2, 3],
  );
  bench.alone.judge(1, 1, 0);
  bench.alone.judge(1, 1, 10);
  await settle();
  assert.deepEqual(bench.producer.waiting, [], 'one is still out');
  bench.alone.judge(1, 1, 0);
  await settle();
  assert.deepEqual(
    bench.producer.waiting.map(({ sequence }) => sequence),
    [4],
  );
  await bench.drain();
  assert.deepEqual(bench.logOf(1), [1, 3, 4]);
  assert.deepEqual([...bench.store.refused], [[2, 'MESSAGE_TOO_LARGE']]);
});

test('what is refused for its own sake is final at once, with its own code', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1, 1]);
  bench.producer.judge(1, 1, 29);
  bench.producer.judge(1, 1, 0);
  await bench.drain();
  assert.deepEqual([...bench.store.refused], [[1, 'NOT_AUTHORIZED']]);
  assert.equal(bench.opened, 0);
});

test('an unknown partition is final only when it is said twice', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1]);
  bench.producer.judge(1, 1, -190);
  await settle();
  assert.equal(bench.store.refused.size, 0);
  bench.clock.advance(1_000);
  await settle();
  bench.producer.judge(1, 1, -190);
  await settle();
  assert.deepEqual([...bench.store.refused], [[1, 'UNKNOWN_PARTITION']]);
});

test('a broken producer is renewed, and nothing overtakes what comes back', async () => {
  const bench = new ForwarderBench().know(1, 2);
  bench.produce([1, 2, 1]);
  bench.producer.judge(2, 1, 31);
  assert.equal(bench.producer.generation, 2);
  bench.produce([1]);
  assert.deepEqual(bench.producer.waiting, [], 'held until the purge was reported');
  await settle();
  await settle();
  await bench.drain();
  assert.deepEqual([bench.logOf(1), bench.logOf(2)], [[1, 3, 4], [2]]);
  assert.equal(bench.producer.generation, 2, 'once');
});

test('a broken producer that stays broken is renewed once a second', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1]);
  for (let i = 0; i < 20; i++) {
    bench.producer.judge(1, 1, 31);
    await settle();
  }
  assert.equal(bench.producer.generation, 3 - 1);
  bench.clock.advance(1_000);
  await settle();
  bench.producer.judge(1, 1, 31);
  await settle();
  bench.clock.advance(1_000);
  await settle();
  assert.ok(bench.producer.generation <= 4);
  await bench.drain();
});

test('a topic that stays unknown is reported, and given up when that is asked for', async () => {
  const bench = new ForwarderBench().know(1, 2);
  bench.producer.unknown.add(1);
  for (let i = 0; i < 8; i++) bench.produce([1, 2, 1]);
  assert.deepEqual(bench.missing, [], 'not at the first try');
  for (let i = 0; i < 3; i++) {
    bench.clock.advance(1_000);
    await settle();
  }
  assert.equal(bench.missing[0], 1);
  assert.equal(await bench.forwarder.drop(2), 0, 'nothing of it waits');
  assert.equal(await bench.forwarder.drop(1), 16);
  assert.equal(bench.store.refused.size, 16);
  assert.deepEqual(new Set(bench.store.refused.values()), new Set(['UNKNOWN_TOPIC']));
  await bench.drain();
  assert.deepEqual([bench.logOf(1).length, bench.logOf(2).length], [0, 8]);
});

test('what is on its way of a topic that is given up keeps its verdict', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1, 1]);
  bench.producer.judge(1, 1, 3);
  assert.deepEqual(bench.missing, [1]);
  assert.equal(await bench.forwarder.drop(1), 1);
  bench.producer.judge(1, 1, 0);
  await settle();
  assert.deepEqual(bench.logOf(1), [2]);
  assert.deepEqual([...bench.store.refused.keys()], [1]);
});

test('what comes back while a topic is being given up is given up with it', async () => {
  const bench = new ForwarderBench().know(1);
  for (let i = 0; i < 3; i++) bench.produce([1]);
  const comesBack = (sequence: number) =>
    bench.forwarder.verdicts(Float64Array.of(1, sequence, 1, 3, -1, -1, 1), 1);
  comesBack(3);
  const dropped = bench.forwarder.drop(1);
  // The outbox is being read, from the third on.
  comesBack(1);
  comesBack(2);
  assert.equal(await dropped, 3);
  assert.deepEqual([...bench.store.refused.keys()].toSorted(), [1, 2, 3]);
});

test('messages of a topic that the producer does not know go out under their stored name', async () => {
  const names = new Map([
    [1, 'orders'],
    [2, 'payments'],
  ]);
  const nameOf = (id: number): string => names.get(id) ?? '';
  const bench = new ForwarderBench(({ store }) => store.append([1, 2, 1], nameOf));
  // Since then the id 1 was given to another topic.
  bench.producer.setTopic(1, 'others');
  bench.topics.set(1, 'others');
  bench.forwarder.start();
  await settle();
  const sentTo = bench.producer.waiting.map(({ topic }) => bench.producer.names.get(topic));
  assert.deepEqual(sentTo, ['orders', 'payments', 'orders']);
});

test('a topic that becomes ready while another catches up begins at its own place', async () => {
  const bench = new ForwarderBench().know(1, 2);
  bench.producer.full.set(1, 0);
  bench.produce([1, 1]);
  bench.producer.full.set(2, 0);
  for (let i = 0; i < 3; i++) bench.produce([2, 1]);
  bench.producer.full.clear();
  bench.producer.ready(2);
  // The walk for topic 2 reads now, from a later place than the one of topic 1.
  bench.producer.ready(1);
  await settle();
  const sent = bench.producer.waiting.filter(({ topic }) => topic === 1);
  assert.deepEqual(
    sent.map(({ sequence }) => sequence),
    [1, 2, 4, 6, 8],
  );
  await bench.drain();
});

test('while a backlog drains, the lane has its turn between any two reads of it', async () => {
  const bench = new ForwarderBench(({ store }) => {
    for (let i = 0; i < 60; i++) store.append([1, 2]);
    // As a disk answers: not before the loop of events has turned.
    const read = store.readBatches.bind(store);
    store.readBatches = async (from) => {
      await new Promise((resolve) => setImmediate(resolve));
      return read(from);
    };
  }).know(1, 2);
  bench.forwarder.start();
  const turns: { reads: number; sent: number }[] = [];
  for (let turn = 0; turn < 40; turn++) {
    // What is new is stored meanwhile, and goes behind the rest.
    if (turn < 20) bench.produce([1]);
    const { reads } = bench.store;
    const sent = bench.producer.waiting.length;
    await new Promise((resolve) => setImmediate(resolve));
    turns.push({ reads: bench.store.reads - reads, sent: bench.producer.waiting.length - sent });
  }
  assert.equal(bench.producer.waiting.length, 140);
  // Three batches of two messages are a read.
  assert.ok(
    turns.every(({ reads, sent }) => reads <= 1 && sent <= 6),
    JSON.stringify(turns),
  );
  await bench.drain();
});

/** What happens to a lane between two messages. */
const happening = fc.oneof(
  fc.record({
    kind: fc.constant('produce' as const),
    topics: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 6 }),
  }),
  fc.record({
    kind: fc
      .constantFrom(
        ...['confirm', 'alone', 'return', 'tooLarge', 'unknown', 'full', 'ready', 'missing'],
        ...['returnThenTooLarge', 'tooLargeThenReturn'],
      )
      .map((kind) => kind),
    topic: fc.integer({ min: 1, max: 3 }),
    count: fc.integer({ min: 1, max: 5 }),
  }),
  fc.record({
    kind: fc.constantFrom('queue', 'fatal', 'broken', 'time', 'settle').map((kind) => kind),
    topic: fc.constant(1),
    count: fc.integer({ min: 1, max: 4 }),
  }),
);
type Happening = { kind: string; topics?: number[]; topic?: number; count?: number };

async function happen(bench: ForwarderBench, what: Happening): Promise<void> {
  const { producer, alone } = bench;
  const { kind, topics = [], topic = 1, count = 1 } = what;
  const waiting = producer.waiting.filter((sent) => sent.topic === topic).length;
  switch (kind) {
    case 'produce':
      return bench.produce(topics, bench.store.nextSequence % 2 === 0);
    case 'confirm':
      return producer.judge(topic, count, 0);
    case 'alone':
      return alone.judge(topic, 1, count === 1 ? 10 : 0);
    // What comes back comes back whole: a part of it would be overtaken by the rest.
    case 'return':
      return producer.judge(topic, waiting, -195);
    case 'missing':
      return producer.judge(topic, waiting, 3);
    case 'tooLarge':
      return producer.judge(topic, waiting, 10);
    // Refused in two batches, which were not judged alike.
    case 'returnThenTooLarge':
      producer.judge(topic, count, 32);
      return producer.judge(topic, waiting, 10);
    case 'tooLargeThenReturn':
      producer.judge(topic, count, 10);
      return producer.judge(topic, waiting, 32);
    case 'unknown':
      return void producer.unknown.add(topic);
    case 'full':
      return void producer.full.set(topic, count);
    case 'ready':
      producer.unknown.delete(topic);
      // Now and then there is room for a few only.
      if (count > 2) producer.full.delete(topic);
      else if (producer.full.has(topic)) producer.full.set(topic, waiting + count);
      return producer.ready(topic);
    case 'queue':
      producer.queueRoom = count;
      if (count < 4) return;
      producer.queueRoom = Number.POSITIVE_INFINITY;
      return producer.ready(-1);
    case 'fatal': {
      producer.isBroken = true;
      return;
    }
    case 'broken':
      return bench.forwarder.fatal();
    case 'time':
      return bench.clock.advance(count * 500);
    default:
      return settle();
  }
}

test('of batches that were not refused alike, all go one by one, in order', async () => {
  for (const codes of [
    [32, 10],
    [10, 32],
  ] as const) {
    const bench = new ForwarderBench().know(1);
    bench.produce([1, 1, 1, 1]);
    bench.producer.judge(1, 2, codes[0]);
    bench.producer.judge(1, 2, codes[1]);
    bench.produce([1]);
    await settle();
    assert.deepEqual(
      bench.alone.waiting.map(({ sequence }) => sequence),
      [1, 2, 3, 4],
    );
    await bench.drain();
    assert.deepEqual(bench.logOf(1), [1, 2, 3, 4, 5]);
  }
});

test('whatever happens, every message arrives once or is refused, in the order of its topic', async () => {
  const property = fc.asyncProperty(
    fc.array(happening, { minLength: 1, maxLength: 60 }),
    fc.integer({ min: 0, max: 4 }),
    async (happenings, former) => {
      const bench = new ForwarderBench(({ store }) => {
        for (let i = 0; i < former; i++) store.append([1, 2, 3]);
      }).know(1, 2, 3);
      bench.forwarder.start();
      for (const what of happenings) await happen(bench, what);
      await bench.drain();
      const { store } = bench;
      let delivered = 0;
      for (const sequences of bench.log.topics.values()) {
        delivered += sequences.length;
        const rising = [...sequences].sort((a, b) => a - b);
        assert.deepEqual(sequences, rising);
        assert.equal(new Set(sequences).size, sequences.length, 'no duplicates');
        for (const sequence of sequences) assert.ok(!store.refused.has(sequence));
      }
      assert.equal(delivered + store.refused.size, store.nextSequence - 1);
    },
  );
  await check(property, 400);
});
