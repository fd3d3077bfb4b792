import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkDelivery, holdNoted, readKafka } from '../support/delivered.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { metric, untilDrained } from '../support/node-state.ts';
import { ProducerCrew } from '../support/producer-crew.ts';
import { runCli } from '../support/run-cli.ts';
import { startServer } from '../support/start-server.ts';
import { tempDir } from '../support/temp-dir.ts';
import { uniqueTopic } from '../support/topics.ts';
import { passing, until } from '../support/wait.ts';
import { impatientBuild, sumOf } from './impatient-build.ts';

test('an outage parks nothing, a topic that waits is never parked, and a full log says so and loses nothing', {
  skip: skipWithoutKafka(),
}, async () => {
  const broker = await startKafka({ heapMaxMib: 320 });
  const topics = ['stuck', 'patient', 'well'].map((name) => uniqueTopic(name));
  const [stuck = '', patient = ''] = topics;
  const config = join(tempDir(), 'mqproxy.yaml');
  const settings = (parkedBytesMax: string) =>
    writeFileSync(
      config,
      `outbox: { parkedBytesMax: ${parkedBytesMax} }\ntopics: { overrides: { ${patient}: { failover: wait } } }\n`,
    );
  settings('32KiB');
  const server = await startServer({
    backend: 'kafka',
    kafkaBrokers: broker.address,
    args: ['--lanes', '1', '--config', config],
    entry: impatientBuild(),
  });
  const address = `${server.mqp.host}:${server.mqp.port}`;
  const crew = await ProducerCrew.start({
    server: address,
    topics,
    clients: 2,
    window: 12,
    ratePerSecond: 300,
  });
  const answers = (more: number) => {
    const goal = crew.answered.length + more;
    return until(() => crew.answered.length >= goal, { what: 'answers', timeoutMs: 60_000 });
  };
  await answers(200);
  await untilDrained(server);
  broker.pause();
  // Twice as long as a topic that is stuck alone is given.
  await passing(4_000);
  await until(async () => (await sumOf(server, 'outboxMessages')) > 300, {
    what: 'everything to wait',
  });
  assert.equal(await metric(server, 'mqproxy_messages_parked_total'), 0);
  broker.resume();
  await until(() => metric(server, 'mqproxy_backend_reachable'), { timeoutMs: 60_000 });
  await until(async () => (await sumOf(server, 'outboxMessages')) < 100, { timeoutMs: 60_000 });
  assert.equal(await metric(server, 'mqproxy_messages_parked_total'), 0);
  const admin = kafkaClient(broker.address).admin();
  await admin.connect();
  await admin.deleteTopics({ topics: [stuck, patient] });
  const isFull = async () => (await metric(server, 'mqproxy_aside_full')) === 2;
  await until(isFull, { timeoutMs: 60_000, what: 'the parked log to be full', everyMs: 50 });
  // What was on its way to the old topics is gone with them; what comes from here on is not.
  const from = crew.answered.length;
  const full = await metric(server, 'mqproxy_parked_bytes');
  await answers(400);
  const { stdout } = await runCli(['parked', 'list', '--json', '--server', address]);
  const listed = stdout.trim().split('\n');
  assert.deepEqual(
    listed.map((line) => (JSON.parse(line) as { topic: string }).topic),
    [stuck],
  );
  assert.equal(await metric(server, 'mqproxy_parked_bytes'), full, 'nothing goes into a full log');
  assert((await sumOf(server, 'outboxMessages')) > 200, 'the rest waits in the outbox');
  const ready = await fetch(`http://${server.admin.host}:${server.admin.port}/readyz`);
  assert.equal(ready.status, 200);
  assert.match(await ready.text(), /the parked log of lane 0 is full/);
  await crew.stop();
  assert.deepEqual(crew.failed, []);
  settings('64MiB');
  server.signal('SIGHUP');
  await until(async () => (await metric(server, 'mqproxy_parked_bytes')) > full, {
    what: 'more to be parked',
  });
  const numPartitions = 4;
  await admin.createTopics({ topics: [stuck, patient].map((topic) => ({ topic, numPartitions })) });
  await admin.disconnect();
  const parked = async () => (await sumOf(server, 'parkedMessages')) === 0;
  await until(parked, { timeoutMs: 120_000, what: 'the parked log to be empty' });
  await untilDrained(server, 120_000);
  const found = await readKafka(broker.address, topics);
  const duplicates = checkDelivery(crew.answered.slice(from), found);
  holdNoted(server, duplicates);
  console.log(`answered=${crew.answered.length} duplicates=${duplicates.size} fullAt=${full}`);
});
