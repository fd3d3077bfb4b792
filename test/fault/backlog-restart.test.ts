import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { runNative } from '../../bench/programs.ts';
import { Cores } from '../support/cores.ts';
import { bytesBelow } from '../support/data-dir.ts';
import { skipWithoutKafka } from '../support/kafka.ts';
import { kafkaClient } from '../support/kafka-read.ts';
import { laneStates, metric, untilDrained } from '../support/node-state.ts';
import { startProxiedKafka } from '../support/proxied-kafka.ts';
import { RawClient } from '../support/raw-client.ts';
import { repoRoot } from '../support/repo.ts';
import { countOf } from '../support/seeded.ts';
import { startServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { until } from '../support/wait.ts';

const isLong = process.env['MQPROXY_TEST_SCALE'] === 'long';
const backlogMiB = countOf('MQP_BACKLOG_MIB', isLong ? 1024 : 128);
const mib = 1024 * 1024;
const valueBytes = 4096;
/**
 * What may stay on the disk: a drained outbox is compacted when it has freed 256 MiB, which only
 * the long run does.
 */
const keptMiB = 400;
const answeredWithinMs = 5_000;
const isBuilt = existsSync(join(repoRoot, 'build', 'Release', 'mq_load'));
const skip = skipWithoutKafka() || (isBuilt ? false : 'mq_load is not built');

/** How many messages of a topic Kafka has. */
async function messagesIn(brokers: string, topic: string): Promise<number> {
  const admin = kafkaClient(brokers).admin();
  await admin.connect();
  try {
    const ends = await admin.fetchTopicOffsets(topic);
    return ends.reduce((sum, { low, high }) => sum + Number(high) - Number(low), 0);
  } finally {
    await admin.disconnect();
  }
}

test(`after a kill with ${backlogMiB} MiB in the outbox the node answers within 5 s, and sends it behind that`, {
  skip,
}, async () => {
  const { broker, proxy, address } = await startProxiedKafka({ heapMaxMib: 512 });
  const topic = uniqueTopic('backlog');
  const marks = ['--outbox.bytes-max', '8GiB', '--outbox.hard-bytes-max', '9GiB'];
  const server = await startServer({
    backend: 'kafka',
    kafkaBrokers: address,
    args: ['--lanes', '1', ...marks],
  });
  const before = await RawClient.connect(server.mqp, { producerId: 5n });
  const { topicId } = await before.open(topic);
  const [first] = await before.produce({ topic: topicId, first: 1, values: ['1'] });
  assert.equal(first?.name, 'OK');
  await untilDrained(server);
  await proxy.setMode('refuse');
  const count = Math.ceil((backlogMiB * mib) / valueBytes);
  const shape = { port: server.mqp.port, topic, connections: 4, batch: 16, size: valueBytes };
  const load = await runNative('mq_load', { ...shape, count, duration: 600, warmup: 0 });
  assert.deepEqual([load.acked, load.failed], [count, 0]);
  const full = bytesBelow(join(server.dataDir, 'lanes'));
  assert(full >= backlogMiB * mib, `${full} bytes on the disk`);
  await server.kill('SIGKILL');
  await proxy.setMode('pass');
  const killed = performance.now();
  const cores = new Cores();
  await server.restart();
  const client = await RawClient.connect(server.mqp, { producerId: 5n });
  const { topicId: again } = await client.open(topic);
  const [outcome] = await client.produce({ topic: again, first: 2, values: ['2'] });
  const tookMs = Math.round(performance.now() - killed);
  assert.equal(outcome?.name, 'OK');
  const areJudged = cores.wereThere(`backlogMiB=${backlogMiB} firstOkMs=${tookMs}`);
  const [lane] = await laneStates(server);
  assert((lane?.outboxMessages ?? 0) > count / 2, 'the backlog is still there');
  // New messages are answered while it is being sent.
  const confirmed = () => metric(server, 'mqproxy_messages_confirmed_total');
  await until(async () => (await confirmed()) > 0, { timeoutMs: 60_000, what: 'the drain' });
  for (let sequence = 3; sequence < 103; sequence++) {
    const [next] = await client.produce({ topic: again, first: sequence, values: ['n'] });
    assert.equal(next?.name, 'OK');
  }
  await untilDrained(server, 60_000 + backlogMiB * 500);
  const drainedMs = Math.round(performance.now() - killed);
  assert((await messagesIn(broker.address, topic)) >= count + 102, 'all of it has arrived');
  const folder = join(server.dataDir, 'lanes');
  const isGivenBack = () => bytesBelow(folder) < keptMiB * mib;
  if (backlogMiB > 2 * keptMiB)
    await until(isGivenBack, { timeoutMs: 60_000, what: 'the space to be given back' });
  const [fullMiB, leftMiB] = [full, bytesBelow(folder)].map((bytes) => Math.round(bytes / mib));
  console.log(`fullMiB=${fullMiB} leftMiB=${leftMiB}`);
  console.log(`drainedMs=${drainedMs}`);
  if (areJudged)
    assert(tookMs <= answeredWithinMs, `${tookMs} ms from the restart to the first answer`);
});
