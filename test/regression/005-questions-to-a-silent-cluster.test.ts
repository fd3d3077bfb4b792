import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GIVE_UP_MS, within } from '../support/wait.ts';
import { TestLane } from '../unit/native/kafka-lane.ts';

test('questions to a cluster that is away do not wait for each other', async () => {
  const config = { 'bootstrap.servers': '127.0.0.1:1', 'test.mock.num.brokers': '0' };
  const away = new TestLane({ config });
  const timeoutMs = 2_000;
  const began = performance.now();
  const asked = Array.from({ length: 8 }, () => away.producer.metadata({ timeoutMs }));
  const answers = await within(Promise.allSettled(asked), GIVE_UP_MS, 'eight answers');
  const tookMs = performance.now() - began;
  assert.ok(answers.every(({ status }) => status === 'rejected'));
  // One after the other would be eight times the timeout.
  assert.ok(tookMs < 5 * timeoutMs, `${tookMs} ms`);
  await away.close();
});
