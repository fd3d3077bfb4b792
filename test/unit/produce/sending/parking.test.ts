import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ErrorCode } from '../../../../protocol/src/generated.ts';
import { fc } from '../../../support/fast-check.ts';
import { OutboxBench } from '../outbox-bench.ts';
import { check, type FakeProducer, settle } from '../support.ts';

/** A topic that takes no more than what it has, and is parked for that. */
async function parked(inFlight: number, waiting: number): Promise<OutboxBench> {
  const bench = new OutboxBench([1, 2]);
  for (let i = 0; i < inFlight; i++) bench.produce([1]);
  bench.producer.full.set(1, 0);
  for (let i = 0; i < waiting; i++) bench.produce([1]);
  await bench.stand();
  assert.ok(bench.forwarder.isParked(1));
  return bench;
}

test('what was with the producer is parked with the rest, and its verdicts count', async () => {
  const bench = await parked(3, 3);
  assert.equal(bench.aside.messages('parked'), 6);
  bench.producer.judge(1, 1, 0);
  await settle();
  assert.equal(bench.parked.waiting.length, 0, 'two are still out');
  bench.producer.judge(1, 2, -192);
  await bench.drain();
  assert.deepEqual(bench.log.topics.get(1), [1, 2, 3, 4, 5, 6]);
  await bench.end();
});

test('what a former run has parked is sent before what it has left in the outbox', async () => {
  const bench = new OutboxBench([1, 2], ({ store, aside }) => {
    for (let i = 0; i < 6; i++) store.append([1]);
    for (const sequence of [1, 2, 4]) {
      const entry = aside.entryOf({ sequence, code: 'PARKED', reason: '' });
      aside.logs.parked.set(sequence, entry);
      store.confirmed.add(sequence);
    }
  });
  await bench.drain();
  assert.deepEqual(bench.log.topics.get(1), [1, 2, 3, 4, 5, 6]);
  await bench.end();
});

test('what is delivered while it is put into the log is taken out again', async () => {
  const bench = new OutboxBench([1, 2]);
  bench.produce([1]);
  bench.disk.isSlow = true;
  await bench.stand();
  bench.disk.go();
  await settle();
  // It is being written now.
  bench.producer.judge(1, 1, 0);
  assert.equal(bench.acker.answers.get(1), ErrorCode.OK);
  await bench.drain();
  await bench.end();
});

test('what is being refused when its topic is parked is refused, and holds nobody', async () => {
  const bench = new OutboxBench([1, 2]);
  bench.produce([1, 1]);
  bench.disk.isSlow = true;
  bench.producer.judge(1, 1, 29);
  await bench.stand();
  assert.ok(bench.forwarder.isParked(1));
  bench.disk.quicken();
  await settle();
  bench.producer.judge(1, 1, 0);
  await bench.drain();
  assert.deepEqual([...bench.aside.logs.undeliverable.keys()], [1]);
  await bench.end();
});

test('a parked topic goes the ordinary way again, however steadily messages come for it', async () => {
  const bench = await parked(0, 50);
  bench.producer.full.clear();
  for (let turn = 0; bench.forwarder.isParked(1); turn++) {
    assert.ok(turn < 20, 'it stays parked');
    bench.produce([1]);
    bench.clock.advance(100);
    await settle();
    bench.parked.judge(1, Number.POSITIVE_INFINITY, 0);
    await settle();
  }
  await bench.drain();
  assert.deepEqual(
    bench.log.topics.get(1),
    Array.from({ length: bench.store.nextSequence - 1 }, (_, i) => i + 1),
  );
  await bench.end();
});

test('what comes for a parked topic leaves the outbox while nothing leaves its log', async () => {
  const bench = await parked(0, 5);
  // Its head is refused for good, and there is no room for what is.
  bench.marks.undeliverableBytes = 0;
  for (let second = 0; second < 20; second++) {
    bench.produce([1]);
    bench.parked.judge(1, 1, 29);
    bench.clock.advance(1_000);
    await settle();
    assert.equal(bench.store.unconfirmedMessages, 0, `after ${second} seconds`);
  }
  await bench.drain();
  assert.equal(bench.log.topics.get(1)?.length, 25);
  await bench.end();
});

