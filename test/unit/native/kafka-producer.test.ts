import assert from 'node:assert/strict';
import { test } from 'node:test';

import { partitionOf } from '../../../src/native/addon.ts';
import { DEFER_REASON, KAFKA_CODE } from '../../../src/native/kafka.ts';
import { GIVE_UP_MS, until, within } from '../../support/wait.ts';
import { freshKey, TestLane } from './kafka-lane.ts';
import type { TestMessage } from './kafka-payload.ts';

const many = (count: number, message: TestMessage): TestMessage[] =>
  Array.from({ length: count }, () => message);
const sequencesOf = (lane: TestLane) => lane.verdicts.map((v) => v.sequence).sort((a, b) => a - b);
const range = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

test('a topic not known yet is deferred, and a ready row says when it may be sent', async () => {
  const lane = new TestLane({ config: { 'test.mock.broker.rtt': '300' } });
  lane.producer.setTopic(3, 'early');
  const before = lane.produce(many(5, { topic: 3, value: 'x' }));
  assert.equal(before.sent, 0);
  assert.equal(before.nextOrdinal, 5);
  assert.deepEqual([...before.deferred], [3, 1, 5, DEFER_REASON.topicUnknown]);
  await until(() => lane.ready.includes(3), { what: 'the ready row' });
  const after = lane.produce(many(5, { topic: 3, value: 'x' }), { firstSequence: 1 });
  assert.equal(after.nextOrdinal, 5);
  await lane.hasVerdicts(5);
  assert.deepEqual(sequencesOf(lane), [1, 2, 3, 4, 5]);
  assert.ok(lane.verdicts.every((v) => v.code === 0 && v.generation === 1));
  await lane.close();
});

test('a key finds the partition of the Java client, a named partition is kept', async () => {
  const lane = new TestLane();
  await lane.topic(1, 'keyed');
  const keys = range(0, 200).map((i) => `key-${i}`);
  lane.produce(keys.map((key) => ({ topic: 1, key, value: 'v' })));
  lane.produce(many(3, { topic: 1, key: 'key-1', partition: 2, value: null }));
  const verdicts = await lane.hasVerdicts(203);
  for (const { sequence, partition } of verdicts) {
    const key = keys[sequence - 1];
    assert.equal(partition, key === undefined ? 2 : partitionOf(Buffer.from(key), 4));
  }
  await lane.close();
});

test('each message gets one verdict, and offsets rise with the sequence in a partition', async () => {
  const lane = new TestLane();
  await lane.topic(1, 'ordered');
  await lane.open(1);
  for (let i = 0; i < 20; i++) {
    lane.produce(range(0, 100).map((n) => ({ topic: 1, key: `${n % 7}`, value: 'v' })));
  }
  const verdicts = await lane.hasVerdicts(2_000);
  assert.deepEqual(sequencesOf(lane), range(1, 2_000));
  const places = new Map<number, number>();
  for (const v of verdicts.toSorted((a, b) => a.sequence - b.sequence)) {
    assert.equal(v.offset, places.get(v.partition) ?? 1);
    places.set(v.partition, v.offset + 1);
  }
  assert.deepEqual({ ...lane.producer.inFlight }, { messages: 0, bytes: 0 });
  await lane.close();
});

test('without a key the messages of a segment go to one partition', async () => {
  const lane = new TestLane();
  await lane.topic(1, 'sticky');
  lane.produce(many(50, { topic: 1, value: 'v' }));
  const verdicts = await lane.hasVerdicts(50);
  assert.equal(new Set(verdicts.map((v) => v.partition)).size, 1);
  await lane.close();
});

test('verdicts of messages that do not ask for their place merge across partitions', async () => {
  const lane = new TestLane();
  await lane.topic(1, 'merged');
  lane.produce(
    range(0, 100).map((n) => ({ topic: 1, key: `${n}`, value: 'v' })),
    {
      segmentFlags: undefined,
    },
  );
  const verdicts = await lane.hasVerdicts(100);
  assert.ok(verdicts.every((v) => v.partition === -1 && v.offset === -1));
  await lane.close();
});

