import { test } from 'node:test';
import { sharedKafka } from '../support/kafka.ts';
import { redriveAtRate } from '../support/redrive-at-rate.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const letters = countOf('MQP_LETTERS', isLong ? 100_000 : 4_000);
const patient = { timeoutMs: isLong ? 300_000 : 60_000, everyMs: isLong ? 1_000 : 100 };

test('a redrive at a rate keeps to it, and puts each dead letter back exactly once on Kafka', async () => {
  const server = await startServer({
    backend: 'kafka',
    kafkaBrokers: await sharedKafka(),
    args: ['--topics.replication-factor', '1'],
  });
  const of = { topic: uniqueTopic('orders'), group: uniqueTopic('billing') };
  await redriveAtRate({ server, of, letters, patient });
});
