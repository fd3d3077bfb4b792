import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ClusterNumber, SendPlan } from '../../../../src/lanes/lane-calls.ts';
import { stat } from '../../../../src/produce/intake/lane-stats.ts';
import { fc } from '../../../support/fast-check.ts';
import { check, type FakeProducer, ForwarderBench, settle } from '../support.ts';

const well: SendPlan = { main: 0, isOpen: [false, false], elsewhere: [] };
const onBackup: SendPlan = { main: 1, isOpen: [true, false], elsewhere: [] };

function backupLogOf(bench: ForwarderBench, topic: number): readonly number[] {
  return bench.backupLog.topics.get(topic) ?? [];
}

test('what is on its way to a cluster that fails is taken back, and goes to the other in order', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1, 1]);
  bench.producer.judge(1, 1, 0);
  bench.forwarder.setPlan(onBackup);
  bench.produce([1]);
  assert.deepEqual(bench.backup.waiting, [], 'the purge was not reported yet');
  await settle();
  await bench.drain();
  assert.deepEqual([bench.logOf(1), backupLogOf(bench, 1)], [[1], [2, 3]]);
  assert.equal(bench.producer.generation, 2);
  assert.ok(bench.resends.includes('_PURGE_QUEUE 1'), `${bench.resends}`);
  assert.deepEqual([...bench.confirmedBy.values()], [0, 1, 1]);
  assert.equal(bench.stats.get(stat.cluster), 1);
  assert.equal(bench.stats.get(stat.confirmedBackup), 2);
});

test('once it has caught up, the other cluster gets what is stored straight from memory', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1]);
  bench.forwarder.setPlan(onBackup);
  await bench.drain();
  await settle();
  const { reads } = bench.store;
  bench.produce([1, 1]);
  assert.equal(bench.backup.waiting.length, 2);
  assert.equal(bench.store.reads, reads);
});

test('the way back waits for every verdict of the backup', async () => {
  const bench = new ForwarderBench().know(1);
  bench.forwarder.setPlan(onBackup);
  bench.produce([1, 1]);
  bench.forwarder.setPlan(well);
  bench.produce([1]);
  await settle();
  assert.deepEqual(bench.producer.waiting, []);
  bench.backup.judge(1, 1, 0);
  await settle();
  assert.deepEqual(bench.producer.waiting, [], 'one is still out');
  bench.backup.judge(1, 1, 0);
  await settle();
  assert.deepEqual(bench.producer.waiting, [{ topic: 1, sequence: 3 }]);
  assert.equal(bench.backup.generation, 1, 'nothing was taken back');
  await bench.drain();
  assert.deepEqual([bench.logOf(1), backupLogOf(bench, 1)], [[3], [1, 2]]);
});

test('a backup that fails while its verdicts are waited for is given up', async () => {
  const bench = new ForwarderBench().know(1);
  bench.forwarder.setPlan(onBackup);
  bench.produce([1, 1]);
  bench.forwarder.setPlan(well);
  await settle();
  bench.forwarder.setPlan({ ...well, isOpen: [false, true] });
  await settle();
  await settle();
  assert.equal(bench.producer.waiting.length, 2);
  await bench.drain();
  assert.deepEqual([bench.logOf(1), backupLogOf(bench, 1)], [[1, 2], []]);
});

test('a cluster that is left and never answers is waited for half a minute, no longer', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1]);
  bench.forwarder.setPlan({ ...onBackup, isOpen: [false, false] });
  bench.clock.advance(29_000);
  await settle();
  assert.deepEqual(bench.backup.waiting, []);
  bench.clock.advance(1_000);
  await bench.drain();
  assert.deepEqual(backupLogOf(bench, 1), [1]);
});

test('on the way back too: what has no verdict by then goes to the primary, and is noted', async () => {
  const bench = new ForwarderBench().know(1);
  bench.forwarder.setPlan(onBackup);
  bench.produce([1]);
  bench.produce([1]);
  bench.backup.judge(1, 1, 0);
  bench.forwarder.setPlan(well);
  bench.produce([1]);
  bench.clock.advance(29_999);
  await settle();
  assert.deepEqual([bench.producer.waiting, bench.resentTo], [[], []]);
  bench.clock.advance(1);
  await bench.drain();
  assert.deepEqual([bench.logOf(1), backupLogOf(bench, 1)], [[2, 3], [1]]);
  assert.deepEqual(bench.resentTo, ['_PURGE_QUEUE 2 to 0']);
  assert.equal(bench.backup.generation, 2, 'its producer was given up');
});

test('with both out of order everything is held, and goes to the first that is well', async () => {
  const bench = new ForwarderBench().know(1);
  bench.produce([1]);
  bench.forwarder.setPlan({ main: 0, isOpen: [true, true], elsewhere: [] });
  bench.produce([1]);
  await settle();
  assert.equal(bench.producer.generation, 1, 'what is out may still be confirmed');
  assert.equal(bench.producer.waiting.length, 1);
  bench.forwarder.setPlan(onBackup);
  await bench.drain();
  assert.deepEqual(backupLogOf(bench, 1), [1, 2]);
});