test('a full partition defers its topic only, and a ready row follows', async () => {
  const lane = new TestLane({ config: { 'linger.ms': '300' } });
  await lane.topic(1, 'slow', { inFlightBytesPerPartitionMax: 2_000 });
  await lane.topic(2, 'other');
  await lane.open(1);
  const messages = many(100, { topic: 1, partition: 0, value: Buffer.alloc(100) });
  const result = lane.produce([...messages, { topic: 2, value: 'v' }]);
  const [topic, first, count, reason] = result.deferred;
  assert.deepEqual([topic, reason], [1, DEFER_REASON.partitionFull]);
  assert.equal(first, 1 + (result.sent - 1));
  assert.equal(count, 100 - (result.sent - 1));
  assert.equal(result.nextOrdinal, 101);
  await until(() => lane.ready.includes(1), { what: 'the ready row' });
  assert.ok(lane.verdicts.length > 0);
  await lane.close();
});

test('one message goes alone to a partition whose leader does not count them yet', async () => {
  const lane = new TestLane({ config: { 'test.mock.broker.rtt': '200' } });
  await lane.topic(1, 'fresh');
  const messages = many(10, { topic: 1, partition: 0, value: 'v' });
  const first = lane.produce(messages);
  assert.equal(first.sent, 1);
  assert.deepEqual([...first.deferred], [1, 2, 9, DEFER_REASON.partitionFull]);
  assert.equal(lane.producer.inFlight.messages, 1);
  await lane.hasVerdicts(10);
  assert.deepEqual(
    lane.verdicts.map((v) => v.offset),
    range(0, 10),
  );
  assert.equal(lane.produce(messages).sent, 10, 'it is counted now');
  await lane.hasVerdicts(20);
  lane.producer.renew(1);
  assert.equal(lane.produce(messages).sent, 1, 'a new instance is another producer to the broker');
  await lane.close();
});

test('messages that wait behind a request on its way burn no processor', async () => {
  const lane = new TestLane({ config: { 'test.mock.broker.rtt': '700' } });
  await lane.topic(1, 'slow');
  await lane.open(1);
  const messages = many(10, { topic: 1, partition: 0, value: 'v' });
  const before = lane.verdicts.length;
  const started = process.hrtime.bigint();
  const cpu = process.cpuUsage();
  // The first of them leave while the last are still to come.
  for (let i = 0; i < 100; i++) {
    lane.produce(messages);
    await new Promise(setImmediate);
  }
  await lane.hasVerdicts(before + 1_000);
  const { user, system } = process.cpuUsage(cpu);
  const elapsedUs = Number(process.hrtime.bigint() - started) / 1_000;
  assert.ok(elapsedUs > 1_200_000, 'some waited for the answer to others');
  assert.ok(user + system < elapsedUs / 4, `${user + system} of ${elapsedUs} us`);
  await lane.close();
});

test('a full queue stops the call, and a ready row of topic -1 says when to go on', async () => {
  const lane = new TestLane({
    config: { 'linger.ms': '200', 'queue.buffering.max.messages': '100' },
  });
  await lane.topic(1, 'narrow');
  await lane.open(1);
  const messages = many(250, { topic: 1, value: 'v' });
  let next = 0;
  let calls = 0;
  while (next < 250) {
    const result = lane.produce(messages, { firstSequence: 1, fromOrdinal: next });
    next = result.nextOrdinal;
    calls++;
    if (next < 250) {
      await until(() => lane.ready.includes(-1), { what: 'room' });
      lane.ready.length = 0;
    }
  }
  await lane.hasVerdicts(250);
  assert.ok(calls >= 3);
  assert.deepEqual(sequencesOf(lane), range(1, 250));
  await lane.close();
});

test('what is refused for good gets a verdict with the code, and the rest is sent', async () => {
  const lane = new TestLane({ config: { 'message.max.bytes': '2000' } });
  await lane.topic(1, 'small');
  await lane.topic(2, 'missing-partition');
  lane.produce([
    { topic: 1, value: 'a' },
    { topic: 1, value: Buffer.alloc(3_000) },
    { topic: 2, partition: 99, value: 'b' },
    { topic: 1, value: 'c' },
  ]);
  const verdicts = await lane.hasVerdicts(4);
  const codes = verdicts.toSorted((a, b) => a.sequence - b.sequence).map((v) => v.code);
  assert.deepEqual(codes, [0, KAFKA_CODE.MESSAGE_TOO_LARGE, KAFKA_CODE._UNKNOWN_PARTITION, 0]);
  await lane.close();
});

