import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KafkaPublisher } from '../../../../src/backend/kafka/kafka-publisher.ts';
import { silentLogger } from '../../../../src/base/log.ts';
import { KAFKA_CODE, type KafkaProducer } from '../../../../src/native/kafka.ts';
import { FakeClock } from '../embedded/doubles.ts';
import { FakeProducer } from './doubles.ts';

const TIMEOUT_MS = 30_000;
/** What was handed over is given up so long after its time. */
const VERDICT_LATE_MS = 1_500;

test('what is sent again alone has what is left of its time', async () => {
  const clock = new FakeClock();
  const made: FakeProducer[] = [];
  const publisher = new KafkaPublisher({
    cluster: 0,
    config: {},
    clock,
    logger: silentLogger(),
    timeoutMs: TIMEOUT_MS,
    open: (options) => {
      const producer = new FakeProducer(options, clock);
      producer.isSilent = true;
      made.push(producer);
      return producer as unknown as KafkaProducer;
    },
  });
  const headers = new Uint8Array(0);
  const published = publisher.publish([{ topic: 'orders', key: null, value: null, headers }]);
  clock.advance(TIMEOUT_MS - 1_000);
  made[0]?.report(1, 1, KAFKA_CODE.MESSAGE_TOO_LARGE);
  await new Promise(setImmediate);
  assert.equal(made.length, 2, 'it is sent alone');
  clock.advance(1_000 + VERDICT_LATE_MS);
  const [verdict] = await published;
  assert.equal(verdict && 'code' in verdict && verdict.code, 'BACKEND_UNAVAILABLE');
  await publisher.close();
});
