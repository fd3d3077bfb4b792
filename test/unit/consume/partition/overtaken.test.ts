import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coded } from '../../../../src/base/errors.ts';
import { keptLog } from '../../../support/kept-log.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { EngineUnderTest } from '../engine-doubles.ts';

function clusterWith(messages: number): MemoryCluster {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...Array.from({ length: messages }, (_, i) => ({ value: `m${i}` })));
  return cluster;
}

test('a topic made anew is read from its start, and what is gone is counted and said', async () => {
  const cluster = clusterWith(10);
  const { log, lines } = keptLog();
  const under = new EngineUnderTest(cluster, { log });
  const client = await under.subscribe();
  const got = client.take();
  under.ack(got.slice(0, 6));
  await under.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 6);
  cluster.logOf('t', 0).records.splice(0);
  cluster.append('t', 0, { value: 'new 0' }, { value: 'new 1' }, { value: 'new 2' });
  await under.pass(100);
  const values = client.take().map(({ offset, value }) => `${offset}:${value}`);
  assert.deepEqual(values, ['0:new 0', '1:new 1', '2:new 2']);
  assert.equal(under.engine.stats.lost.cut, 4);
  const said = lines.filter(({ cause }) => cause === 'cut');
  assert.deepEqual(
    said.map(({ group, topic, partition, messages }) => [group, topic, partition, messages]),
    [['g', 't', 0, 4]],
  );
  await under.pass(150);
  assert.equal(cluster.commits.get('g/t/0')?.offset, 0);
});

test('what is written after a cut is delivered, also when its id is known from before', async () => {
  const id = (n: number): Buffer => Buffer.alloc(16, n + 1);
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const records = Array.from({ length: 8 }, (_, i) => ({ value: `m${i}`, id: id(i) }));
  cluster.append('t', 0, ...records);
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  const got = client.take();
  under.ack(got.slice(0, 6));
  await under.pass(150);
  // 5 to 7 are gone; 7, which nobody had finished, was sent again and lies below the floor.
  cluster.logOf('t', 0).records.splice(5);
  cluster.append('t', 0, { value: 'm7', id: id(7) }, { value: 'later' });
  await under.pass(100);
  const values = client.take().map(({ value }) => value);
  assert.deepEqual(values.slice(-2), ['m7', 'later']);
  assert.deepEqual(values.slice(0, -2), ['m0', 'm1', 'm2', 'm3', 'm4']);
  assert.equal(under.engine.stats.lost.cut, 1);
});

test('a log that was cut and has grown again is read from its start, when Kafka refuses to go on', async () => {
  const cluster = clusterWith(10);
  const { log, lines } = keptLog();
  const under = new EngineUnderTest(cluster, { log });
  const client = await under.subscribe();
  under.ack(client.take().slice(0, 6));
  await under.pass(150);
  const again = Array.from({ length: 12 }, (_, i) => ({ offset: i, value: `new ${i}` }));
  cluster.logOf('t', 0).records.splice(0, 10, ...again);
  const [member] = cluster.members;
  member?.options.onError(coded('OFFSET_OUT_OF_RANGE', 'cut'), {
    topic: 't',
    partition: 0,
  });
  await under.pass(100);
  assert.deepEqual(
    client.take().map(({ value }) => value),
    again.map(({ value }) => value),
  );
  const said = lines.filter(({ cause }) => cause !== undefined);
  assert.deepEqual(
    said.map(({ cause, messages }) => [cause, messages]),
    [['cut', 0]],
  );
});
