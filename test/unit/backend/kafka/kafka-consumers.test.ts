import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  KafkaConsumers,
  type KafkaConsumersOptions,
} from '../../../../src/backend/kafka/kafka-consumers.ts';
import type { TailPool } from '../../../../src/backend/kafka/tail-pool.ts';
import { systemClock } from '../../../../src/base/clock.ts';

/** A cluster with one topic, `t`, and what was asked of its leaders. */
function cluster(leaders: readonly number[]) {
  const asked: number[] = [];
  const tails = {
    offsets: async ({ partition }: { partition: number }) => {
      asked.push(partition);
      return { startOffset: 5, endOffset: 5 + partition };
    },
  } as unknown as TailPool;
  const topics = { leaders: async (name: string) => (name === 't' ? leaders : undefined) };
  const options = { cluster: 0, config: {}, clock: systemClock, tails, topics };
  const consumers = new KafkaConsumers(options as unknown as KafkaConsumersOptions);
  return { consumers, asked, tails };
}

test('the span of a partition is asked of its leader alone, and of nobody where there is none', async () => {
  const { consumers, asked } = cluster([1, -1, 2]);
  assert.deepEqual(await consumers.span({ topic: 't', partition: 2 }), {
    partition: 2,
    startOffset: 5,
    endOffset: 7,
    leader: 2,
  });
  const unled = consumers.span({ topic: 't', partition: 1 });
  await assert.rejects(unled, { code: 'BACKEND_UNAVAILABLE' });
  assert.deepEqual(asked, [2], 'the question would stand before those of others');
  const unknown = consumers.span({ topic: 't', partition: 3 });
  await assert.rejects(unknown, { code: 'UNKNOWN_PARTITION' });
  const missing = consumers.span({ topic: 'u', partition: 0 });
  await assert.rejects(missing, { code: 'UNKNOWN_TOPIC' });
});

test('a partition that a reader does not know yet is asked for again', async () => {
  const { consumers, tails } = cluster([1]);
  tails.offsets = () => Promise.reject(Object.assign(new Error('no'), { kafkaCode: -190 }));
  const span = consumers.span({ topic: 't', partition: 0 });
  await assert.rejects(span, { code: 'BACKEND_UNAVAILABLE', retryAfterMs: 1000 });
});
