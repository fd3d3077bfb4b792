import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Ledger, produceNumbers, startConsumeNode, WAIT_MS } from '../support/consume-ledger.ts';
import { sharedKafka } from '../support/kafka.ts';
import { RawConsumer } from '../support/raw-consumer.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const brokers = await sharedKafka();

test('two nodes share a group; one is killed, then one stopped, and no acked message comes again', async () => {
  const [one, two] = await Promise.all([startConsumeNode(brokers), startConsumeNode(brokers)]);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(one.mqp, topic, 0, 500);
  const ledger = new Ledger();
  const asked = { group, topics: [topic], creditMessages: 20 };
  const first = await RawConsumer.open(one.mqp, asked);
  const second = await RawConsumer.open(two.mqp, asked);
  ledger.attach(first);
  ledger.attach(second);
  const shared = () => first.assigned + second.assigned === 4 && first.assigned > 0;
  await until(() => shared() && second.assigned > 0, { timeoutMs: WAIT_MS, what: 'both to read' });
  await produceNumbers(one.mqp, topic, 500, 1_000);
  await ledger.ackedAll(1_000, 'all messages of both nodes');
  await two.kill();
  await produceNumbers(one.mqp, topic, 1_000, 1_500);
  await ledger.ackedAll(1_500, 'all messages after a kill');
  await two.restart();
  const again = await RawConsumer.open(two.mqp, asked);
  ledger.attach(again);
  await until(() => again.assigned > 0, { timeoutMs: WAIT_MS, what: 'the node to read again' });
  await Promise.all([one.kill('SIGTERM'), produceNumbers(two.mqp, topic, 1_500, 2_000)]);
  await ledger.ackedAll(2_000, 'all messages after a stop');
  assert.deepEqual(ledger.afterAck, []);
});