test('what comes for a parked topic fills half of the outbox at most while its log drains', async () => {
  const bench = await parked(0, 50);
  bench.marks.softBytes = 10;
  bench.parked.queueRoom = 1;
  for (let turn = 0; turn < 40; turn++) {
    bench.produce([1]);
    bench.clock.advance(100);
    await settle();
    bench.parked.judge(1, 1, 0);
    await settle();
    assert.ok(bench.store.unconfirmedMessages < 5, `${bench.store.unconfirmedMessages} wait`);
  }
  await bench.drain();
  assert.deepEqual(
    bench.log.topics.get(1),
    Array.from({ length: 90 }, (_, i) => i + 1),
  );
  await bench.end();
});

test('a topic whose messages go one by one is taken up with those that wait for that', async () => {
  const bench = new OutboxBench([1, 2]);
  bench.produce([1]);
  bench.producer.judge(1, 1, 29);
  await settle();
  // More than one read of the outbox.
  for (let i = 0; i < 8; i++) bench.produce([1]);
  bench.alone.queueRoom = 1;
  bench.producer.judge(1, 8, 10);
  await settle();
  assert.equal(bench.alone.waiting.length, 1);
  bench.retry('undeliverable', 1);
  await settle();
  await bench.drain();
  assert.equal(bench.log.topics.get(1)?.length, 9);
  await bench.end();
});

test('a topic is taken up while what waits of it is being given up', async () => {
  const bench = new OutboxBench([1, 2]);
  bench.produce([1]);
  bench.producer.judge(1, 1, 29);
  await settle();
  bench.producer.unknown.add(1);
  for (let i = 0; i < 9; i++) bench.produce([1]);
  bench.disk.isSlow = true;
  const dropped = bench.forwarder.drop(1);
  bench.retry('undeliverable', 1);
  for (let i = 0; i < 4; i++) {
    bench.disk.go();
    await settle();
  }
  await bench.drain();
  assert.equal(await dropped, 9);
  await bench.end();
});

test('a topic is given up only when nothing of it is out any more', async () => {
  const bench = await parked(2, 3);
  let given: number | undefined;
  const giving = bench.forwarder.drop(1).then((messages) => {
    given = messages;
  });
  await settle();
  assert.equal(given, undefined);
  bench.producer.judge(1, 1, 0);
  bench.producer.judge(1, 1, 3);
  await giving;
  assert.equal(given, 4);
  await bench.drain();
  assert.deepEqual(bench.log.topics.get(1), [1]);
  await bench.end();
});

test('a parked topic is not given up any more once its lane is closed', async () => {
  const bench = await parked(1, 1);
  bench.forwarder.close();
  assert.equal(await bench.forwarder.drop(1), 0);
});

test('a topic is given up beside a sweep of it', async () => {
  const bench = new OutboxBench([1, 2]);
  bench.produce([1, 1]);
  bench.disk.isSlow = true;
  await bench.stand();
  bench.beside.push(bench.forwarder.drop(1));
  await settle();
  bench.disk.quicken();
  await settle();
  bench.producer.judge(1, 2, 0);
  await bench.drain();
  assert.deepEqual(await Promise.all(bench.beside), [0]);
  await bench.end();
});