test('skip, onlyTopic, fromOrdinal and topicsBlocked choose what is sent', async () => {
  const lane = new TestLane();
  await lane.topic(1, 'one');
  await lane.topic(2, 'two');
  await lane.open(1);
  await lane.open(2);
  const messages = range(0, 10).map((i) => ({ topic: 1 + (i % 2), value: 'v' }));
  const blocked = lane.produce(messages, { topicsBlocked: Uint8Array.of(0, 0, 1) });
  assert.equal(blocked.sent, 5);
  assert.deepEqual([...blocked.deferred], [2, 2, 5, DEFER_REASON.blocked]);
  const rest = lane.produce(messages, {
    firstSequence: 1,
    fromOrdinal: 3,
    onlyTopic: 2,
    skip: Uint8Array.from(messages, (_, i) => (i === 5 ? 1 : 0)),
  });
  assert.equal(rest.sent, 3);
  assert.equal(rest.deferred.length, 0);
  await lane.hasVerdicts(8);
  assert.deepEqual(sequencesOf(lane), [1, 3, 4, 5, 7, 8, 9, 10]);
  const unknown = lane.produce([{ topic: 9, value: 'v' }]);
  assert.equal(unknown.deferred[3], DEFER_REASON.notRegistered);
  await lane.close();
});

test('renew gives every message of the old generation a verdict and makes a new one', async () => {
  const lane = new TestLane({ config: { 'linger.ms': '60000' } });
  await lane.topic(1, 'renewed');
  lane.produce(range(0, 4).map((partition) => ({ topic: 1, partition, value: 'v' })));
  assert.equal(lane.producer.generation, 1);
  assert.equal(lane.producer.renew(1), 2);
  assert.equal(lane.producer.renew(1), 2, 'a second one of the same generation does nothing');
  const verdicts = await lane.hasVerdicts(4);
  assert.ok(verdicts.every((v) => v.code === KAFKA_CODE._PURGE_QUEUE && v.generation === 1));
  assert.equal(lane.producer.inFlight.messages, 0);
  assert.equal(lane.produce([{ topic: 1, value: 'v' }], { firstSequence: 1 }).sent, 1);
  await lane.close();
  assert.ok(lane.verdicts.slice(4).every((v) => v.generation === 2));
});

test('two lanes share one producer, each sees its own verdicts', async () => {
  const key = freshKey();
  const a = new TestLane({ key, lane: 1 });
  const b = new TestLane({ key, lane: 2 });
  assert.throws(() => new TestLane({ key, lane: 2 }), /holds this producer already/);
  await a.topic(1, 'shared');
  assert.equal(b.producer.partitionCount(1), 4);
  a.produce(many(10, { topic: 1, value: 'a' }));
  b.produce(many(20, { topic: 1, value: 'b' }));
  await Promise.all([a.hasVerdicts(10), b.hasVerdicts(20)]);
  assert.deepEqual(sequencesOf(a), range(1, 10));
  assert.deepEqual(sequencesOf(b), range(1, 20));
  await a.close();
  b.produce(many(5, { topic: 1, value: 'b' }));
  await b.hasVerdicts(25);
  assert.ok(b.verdicts.every((v) => v.code === 0));
  await b.close();
});

test('a lane that is opened again hears nothing of what it sent before', async () => {
  const key = freshKey();
  const holder = new TestLane({ key, lane: 255, config: { 'linger.ms': '60000' } });
  await holder.topic(1, 'left');
  await holder.topic(2, 'taken-up');
  const a = new TestLane({ key, lane: 1 });
  a.produce([
    ...range(0, 4).map((partition) => ({ topic: 1, partition, value: 'a' })),
    { topic: 2, partition: 0, value: 'a' },
  ]);
  assert.equal(a.producer.inFlight.messages, 5);
  await a.close();
  const b = new TestLane({ key, lane: 1 });
  assert.throws(() => new TestLane({ key, lane: 1 }), /holds this producer already/);
  assert.equal(b.producer.inFlight.messages, 0);
  b.produce([{ topic: 2, partition: 1, value: 'b' }], { firstSequence: 500 });
  assert.equal(b.producer.inFlight.messages, 1);
  holder.producer.renew(1);
  assert.equal(await b.producer.flush(GIVE_UP_MS), true);
  assert.deepEqual(sequencesOf(b), [500]);
  assert.equal(b.producer.inFlight.messages, 0);
  await b.close();
  await holder.close();
});

