import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BlockTimers } from '../../../../src/consume/lease/block-timers.ts';
import { LeaseWindow } from '../../../../src/consume/lease/lease-window.ts';
import type { WindowState } from '../../../../src/consume/lease/window-state.ts';
import { EndOffsets } from '../../../../src/consume/partition/end-offsets.ts';
import { ConsumePartition } from '../../../../src/consume/partition/partition.ts';
import { MemoryCluster } from '../../../support/memory-cluster.ts';
import { FakeClock } from '../../backend/embedded/doubles.ts';
import { EngineUnderTest, FakeReceiver, ScriptedPolicy } from '../engine-doubles.ts';

const large = { value: 'x'.repeat(100_000) };

function lagOf({ engine }: EngineUnderTest): number {
  let lag = 0;
  for (const { partition } of engine.owned()) lag += partition.lag;
  return lag;
}

test('the lag of a paused group goes on growing, and that of one that reads costs no question', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, ...Array.from({ length: 30 }, () => large));
  let asked = 0;
  const { positions } = cluster;
  cluster.positions = (places, at) => {
    if (at === 'end') asked++;
    return positions.call(cluster, places, at);
  };
  const under = new EngineUnderTest(cluster);
  const client = await under.subscribe();
  under.ack(client.take());
  await under.pass(20_000);
  assert.deepEqual([lagOf(under), asked], [0, 0]);
  under.engine.groupOf('g').isPaused = true;
  // More than what is fetched ahead: from then on no record brings the end with it.
  cluster.append('t', 0, ...Array.from({ length: 30 }, () => large));
  await under.pass(1_000);
  cluster.append('t', 0, ...Array.from({ length: 7 }, () => large));
  await under.pass(6_500);
  assert.equal(lagOf(under), 37);
  cluster.append('t', 0, ...Array.from({ length: 5 }, () => large));
  await under.pass(6_500);
  assert.equal(lagOf(under), 42);
  assert(asked >= 2 && asked <= 4, `${asked} questions in 14 s`);
});

test('a partition that nothing was read of yet has its lag within two seconds', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  const under = new EngineUnderTest(cluster);
  under.engine.subscribe(new FakeReceiver(1), { group: 'g', topics: ['t'] });
  const [member] = cluster.members;
  assert(member !== undefined);
  member.want = () => {};
  cluster.append('t', 0, ...Array.from({ length: 9 }, (_, i) => ({ value: `m${i}` })));
  await under.pass(2_000);
  assert.equal(lagOf(under), 9);
});

test('a round asks for few of many, the longest unasked first, and one that fails holds up none', async () => {
  const clock = new FakeClock();
  const cluster = new MemoryCluster();
  const timers = new BlockTimers<WindowState>(0);
  const partitions = Array.from({ length: 100 }, (_, i) => {
    const topic = i === 0 ? 'gone' : 't';
    if (i > 0) cluster.logs.set(`t/${i}`, { records: [], start: 0 });
    if (i > 0) cluster.append('t', i, { value: 'one' });
    return new ConsumePartition({
      cluster: 0,
      topic,
      partition: i,
      window: new LeaseWindow({ mode: 'shared', floor: 0, heldMax: 1, timers }),
      policy: new ScriptedPolicy(),
      owner: Buffer.alloc(8),
      epoch: 1,
    });
  });
  const ends = new EndOffsets(clock, [cluster]);
  const known = (): number => partitions.filter(({ lag }) => lag === 1).length;
  await ends.ask(partitions);
  assert.equal(known(), 63);
  clock.advance(10);
  await ends.ask(partitions);
  assert.equal(known(), 99);
  cluster.append('t', 1, { value: 'two' });
  await ends.ask(partitions);
  assert.equal(partitions[1]?.lag, 1, 'it was asked for a moment ago');
  clock.advance(5_000);
  await ends.ask([...partitions].reverse());
  assert.equal(partitions[1]?.lag, 2);
});