test('a topic that waits for its cluster is held alone, and keeps its order there', async () => {
  const bench = new ForwarderBench().know(1, 2);
  bench.produce([1, 2]);
  bench.forwarder.setPlan({ ...onBackup, elsewhere: [[1, 0]] });
  bench.produce([1, 2]);
  await settle();
  await settle();
  bench.backup.judge(2, 2, 0);
  assert.deepEqual(bench.producer.waiting, []);
  assert.equal(bench.stats.get(stat.deferredTopics), 1);
  bench.forwarder.setPlan(well);
  bench.produce([1, 2]);
  await bench.drain();
  assert.deepEqual([bench.logOf(1), bench.logOf(2)], [[1, 3, 5], [6]]);
  assert.deepEqual(backupLogOf(bench, 2), [2, 4]);
  assert.equal(bench.stats.get(stat.deferredTopics), 0);
});

test('one topic goes to the backup alone, and what is new of it follows', async () => {
  const bench = new ForwarderBench().know(1, 2);
  bench.produce([1, 2]);
  bench.producer.judge(2, 1, 0);
  bench.forwarder.setPlan({ main: 0, isOpen: [false, false], elsewhere: [[1, 1]] });
  await settle();
  for (let i = 0; i < 3; i++) {
    bench.produce([1, 2]);
    await settle();
  }
  await bench.drain();
  assert.deepEqual([bench.logOf(1), bench.logOf(2)], [[], [2, 4, 6, 8]]);
  assert.deepEqual(backupLogOf(bench, 1), [1, 3, 5, 7]);
});

test('what is sent at the start is noted with each cluster that some of it goes to', async () => {
  const bench = new ForwarderBench(({ store }) => {
    store.append([1, 2]);
    store.append([1]);
    store.append([2]);
  }).know(1, 2);
  bench.forwarder.setPlan({ main: 0, isOpen: [false, false], elsewhere: [[1, 1]] });
  bench.forwarder.start();
  await bench.drain();
  assert.deepEqual(
    [backupLogOf(bench, 1), bench.logOf(2)],
    [
      [1, 3],
      [2, 4],
    ],
  );
  const noted = bench.resentTo.sort();
  assert.deepEqual(noted, ['start 1 to 0', 'start 1 to 1', 'start 3 to 1', 'start 4 to 0']);
});

test('what was noted for the primary, and goes to the backup after all, is noted for that too', async () => {
  const bench = new ForwarderBench(({ store }) => {
    store.append([1, 2]);
    store.append([1]);
  }).know(1, 2);
  bench.producer.full.set(1, 0);
  bench.forwarder.start();
  await settle();
  bench.produce([1]);
  bench.producer.judge(2, 1, 0);
  bench.forwarder.setPlan(onBackup);
  await bench.drain();
  assert.deepEqual(backupLogOf(bench, 1), [1, 3, 4]);
  const noted = ['start 1 to 0', 'start 3 to 0', 'start 1 to 1', 'start 3 to 1'];
  assert.deepEqual(bench.resentTo, noted);
});

test('what the backup alone refuses waits for the primary', async () => {
  const bench = new ForwarderBench().know(1);
  bench.forwarder.setPlan(onBackup);
  bench.produce([1]);
  bench.backup.judge(1, 1, 29);
  await settle();
  assert.equal(bench.store.refused.size, 0);
  bench.forwarder.setPlan(well);
  await bench.drain();
  assert.deepEqual(bench.logOf(1), [1]);
});

/** A topic of which four messages were refused as a batch, and one goes alone so far. */
function oneByOne(): ForwarderBench {
  const bench = new ForwarderBench().know(1);
  bench.alone.queueRoom = 1;
  bench.produce([1, 1, 1, 1]);
  bench.producer.judge(1, 4, 10);
  return bench;
}

const sequencesOf = ({ waiting }: FakeProducer) => waiting.map(({ sequence }) => sequence);

test('what goes one by one moves with its topic, and is not sent on the cluster it left', async () => {
  const bench = oneByOne();
  await settle();
  assert.deepEqual(sequencesOf(bench.alone), [1]);
  bench.forwarder.setPlan(onBackup);
  bench.produce([1]);
  await settle();
  await settle();
  assert.deepEqual(sequencesOf(bench.backup), [1, 2, 3, 4, 5]);
  await bench.drain();
  assert.deepEqual([bench.logOf(1), backupLogOf(bench, 1)], [[], [1, 2, 3, 4, 5]]);
  assert.ok(bench.resends.includes('alone 1') || bench.resends.includes('_PURGE_QUEUE 1'));
  assert.equal(bench.stats.get(stat.deferredTopics), 0);
});

test('what goes one by one waits for its cluster, when the topic does, and goes on there', async () => {
  const bench = oneByOne();
  await settle();
  bench.forwarder.setPlan({ ...onBackup, elsewhere: [[1, 0]] });
  bench.produce([1]);
  await settle();
  await settle();
  assert.deepEqual([sequencesOf(bench.alone), sequencesOf(bench.backup)], [[], []]);
  bench.forwarder.setPlan(well);
  await bench.drain();
  assert.deepEqual([bench.logOf(1), backupLogOf(bench, 1)], [[1, 2, 3, 4, 5], []]);
});

