import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import { coded } from '../../../src/base/errors.ts';
import { consumeHistograms, consumeMetrics } from '../../../src/http/consume-metrics.ts';
import { fetched } from '../../support/fetched.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest } from '../consume/engine-doubles.ts';

function clusterWith(messages: number): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...Array.from({ length: messages }, (_, i) => ({ value: `m${i}` })));
  return cluster;
}

/** What a scrape of the engine says, by name and labels, without the prefix. */
async function scrape({ engine }: EngineUnderTest): Promise<Map<string, number>> {
  const registry = new Registry();
  consumeMetrics(registry, () => engine);
  const text = (await registry.metrics()) + consumeHistograms(engine.stats);
  const lines = text.split('\n').filter((line) => line.startsWith('mqproxy_'));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice('mqproxy_consume_'.length, at), Number(line.slice(at + 1))];
    }),
  );
}

const again = (cause: string): string => `redelivered_messages_total{cause="${cause}"}`;

test('the time from a delivery to its ack is counted by message, also of a COMMIT', async () => {
  const under = new EngineUnderTest(clusterWith(6));
  const client = await under.subscribe();
  const [slow, ...quick] = client.take();
  assert(slow !== undefined);
  under.ack(quick);
  await under.pass(300);
  under.ack([slow, slow]);
  const said = await scrape(under);
  const bucket = (le: string): number | undefined => said.get(`ack_seconds_bucket{le="${le}"}`);
  // The clock of the test stands still while messages are delivered, within 60 ms.
  assert.deepEqual([bucket('0.1'), bucket('0.25'), bucket('0.5')], [5, 5, 6]);
  assert.deepEqual([bucket('+Inf'), said.get('ack_seconds_count')], [6, 6]);
  const sum = said.get('ack_seconds_sum') ?? 0;
  assert(sum >= 0.3 && sum < 0.7, `${sum} s in all`);
  const ordered = new EngineUnderTest(clusterWith(4));
  const reader = await ordered.subscribe({ mode: 'partition-ordered' });
  await ordered.pass(2_000);
  ordered.commit(reader.take()[2] as NonNullable<typeof slow>);
  const committed = await scrape(ordered);
  assert.equal(committed.get('ack_seconds_bucket{le="1"}'), 0);
  assert.equal(committed.get('ack_seconds_bucket{le="2.5"}'), 3);
});

test('deliveries that acked messages had are counted, and what came again by its cause', async () => {
  const under = new EngineUnderTest(clusterWith(4));
  const client = await under.subscribe();
  const other = await under.subscribe();
  const got = client.take();
  under.nack(got.slice(0, 1));
  await under.pass(20);
  const [retried] = [...client.take(), ...other.take()];
  assert.equal(retried?.attempt, 2);
  under.ack([retried as NonNullable<typeof retried>, ...got.slice(1, 3)]);
  under.engine.unsubscribe(client.id, client.sub.subscription);
  await under.pass(20);
  under.ack(other.take());
  const said = await scrape(under);
  assert.equal(said.get('attempts_bucket{le="1"}'), 3);
  assert.equal(said.get('attempts_bucket{le="2"}'), 4);
  assert.deepEqual([said.get('attempts_sum'), said.get('attempts_count')], [5, 4]);
  const causes = ['failed', 'returned', 'owner'].map((cause) => said.get(again(cause)));
  assert.deepEqual(causes, [1, 1, 0]);
});

test('what comes again since its owner died is counted, and nothing after a planned stop', async () => {
  const cluster = clusterWith(10);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ leaseMs: 60_000 });
  under.ack(client.take().slice(0, 3));
  await under.pass(150);
  cluster.members.clear();
  // One that is gone before it has committed more than its claim.
  await new EngineUnderTest(cluster, { nodeId: 'node-x' }).subscribe();
  cluster.members.clear();
  cluster.append('t', 0, { value: 'never given out' });
  const next = new EngineUnderTest(cluster, { nodeId: 'node-2' });
  const heir = await next.subscribe({ leaseMs: 60_000 });
  assert.equal(heir.take().length, 8);
  assert.equal((await scrape(next)).get(again('owner')), 7);
  const [member] = cluster.members;
  const revoked = member?.revoke([{ topic: 't', partition: 0 }]);
  await next.pass(4_200);
  await revoked;
  cluster.members.clear();
  cluster.append('t', 0, { value: 'new' });
  const last = new EngineUnderTest(cluster, { nodeId: 'node-3' });
  assert.equal((await last.subscribe()).take().length, 1);
  const said = await scrape(last);
  assert.equal(said.get(again('owner')), 0);
});

