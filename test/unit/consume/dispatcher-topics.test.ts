import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest } from './engine-doubles.ts';

const CREDIT = 64;

/** A consumer whose credit a topic with a backlog has used up. */
async function behind(topics: readonly string[], partitions = 1) {
  const cluster = new MemoryCluster();
  cluster.addTopic('hot', 1);
  for (const topic of topics) cluster.addTopic(topic, partitions);
  cluster.append('hot', 0, ...Array.from({ length: 5_000 }, () => ({ value: 'hot' })));
  const under = new EngineUnderTest(cluster);
  const asked = { topics: ['hot', ...topics], creditMessages: CREDIT };
  const client = await under.subscribe(asked);
  const out = client.take();
  assert.equal(out.length, CREDIT);
  /** Acks all that is out, and answers of which topics the next turn is. */
  const turn = async () => {
    under.ack(out.splice(0));
    await under.pass(20);
    out.push(...client.take());
    return (topic: string) => out.filter((message) => message.topic === topic).length;
  };
  return { cluster, under, turn };
}

test('a topic with one message in each of many partitions gets them all in one turn beside a backlog', async () => {
  const partitions = 16;
  const { cluster, under, turn } = await behind(['calm'], partitions);
  for (let p = 0; p < partitions; p++) cluster.append('calm', p, { value: 'calm' });
  await under.pass(20);
  const of = await turn();
  assert.deepEqual([of('calm'), of('hot')], [partitions, CREDIT - partitions]);
});

test('topics that are all behind get as much of a turn, and what one has no messages for the others', async () => {
  const { cluster, under, turn } = await behind(['few', 'many']);
  cluster.append('few', 0, { value: 'a' }, { value: 'b' });
  cluster.append('many', 0, ...Array.from({ length: 5_000 }, () => ({ value: 'many' })));
  await under.pass(20);
  const first = await turn();
  assert.equal(first('few'), 2);
  const second = await turn();
  for (const of of [first, second]) {
    const [hot, many] = [of('hot'), of('many')];
    assert.equal(hot + many + of('few'), CREDIT);
    assert(Math.abs(hot - many) <= CREDIT / 3, `${hot} and ${many}`);
  }
});
