import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connectDelay } from '../support/connect.ts';
import { textOf } from '../support/dead-letters.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const args = [
  ...['--cluster.secret', 'the nodes of this test share it'],
  ...['--topics.replication-factor', '1'],
  ...['--retry.in-place-max', '100', '--retry.backoff.table', '1000'],
  ...['--retry.backoff.jitter-percent', '0'],
];
const patient = { timeoutMs: 60_000, everyMs: 100 };
const MESSAGES = 80;
/** A node looks every 30 s at least; then the group shares its partitions anew. */
const FOUND_WITHIN_MS = 35_000;

test('what one node put off is delivered by the other when the one has no consumer any more', {
  skip: skipWithoutKafka(),
}, async () => {
  // A broker of its own: all nodes of one share the partitions of its delay log.
  const broker = await startKafka({ heapMaxMib: 320 });
  const asked = { backend: 'kafka', kafkaBrokers: broker.address, args } as const;
  const servers = await Promise.all([startServer(asked), startServer(asked)]);
  const half = { partitions: 8 };
  const [one, two] = await Promise.all(servers.map((server) => connectDelay(server, half)));
  assert(one !== undefined && two !== undefined);
  const topic = uniqueTopic('orders');
  await one.createTopic(topic, { partitions: 4 });
  // At the end: what was put off must not be passed over by who finds its topic later.
  const subscription = { group: uniqueTopic('billing'), topics: [topic], start: 'end' } as const;
  const failing = await one.subscribe(subscription);
  const working = await two.subscribe(subscription);
  const putOff = new Set<string>();
  const done: string[] = [];
  void failing.run((message) => {
    putOff.add(textOf(message));
    throw new TypeError('not here');
  });
  void working.run((message) => {
    done.push(textOf(message));
  });
  const share = () => failing.info?.assigned === 2 && working.info?.assigned === 2;
  await until(share, { ...patient, what: 'both read' });
  const values = Array.from({ length: MESSAGES }, (_, i) => `m${i}`);
  // With keys, so that each partition has some.
  await Promise.all(values.map((value) => one.produce(topic, { key: value, value })));
  await until(() => new Set([...putOff, ...done]).size === MESSAGES, {
    ...patient,
    what: 'all came',
  });
  assert(putOff.size > 0 && done.length > 0);
  const retries = `${topic}.${subscription.group}.retry`;
  const isThere = async () => (await two.listTopics(retries)).length === 1;
  await until(isThere, { ...patient, what: 'the topic of what was put off' });

  const startMs = performance.now();
  await failing.close();
  const found = { timeoutMs: FOUND_WITHIN_MS, what: 'the other node to deliver all' };
  await until(() => done.length >= MESSAGES, found).catch(() => undefined);
  console.log(`putOff=${putOff.size} foundMs=${Math.round(performance.now() - startMs)}`);
  assert.deepEqual(done.sort(), values.sort());
  await one.close();
  await two.close();
});
