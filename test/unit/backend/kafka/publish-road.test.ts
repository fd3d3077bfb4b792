import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PublishVerdict } from '../../../../src/backend/kafka/publish-call.ts';
import { PublishRoad } from '../../../../src/backend/kafka/publish-road.ts';
import type { PublishRecord } from '../../../../src/backend/publisher-port.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { KAFKA_CODE, type KafkaProducer } from '../../../../src/native/kafka.ts';
import { FakeClock } from '../embedded/doubles.ts';
import { FakeProducer } from './doubles.ts';

const LOOK_MS = 100;
const TIMEOUT_MS = 30_000;
/** What was handed over is given up so long after its time. */
const VERDICT_LATE_MS = 1_500;
const MSG_TIMED_OUT = -192;
/** A topic that the cluster does not show is given up after this. */
const UNKNOWN_TOPIC_MS = 5_000;

function open() {
  const clock = new FakeClock();
  let producer: FakeProducer | undefined;
  const road = new PublishRoad({
    key: 'publish-primary',
    config: {},
    clock,
    log: silentLogger(),
    timeoutMs: TIMEOUT_MS,
    open: (options) => {
      producer = new FakeProducer(options, clock);
      return producer as unknown as KafkaProducer;
    },
  });
  assert(producer);
  return { clock, road, producer };
}

function codeOfFirst([verdict]: readonly PublishVerdict[]): string | undefined {
  return verdict !== undefined && 'code' in verdict ? verdict.code : undefined;
}

const record: PublishRecord = {
  topic: 'orders',
  key: null,
  value: Buffer.from('value'),
  headers: new Uint8Array(0),
};

test('a producer that cannot be renewed is tried again at every look, and sends what waits then', async () => {
  const { clock, road, producer } = open();
  producer.isBarren = true;
  producer.break();
  const sent = road.send([record]);
  clock.advance(5 * LOOK_MS);
  assert.equal(producer.renewals, 6);
  producer.isBarren = false;
  clock.advance(LOOK_MS);
  assert.deepEqual(await sent, [{ partition: 0, offset: 7 }]);
  assert.equal(producer.generation, 2);
  await road.close();
});

test('an instance that another holder has renewed is not given up again', async () => {
  const { clock, road, producer } = open();
  producer.isBarren = true;
  producer.break();
  const sent = road.send([record]);
  clock.advance(LOOK_MS);
  producer.isBarren = producer.isBroken = false;
  producer.generation++;
  clock.advance(LOOK_MS);
  assert.deepEqual(await sent, [{ partition: 0, offset: 7 }]);
  assert.equal(producer.generation, 2);
  await road.close();
});

test('what waits for a producer that cannot be renewed is given up in time', async () => {
  const { clock, road, producer } = open();
  producer.isBarren = true;
  producer.isBroken = true;
  const sent = road.send([record]);
  clock.advance(TIMEOUT_MS + LOOK_MS);
  assert.equal(codeOfFirst(await sent), 'BACKEND_UNAVAILABLE');
  await road.close();
});

test('that there is no topic is said only when the cluster has said so since the call', async () => {
  const { clock, road, producer } = open();
  producer.unknown = { answeredMs: Number.NEGATIVE_INFINITY };
  const before = road.send([record]);
  clock.advance(UNKNOWN_TOPIC_MS);
  producer.unknown = { answeredMs: clock.monotonic() };
  const after = road.send([record]);
  clock.advance(LOOK_MS);
  assert.equal(codeOfFirst(await before), 'UNKNOWN_TOPIC');
  producer.trouble = 'connection refused';
  clock.advance(TIMEOUT_MS);
  assert.deepEqual(await after, [
    {
      code: 'BACKEND_UNAVAILABLE',
      message: 'Kafka took no more records in time: connection refused',
      retriable: true,
    },
  ]);
  await road.close();
});

test('that a topic may not be used, or has no leader yet, is not that there is none', async () => {
  const { clock, road, producer } = open();
  producer.unknown = { answeredMs: Number.NEGATIVE_INFINITY };
  const sent = road.send([record]);
  clock.advance(LOOK_MS);
  producer.unknown = { answeredMs: clock.monotonic(), code: KAFKA_CODE.TOPIC_AUTHORIZATION_FAILED };
  clock.advance(TIMEOUT_MS);
  assert.deepEqual(await sent, [
    {
      code: 'BACKEND_UNAVAILABLE',
      message: 'Kafka took no more records in time: TOPIC_AUTHORIZATION_FAILED',
      retriable: true,
    },
  ]);
  await road.close();
});

test("Kafka's own verdict on what was handed over comes first, also when it is late", async () => {
  const { clock, road, producer } = open();
  producer.isSilent = true;
  const sent = road.send([record]);
  clock.advance(TIMEOUT_MS + VERDICT_LATE_MS - LOOK_MS);
  producer.report(1, 1, MSG_TIMED_OUT);
  assert.deepEqual(await sent, [
    {
      code: 'BACKEND_UNAVAILABLE',
      message: 'Kafka refused the record: _MSG_TIMED_OUT',
      retriable: true,
    },
  ]);
  await road.close();
});

test('what was handed over is given up soon after its time, and a later verdict is not looked at', async () => {
  const { clock, road, producer } = open();
  producer.isSilent = true;
  const sent = road.send([record, record]);
  const short = road.send([record], 2 * LOOK_MS);
  clock.advance(2 * LOOK_MS + VERDICT_LATE_MS);
  assert.equal(codeOfFirst(await short), 'BACKEND_UNAVAILABLE');
  clock.advance(TIMEOUT_MS - 2 * LOOK_MS);
  const late = {
    code: 'BACKEND_UNAVAILABLE',
    message: 'Kafka gave no verdict in time',
    retriable: true,
  };
  assert.deepEqual(await sent, [late, late]);
  producer.report(1, 3);
  producer.isSilent = false;
  assert.deepEqual(await road.send([record]), [{ partition: 0, offset: 7 }]);
  await road.close();
});

test('a record waits behind earlier ones of its topic, and goes behind them', async () => {
  const { clock, road, producer } = open();
  producer.unknown = { answeredMs: Number.NEGATIVE_INFINITY };
  const first = road.send([record]);
  producer.unknown = undefined;
  const second = road.send([record]);
  assert.deepEqual(producer.blockedCalls, [false, true]);
  clock.advance(LOOK_MS);
  assert.deepEqual(await first, [{ partition: 0, offset: 7 }]);
  assert.deepEqual(await second, [{ partition: 0, offset: 7 }]);
  assert.deepEqual(producer.blockedCalls, [false, true, false, false]);
  await road.close();
});