test('what is gone from the log has its cause, and every cause is there from the start', async () => {
  const cluster = clusterWith(20);
  cluster.logOf('t', 0).start = 12;
  cluster.commits.set('g/t/0', { topic: 't', partition: 0, offset: 4, metadata: '' });
  const under = new EngineUnderTest(cluster);
  await under.subscribe();
  const said = await scrape(under);
  const lost = (cause: string) => said.get(`lost_messages_total{cause="${cause}"}`);
  assert.deepEqual([lost('retention'), lost('compaction'), lost('cut')], [8, 0, 0]);
  assert.equal(said.get('lag_messages{cluster="0",group="g",topic="t"}'), 8);
  assert.equal(said.get('in_flight_messages{cluster="0",group="g",topic="t"}'), 8);
});

test('a partition whose commits are not taken is counted until they are', async () => {
  const cluster = clusterWith(1);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  const faults = async () =>
    (await scrape(under)).get('commit_faults{cluster="0",group="g",topic="t"}');
  cluster.refusal = coded('BACKEND_UNAVAILABLE', 'it is away');
  under.ack(client.take());
  await under.pass(150);
  assert.equal(await faults(), 1);
  cluster.refusal = undefined;
  await under.pass(600);
  assert.equal(await faults(), 0);
});

test('a scrape says where the floor stands, what the window holds, what is acked beyond, and who reads', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const id = Buffer.alloc(16, 7);
  const ofTen = { value: '0123456789' };
  cluster.append('t', 0, { ...ofTen, id }, ofTen, ofTen, { ...ofTen, id }, ofTen, ofTen);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe({ leaseMs: 1_000, creditMessages: 4 });
  const other = await under.subscribe({ creditMessages: 1, leaseMs: 60_000 });
  const [first, second, third, fourth] = client.take();
  assert(first !== undefined && second !== undefined && third !== undefined);
  assert.equal(fourth?.offset, 4, 'a copy has no place among them');
  assert.equal(other.take().length, 1);
  const before = await scrape(under);
  const of = (said: Map<string, number>, name: string) =>
    said.get(`${name}{cluster="0",group="g",topic="t"}`);
  assert.equal(of(before, 'window_messages'), 5);
  assert.equal(of(before, 'in_flight_messages'), 5);
  // The copy is finished, behind the head.
  assert.equal(of(before, 'map_messages'), 1);
  // Memory goes with the fetch that brought it, the copy with it.
  const { records } = fetched(cluster.logOf('t', 0).records);
  assert.equal(of(before, 'window_bytes'), records.length);
  under.ack([second, third]);
  await under.pass(500);
  const said = await scrape(under);
  assert.equal(of(said, 'window_messages'), 3);
  assert.equal(of(said, 'map_messages'), 3);
  assert.equal(of(said, 'blocked_messages'), 0);
  const age = of(said, 'floor_age_seconds') ?? 0;
  assert(age >= 0.5 && age < 0.7, `the floor stands for ${age} s`);
  assert.equal(said.get('duplicate_messages_total'), 1);
  assert.equal(said.get('subscriptions{group="g"}'), 2);
  assert.equal(said.get('rebalances_total'), 1);
  assert.equal(said.get('expired_leases_total'), 0);
  // Those of the first and the fourth; the one of the other consumer lasts.
  await under.pass(600);
  const late = await scrape(under);
  assert.equal(late.get('expired_leases_total'), 2);
  under.engine.unsubscribe(client.id, client.sub.subscription);
  const [member] = cluster.members;
  member?.lose();
  await under.pass(10);
  const gone = await scrape(under);
  assert.equal(gone.get('subscriptions{group="g"}'), 1);
  assert.equal(gone.get('rebalances_total'), 2);
  assert.equal(of(gone, 'window_messages'), undefined);
});
