import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DELAY_PARTITIONS } from '../../protocol/src/delay-id.ts';
import type { Delayed } from '../../protocol/src/delayed.ts';
import { cleanUp } from '../support/clean-up.ts';
import { connect, connectDelay } from '../support/connect.ts';
import { skipWithoutKafka, startKafka } from '../support/kafka.ts';
import { kafkaClient, readTopic } from '../support/kafka-read.ts';
import type { TestServer } from '../support/start-server.ts';
import { uniqueTopic } from '../support/topics.ts';
import { startBetween, untilCluster, untilReady } from '../support/two-clusters.ts';
import { until } from '../support/wait.ts';

const hour = 3_600_000;
const patient = { everyMs: 100 };

/** A metric of delays, by cluster. */
async function metric(server: TestServer, name: string): Promise<number[]> {
  const { host, port } = server.admin;
  const text = await (await fetch(`http://${host}:${port}/metrics`)).text();
  return [0, 1].map((cluster) => {
    const line = new RegExp(`^mqproxy_delay_${name}\\{cluster="${cluster}"[^}]*\\} (\\S+)$`, 'm');
    return Number(line.exec(text)?.[1]);
  });
}

/** Puts delayed messages into another delay log too, where a frozen broker did not take them. */
async function copyDelays(from: string, to: string, ids: readonly string[]): Promise<void> {
  const topic = '__mqproxy.delay';
  const producer = kafkaClient(to).producer();
  await producer.connect();
  const wanted = (key: Buffer | null) => ids.includes(`d1-${key?.toString('hex')}`);
  for (const { key, value, partition, headers } of await readTopic(from, topic)) {
    if (!wanted(key) || value === null) continue;
    const messages = [{ key, value, partition, headers: Object.fromEntries(headers) }];
    await producer.send({ topic, messages });
  }
  await producer.disconnect();
}

/** Is refused so in the end; where a try is under way when its time is over it has no answer. */
async function refuses(ask: () => Promise<unknown>, words: RegExp): Promise<void> {
  const isRefused = async () => {
    const error = await ask().then(
      () => assert.fail('it was answered'),
      (cause: unknown) => cause as Error & { code?: string },
    );
    if (error.code === 'TIMED_OUT') return false;
    assert.match(`${error.code}: ${error.message}`, words);
    return true;
  };
  await until(isRefused, { ...patient, what: `a refusal that says ${words}` });
}

test('what was delayed during a fail-over is found, moved, cancelled and fired, and so are its copies', {
  skip: skipWithoutKafka(),
}, async () => {
  const heap = { heapMaxMib: 320 };
  const [first, second] = await Promise.all([startKafka(heap), startKafka(heap)]);
  const server = await startBetween({ primary: first.address, backup: second.address });
  await untilReady(server);
  const client = await connectDelay(server, { partitions: 2 * DELAY_PARTITIONS });
  // What is refused as retriable is tried again for so long.
  const hasty = await connect(server, { timeoutMs: 2_000 });
  cleanUp(() => hasty.close({ timeoutMs: 0 }));
  const topic = uniqueTopic('both');
  const config = { 'message.timestamp.type': 'LogAppendTime' };
  await client.createTopic(topic, { partitions: 1, config });
  const send = async (value: string, delayMs = hour) => {
    const sent = await client.produce(topic, { value, delayMs }, { ack: 'replicated' });
    return { id: sent.delayId ?? '', messageId: sent.id };
  };
  const listed = () => client.delayed.list({ topic });
  const where = (delays: readonly Delayed[], id: string) =>
    delays.filter((delay) => delay.id === id).map(({ cluster }) => cluster);
  const fired = async (address: string) =>
    (await readTopic(address, topic)).map(({ value }) => `${value}`);

  const early = await send('early');
  await until(async () => (await listed()).delays.length === 1, patient);

  first.pause();
  // On their way when it froze: the backup gets them, and the frozen broker may have them too.
  const copied = await Promise.all([send('gone'), send('moved')]);
  await untilCluster(server, 'the backup to be used', ({ inUse }) => inUse === 'backup');
  const [late, gone, stays] = [await send('late'), await send('cancelled'), await send('stays')];
  await until(
    async () => {
      const { delays, unreachable } = await listed();
      return delays.length === 5 && unreachable?.[0] === 0;
    },
    { ...patient, what: 'the primary to be unreachable, and what the backup has to be listed' },
  );
  const shown = await client.delayed.get({ id: late.id });
  assert.deepEqual([shown.cluster, Buffer.from(shown.value ?? '').toString()], [1, 'late']);
  const stats = await client.delayed.stats();
  assert.deepEqual([stats.pending, stats.unreachable, stats.clusters?.length], [5, [0], 1]);
  await Promise.all([
    refuses(() => hasty.delayed.cancel({ id: gone.id }), /cancelled on the backup cluster/),
    refuses(() => hasty.delayed.move({ id: late.id, delayMs: 0 }), /moved on the backup clus/),
  ]);
  const isThere = async () => (await fired(second.address)).includes('late');
  await until(isThere, { ...patient, what: 'what was moved fires while the primary is away' });
  await Promise.all([
    refuses(() => hasty.delayed.get({ id: gone.id }), /RETRY_LATER/),
    refuses(() => hasty.delayed.series.cancel('none'), /RETRY_LATER/),
  ]);

  first.resume();
  await untilCluster(server, 'the primary to be used again', ({ inUse }) => inUse === 'primary');
  const [copy, toMove] = copied;
  const isBack = async () => (await listed()).unreachable === undefined;
  await until(isBack, { ...patient, what: 'the primary to be asked again' });
  const before = (await listed()).delays;
  const single = copied.filter(({ id }) => where(before, id).length < 2);
  await copyDelays(
    second.address,
    first.address,
    single.map(({ id }) => id),
  );
  await until(
    async () => {
      const { delays } = await listed();
      return copied.every(({ id }) => where(delays, id).length === 2);
    },
    { ...patient, what: 'both copies of what was sent again' },
  );
  const { delays } = await listed();
  assert.deepEqual([where(delays, early.id), where(delays, stays.id)], [[0], [1]]);
  const pending = async () => `${await metric(server, 'pending')}` === '3,3';
  await until(pending, { ...patient, what: 'three to be counted in each cluster' });
  assert.equal(await client.delayed.cancel({ id: gone.id }), 'cancelled', 'as it was before');
  assert.equal(await client.delayed.cancel({ id: copy?.id ?? '' }), 'cancelled');
  assert.equal(await client.delayed.cancel({ id: early.id }), 'cancelled');
  for (const { id } of [toMove, stays].flatMap((one) => one ?? [])) {
    assert.equal((await client.delayed.move({ id, delayMs: 0 })).outcome, 'moved');
  }
  const isEmpty = async () => (await listed()).delays.length === 0;
  await until(isEmpty, { ...patient, what: 'nothing to wait any more' });
  assert.deepEqual(await fired(first.address), ['moved']);
  assert.deepEqual((await fired(second.address)).sort(), ['late', 'moved', 'stays']);
  const ids = [first, second].map(async ({ address }) => {
    const all = await readTopic(address, topic);
    return all.find(({ value }) => `${value}` === 'moved')?.mq?.id;
  });
  assert.deepEqual(await Promise.all(ids), [toMove?.messageId, toMove?.messageId]);
  assert.deepEqual(await metric(server, 'fired_total'), [1, 3]);
  assert.deepEqual(await metric(server, 'lag_seconds_count'), [1, 3]);
  await client.close();
});
