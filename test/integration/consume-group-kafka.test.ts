import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { cleanUp } from '../support/clean-up.ts';
import { Ledger, produceNumbers, startConsumeNode, WAIT_MS } from '../support/consume-ledger.ts';
import { sharedKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { metric } from '../support/node-state.ts';
import { RawConsumer } from '../support/raw-consumer.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const brokers = await sharedKafka();

async function admin() {
  const made = kafkaClient(brokers).admin();
  await made.connect();
  cleanUp(() => made.disconnect());
  return made;
}

test('any number of consumers share the partitions, on a full disk too, and Kafka sees the floor of the group', async () => {
  const config = join(tempDir(), 'mqproxy.yaml');
  const leave = (bytes: string) => writeFileSync(config, `outbox: { freeBytesMin: ${bytes} }\n`);
  leave('1MiB');
  const node = await startConsumeNode(brokers, '--config', config);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(node.mqp, topic, 0, 2_000);
  leave('1024TiB');
  node.signal('SIGHUP');
  const isPressed = async () => (await metric(node, 'mqproxy_outbox_pressure')) > 0;
  await until(isPressed, { what: 'the soft mark' });
  const ledger = new Ledger();
  const asked = { group, topics: [topic], creditMessages: 50 };
  for (let i = 0; i < 8; i++) ledger.attach(await RawConsumer.open(node.mqp, asked));
  await ledger.ackedAll(2_000, 'every message to be acked');
  assert.deepEqual(ledger.afterAck, []);
  assert(Array.from(ledger.deliveries.values()).every((times) => times === 1));
  const kafka = await admin();
  await until(
    async () => {
      const [offsets] = await kafka.fetchOffsets({ groupId: group, topics: [topic] });
      const sum = (offsets?.partitions ?? []).reduce((all, p) => all + Number(p.offset), 0);
      return sum === 2_000;
    },
    { timeoutMs: WAIT_MS, what: 'Kafka to show the floor' },
  );
});

test("offsets that Kafka's own tools reset are honoured, with an empty map", async () => {
  const node = await startConsumeNode(brokers);
  const topic = uniqueTopic('consume');
  const group = uniqueTopic('group');
  await produceNumbers(node.mqp, topic, 0, 100);
  const ledger = new Ledger();
  ledger.attach(await RawConsumer.open(node.mqp, { group, topics: [topic] }));
  await ledger.ackedAll(100, 'all messages');
  await node.kill('SIGTERM');
  const kafka = await admin();
  const partitions = [0, 1, 2, 3].map((partition) => ({ partition, offset: '0' }));
  await kafka.setOffsets({ groupId: group, topic, partitions });
  await node.restart();
  const again = new Ledger();
  again.attach(await RawConsumer.open(node.mqp, { group, topics: [topic] }));
  await again.ackedAll(100, 'all messages again');
});
