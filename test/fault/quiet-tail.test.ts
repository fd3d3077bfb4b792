import assert from 'node:assert/strict';
import { test } from 'node:test';
import { KAFKA_CODE, openKafkaTail } from '../../src/native/kafka.ts';
import { MockKafka, skipWithoutMock } from '../support/mock-kafka.ts';
import { until } from '../support/wait.ts';

const OFFSET = 0;
const END = 2;

test('a read at the quiet end of a partition does not fail for an outage that is over', {
  skip: skipWithoutMock(),
}, async () => {
  const mock = await MockKafka.start(1);
  await mock.tell('topic quiet 2 1');
  const tail = openKafkaTail({ config: { 'bootstrap.servers': mock.address } });
  const at = { topic: 'quiet', position: 0, bytesMax: 100 };
  const codeOf = async (partition: number): Promise<number> => {
    try {
      await tail.read({ ...at, partition, from: OFFSET, waitMs: 50 });
      return KAFKA_CODE.OK;
    } catch (error) {
      return (error as { kafkaCode: number }).kafkaCode;
    }
  };
  // Both are read by one consumer, so what one hears of the brokers the other has heard too.
  for (const partition of [0, 1]) {
    const { nextOffset } = await tail.read({ ...at, partition, from: END, waitMs: 1_000 });
    assert.equal(nextOffset, 0);
  }
  await mock.tell('down 1');
  await until(async () => (await codeOf(1)) !== KAFKA_CODE.OK, { what: 'the outage' });
  await mock.tell('up 1');
  await until(async () => (await codeOf(1)) === KAFKA_CODE.OK, { what: 'the end of the outage' });
  assert.equal(await codeOf(0), KAFKA_CODE.OK);
  await tail.close();
});