test('a lane is opened again as often as there is room for reports of the former ones', async () => {
  const key = freshKey();
  const holder = new TestLane({ key, lane: 255, config: { 'linger.ms': '60000' } });
  const topics = range(1, 64);
  await Promise.all(topics.map((id) => holder.topic(id, `former-${id}`)));
  for (const n of range(0, 255)) {
    const lane = new TestLane({ key, lane: 1 });
    const message = { topic: 1 + (n >> 2), partition: n & 3, value: 'v' };
    assert.equal(lane.produce([message]).sent, 1);
    await lane.close();
  }
  assert.throws(() => new TestLane({ key, lane: 1 }), { code: 'BACKEND_UNAVAILABLE' });
  holder.producer.renew(1);
  const opened = await until(
    () => {
      try {
        return new TestLane({ key, lane: 1 });
      } catch {
        return undefined;
      }
    },
    { what: 'the reports of the former lanes' },
  );
  assert.deepEqual(opened.verdicts, []);
  await opened.close();
  await holder.close();
});

test('flush answers true when all is confirmed and false when the time is over', async () => {
  const lane = new TestLane({ config: { 'linger.ms': '200' } });
  await lane.topic(1, 'flushed');
  await lane.open(1);
  assert.equal(await lane.producer.flush(1_000), true);
  lane.produce(many(5, { topic: 1, value: 'v' }));
  assert.equal(await lane.producer.flush(1), false);
  assert.equal(await lane.producer.flush(10_000), true);
  assert.equal(lane.verdicts.length, 5);
  await lane.close();
});

test('every verdict was handed up before flush answers', async () => {
  const lane = new TestLane();
  await lane.topic(1, 'handed-up');
  await lane.open(1);
  for (let round = 1; round <= 200; round++) {
    lane.produce(range(0, 50).map((n) => ({ topic: 1, key: `${n}`, value: 'v' })));
    assert.equal(await lane.producer.flush(10_000), true);
    assert.equal(lane.verdicts.length, round * 50);
  }
  await lane.close();
});

test('it is known what the cluster last said of a topic, and when', async () => {
  const lane = new TestLane({ config: { 'allow.auto.create.topics': 'false' } });
  const begun = performance.now();
  lane.producer.setTopic(1, 'nowhere');
  assert.equal(lane.producer.lastAnswer(2), undefined);
  const answer = await until(() => lane.producer.lastAnswer(1), { what: 'an answer' });
  const answered = performance.now();
  assert.equal(answer.code, KAFKA_CODE.UNKNOWN_TOPIC_OR_PARTITION);
  assert.ok(answer.msAgo <= answered - begun + 1, `${answer.msAgo} ms`);
  // Without partitions it is asked again.
  const agoMs = () => lane.producer.lastAnswer(1)?.msAgo ?? Number.POSITIVE_INFINITY;
  await until(() => agoMs() < performance.now() - answered, { what: 'a newer answer' });
  assert.equal(lane.producer.partitionCount(1), 0);
  assert.equal(lane.producer.trouble, '');
  await lane.close();
});

test('metadata lists brokers and partitions, and says why without a broker', async () => {
  const lane = new TestLane();
  await lane.topic(1, 'described');
  const metadata = await lane.producer.metadata({ topic: 'described', timeoutMs: 5_000 });
  assert.equal(metadata.brokers.length, 1);
  assert.deepEqual(
    metadata.topics.map((t) => [t.name, t.partitions.length]),
    [['described', 4]],
  );
  await lane.close();
  const config = { 'bootstrap.servers': '127.0.0.1:1', 'test.mock.num.brokers': '0' };
  const away = new TestLane({ config });
  await until(() => away.producer.trouble !== '', { what: 'the refused connection' });
  assert.match(away.producer.trouble, /127\.0\.0\.1:1\b.*refused/);
  const asked = away.producer.metadata({ topic: 'x', timeoutMs: 200 });
  await assert.rejects(
    within(asked, GIVE_UP_MS, 'an answer'),
    (error: Error & { kafkaCode?: number }) => {
      assert.ok((error.kafkaCode ?? 0) < 0);
      assert.match(error.message, /127\.0\.0\.1:1\b.*refused/);
      return true;
    },
  );
  await away.close();
});

test('bad settings and bad requests are refused in words', async () => {
  assert.throws(() => new TestLane({ config: { 'no.such.setting': '1' } }), /no.such.setting/);
  const lane = new TestLane();
  await lane.topic(1, 'strict');
  assert.throws(() =>
    lane.produce([{ topic: 1, value: 'v' }], { segmentCounts: Int32Array.of(0) }),
  );
  assert.throws(() => lane.produce([], { payload: Buffer.alloc(5) }), /do not fit/);
  assert.throws(() => lane.producer.setTopic(1, 'another'), /another topic/);
  await lane.close();
  assert.throws(() => lane.produce([]), /closed/);
});
