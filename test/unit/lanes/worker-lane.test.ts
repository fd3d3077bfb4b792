import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { LaneEvent } from '../../../src/lanes/lane-calls.ts';
import { createRingMemory } from '../../../src/lanes/ring.ts';
import { workerLane } from '../../../src/lanes/worker-lane.ts';
import { GIVE_UP_MS, until, within } from '../../support/wait.ts';
import type { Death } from './dying-lane.ts';

const file = fileURLToPath(new URL('./dying-lane.js', import.meta.url));
const memory = {
  requests: createRingMemory(65_536),
  answers: createRingMemory(65_536),
  stats: new SharedArrayBuffer(8),
  allStats: [],
};
const marks = {
  softBytes: 1,
  hardBytes: 1,
  freeBytesMin: 1,
  parkedBytes: 1,
  undeliverableBytes: 1,
  drainsGently: true,
};
const session = { session: 1, producerId: 1n, epoch: 0, ordered: true, owner: 'a' };

type Out = Extract<LaneEvent, { kind: 'out' }>;

/** A lane in a worker, and what it says when it is out of service. */
async function start(death: Death) {
  const outs: Out[] = [];
  const events: LaneEvent[] = [];
  let heard = (_: Out): void => {};
  const out = new Promise<Out>((resolve) => {
    heard = resolve;
  });
  const lane = await workerLane<Death>(file, death)(memory, 0, (event) => {
    events.push(event);
    if (event.kind !== 'out') return;
    outs.push(event);
    heard(event);
  });
  return {
    lane,
    outs,
    events,
    out: () => within(out, GIVE_UP_MS, 'the lane to be out of service'),
  };
}

const words: readonly (readonly [Death, RegExp])[] = [
  ['throws', /^INTERNAL: Cannot read properties of null/],
  ['exits', /^INTERNAL: worker exited with code: 3$/],
];

for (const [death, said] of words) {
  test(`a lane whose thread ${death} says once that it is out of service`, async () => {
    const { lane, outs, out } = await start(death);
    assert.equal(await lane.call('flush', 1), true);
    const waiting = lane.call('setMarks', marks);
    await lane.call('drain').catch(() => {});
    const { cause, code, message } = await out();
    assert.equal(cause, 'thread');
    assert.match(`${code}: ${message}`, said);
    // What is told to all lanes is taken, so that the others hear of it too.
    assert.equal(await waiting, undefined);
    assert.equal(await lane.call('closeSession', 1), undefined);
    assert.equal(await lane.call('flush', 1), false);
    await assert.rejects(lane.call('openSession', session), { code: 'LANE_OUT' });
    await lane.stop();
    assert.equal(outs.length, 1);
  });
}

test('a lane that was asked to end says nothing of being out of service', async () => {
  const { lane, outs } = await start('throws');
  await lane.stop();
  assert.deepEqual(outs, []);
});

test('what a lane says when it is known to be dead is not taken', async () => {
  const { lane, events, out } = await start('fails and talks on');
  await lane.call('drain').catch(() => {});
  await out();
  const said = (): number => Atomics.load(new Int32Array(memory.stats), 0);
  const before = said();
  await until(() => said() > before + 10, { what: 'the lane to say more' });
  await lane.stop();
  const kinds = events.map(({ kind }) => kind);
  assert.deepEqual(kinds.slice(kinds.indexOf('out')), ['out']);
});