test('of a topic that is given up, what waits to go alone goes with it', async () => {
  const bench = oneByOne();
  await settle();
  assert.equal(await bench.forwarder.drop(1), 3, 'one is on its way');
  assert.deepEqual([...bench.store.refused.keys()], [2, 3, 4]);
  bench.alone.judge(1, 1, 0);
  bench.produce([1]);
  await bench.drain();
  assert.deepEqual(bench.logOf(1), [1, 5]);
});

const cluster = fc.constantFrom<ClusterNumber[]>(0, 1);
const happening = fc.oneof(
  fc.record({
    kind: fc.constant('produce' as const),
    topics: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 }),
  }),
  fc.record({
    kind: fc.constantFrom(
      'judge' as const,
      'return' as const,
      'tooLarge' as const,
      'full' as const,
      // Refused in two batches, which were not judged alike.
      'returnThenTooLarge' as const,
    ),
    cluster,
    topic: fc.integer({ min: 1, max: 3 }),
    count: fc.integer({ min: 1, max: 4 }),
  }),
  // The same of what goes one by one.
  fc.record({
    kind: fc.constantFrom(
      'aloneJudge' as const,
      'aloneReturn' as const,
      'aloneTooLarge' as const,
      'aloneFull' as const,
    ),
    cluster,
    topic: fc.integer({ min: 1, max: 3 }),
    count: fc.integer({ min: 1, max: 4 }),
  }),
  fc.record({ kind: fc.constant('drop' as const), topic: fc.integer({ min: 1, max: 3 }) }),
  fc.record({
    kind: fc.constant('plan' as const),
    main: cluster,
    isOpen: fc.tuple(fc.boolean(), fc.boolean()),
    elsewhere: fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 3 }), cluster), {
      maxLength: 2,
      selector: ([topic]) => topic,
    }),
  }),
  fc.record({ kind: fc.constant('broken' as const), cluster }),
  fc.record({ kind: fc.constantFrom('time' as const, 'settle' as const) }),
);
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

async function happen(bench: ForwarderBench, what: Happening): Promise<void> {
  switch (what.kind) {
    case 'produce':
      return bench.produce(what.topics);
    case 'plan':
      return bench.forwarder.setPlan(what);
    case 'broken':
      return bench.forwarder.fatal(what.cluster);
    case 'time':
      return bench.clock.advance(1_000);
    case 'settle':
      return settle();
    case 'drop':
      // Others happen while it goes on.
      bench.dropping.push(bench.forwarder.drop(what.topic));
      return;
  }
  const isAlone = what.kind.startsWith('alone');
  const [shared, alone] = bench.producersOf(what.cluster);
  const producer = isAlone ? alone : shared;
  const waiting = producer.waiting.filter(({ topic }) => topic === what.topic).length;
  if (what.kind === 'returnThenTooLarge') {
    producer.judge(what.topic, what.count, 32);
    producer.judge(what.topic, waiting, 10);
  } else if (what.kind.endsWith('udge')) producer.judge(what.topic, what.count, 0);
  else if (what.kind === 'full') producer.full.set(what.topic, what.count);
  else if (what.kind === 'aloneFull') producer.queueRoom = what.count;
  else if (what.kind === 'aloneTooLarge') producer.judge(what.topic, 1, 10);
  else producer.judge(what.topic, waiting, what.kind.endsWith('eturn') ? -195 : 10);
}

test('however the roads change, every message is in one cluster, in order in each', async () => {
  const property = fc.asyncProperty(
    fc.array(happening, { minLength: 1, maxLength: 60 }),
    fc.integer({ min: 0, max: 3 }),
    // Where all must be in the end, with the other cluster out of order.
    cluster,
    async (happenings, former, last) => {
      const bench = new ForwarderBench(({ store }) => {
        for (let i = 0; i < former; i++) store.append([1, 2, 3]);
      }).know(1, 2, 3);
      bench.forwarder.start();
      for (const what of happenings) await happen(bench, what);
      bench.forwarder.setPlan({ main: last, isOpen: [last === 1, last === 0], elsewhere: [] });
      await Promise.all(bench.dropping);
      await bench.drain();
      const seen = new Set<number>();
      for (const log of [bench.log, bench.backupLog]) {
        for (const sequences of log.topics.values()) {
          const rising = [...sequences].sort((a, b) => a - b);
          assert.deepEqual(sequences, rising);
          for (const sequence of sequences) {
            assert.ok(!seen.has(sequence), `${sequence} twice`);
            seen.add(sequence);
            assert.ok(!bench.store.refused.has(sequence));
          }
        }
      }
      assert.equal(seen.size + bench.store.refused.size, bench.store.nextSequence - 1);
      assert.equal(bench.stats.get(stat.cluster), last);
      // A producer that broke twice is renewed a second later; only then is a topic level.
      bench.clock.advance(1_000);
      await settle();
      assert.equal(bench.stats.get(stat.deferredTopics), 0);
    },
  );
  await check(property, 600);
});