const topic = fc.constantFrom(1, 1, 1, 2);
const verdict = fc.record({
  kind: fc.constantFrom('judge' as const, 'judge' as const, 'return' as const, 'refuse' as const),
  by: fc.constantFrom(
    ...(['producer', 'producer', 'alone', 'parked', 'parked', 'parked', 'backup'] as const),
  ),
  topic,
  count: fc.integer({ min: 1, max: 4 }),
  // Of its own sake; of the whole batch; final when it is said twice.
  code: fc.constantFrom(29, 10, -190),
});
const pass = fc.record({
  kind: fc.constantFrom(
    ...(['stand', 'stand', 'time', 'slow', 'go', 'go', 'go', 'quick'] as const),
  ),
});
const happening = fc.oneof(
  { weight: 6, arbitrary: verdict },
  { weight: 5, arbitrary: pass },
  fc.record({
    kind: fc.constant('produce' as const),
    topics: fc.array(topic, { minLength: 1, maxLength: 5 }),
    isWaitedFor: fc.boolean(),
  }),
  fc.record({
    kind: fc.constantFrom('full' as const, 'room' as const, 'room' as const),
    by: fc.constantFrom('producer' as const, 'parked' as const),
    topic,
    count: fc.integer({ min: 0, max: 2 }),
  }),
  fc.record({ kind: fc.constantFrom('retry' as const, 'retryParked' as const), topic }),
  fc.record({ kind: fc.constant('drop' as const), topic }),
  fc.record({
    kind: fc.constant('quota' as const),
    parked: fc.constantFrom(2, 9, 99, 99),
    undeliverable: fc.constantFrom(2, 9, 99, 99),
    soft: fc.constantFrom(2, 9, 99, 99),
  }),
  fc.record({
    kind: fc.constant('plan' as const),
    main: fc.constantFrom(0 as const, 0 as const, 1 as const),
    isOpen: fc.tuple(fc.boolean(), fc.constant(false)),
    elsewhere: fc.constant([]),
  }),
);
type Happening = typeof happening extends fc.Arbitrary<infer T> ? T : never;

async function happen(bench: OutboxBench, what: Happening): Promise<void> {
  switch (what.kind) {
    case 'produce':
      return bench.produce(what.topics, what.isWaitedFor);
    case 'judge':
      return bench[what.by].judge(what.topic, what.count, 0);
    // What comes back comes back whole: a part of it would be overtaken by the rest.
    case 'return':
      return bench[what.by].judge(what.topic, Number.POSITIVE_INFINITY, -195);
    case 'refuse':
      return bench[what.by].judge(what.topic, Number.POSITIVE_INFINITY, what.code);
    case 'full':
      return void bench[what.by].full.set(what.topic, what.count);
    case 'room':
      bench[what.by].full.delete(what.topic);
      return bench[what.by].ready(what.topic);
    case 'retry':
      return bench.retry('undeliverable', what.topic);
    case 'retryParked':
      return bench.retry('parked', what.topic);
    case 'drop':
      return void bench.beside.push(bench.forwarder.drop(what.topic));
    case 'quota':
      bench.marks.parkedBytes = what.parked;
      bench.marks.undeliverableBytes = what.undeliverable;
      bench.marks.softBytes = what.soft;
      return;
    case 'plan':
      return bench.forwarder.setPlan(what);
    case 'stand':
      return bench.stand();
    case 'time':
      return bench.clock.advance(1_000);
    case 'slow':
      bench.disk.isSlow = true;
      return;
    case 'go':
      return bench.disk.go();
    case 'quick':
      return bench.disk.quicken();
  }
}

/** No message is with two producers, or with one and done. */
function eachWithOne(bench: OutboxBench): void {
  const out = bench.producers.flatMap((one: FakeProducer) => bench.messagesOf(one));
  assert.equal(new Set(out).size, out.length, `${out} are with two`);
  for (const { topics } of [bench.log, bench.backupLog]) {
    for (const sequence of [...topics.values()].flat()) assert.ok(!out.includes(sequence));
  }
}

test('whatever happens to parked topics, each message has one end, and who waits hears of it once', async () => {
  const events = fc.array(happening, { minLength: 1, maxLength: 80, size: 'max' });
  const property = fc.asyncProperty(events, fc.boolean(), async (drawn, inOrder) => {
    // What was refused and is sent again comes behind what was taken meanwhile.
    const happenings = drawn.filter(
      ({ kind }) => !inOrder || (kind !== 'retry' && kind !== 'plan'),
    );
    const bench = new OutboxBench([1, 2]);
    for (const what of happenings) {
      await happen(bench, what);
      // Verdicts come in turns of their own.
      await settle();
      eachWithOne(bench);
    }
    bench.forwarder.setPlan({ main: 0, isOpen: [false, false], elsewhere: [] });
    await bench.drain();
    await bench.end();
    for (const log of inOrder ? bench.log.topics.values() : []) {
      const rising = log.toSorted((a, b) => a - b);
      assert.deepEqual(log, rising);
    }
  });
  await check(property, 600);
});
