import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inlineLane } from '../../../src/lanes/inline-lane.ts';
import { LaneLink } from '../../../src/lanes/lane-link.ts';

test('who asks a lane that is closed, or not open yet, gets a rejection', async () => {
  const nothing = (): void => {};
  const hooks = { onAnswers: nothing, onRoom: nothing, onEvent: nothing };
  const link = new LaneLink(65_536, new SharedArrayBuffer(1024), hooks);
  const closed = { code: 'DRAINING' };
  await assert.rejects(link.call('flush', 1), closed);
  await link.start(inlineLane(async () => ({ bell: 0, call: async () => true }), {}));
  assert.equal(await link.call('flush', 1), true);
  await link.close();
  // Not thrown: a socket that ends late only says that it has gone.
  const asked = link.call('closeSession', 1);
  await assert.rejects(asked, closed);
});

test('a lane that is held takes no frames, and says when it does again', async () => {
  let rooms = 0;
  const nothing = (): void => {};
  const link = new LaneLink(65_536, new SharedArrayBuffer(1024), {
    onAnswers: nothing,
    onRoom: () => rooms++,
    onEvent: nothing,
  });
  const offer = (): boolean => link.offer(1, 1, Buffer.alloc(16), 0, 16);
  assert.ok(offer());
  link.setHeld(true);
  assert.equal(offer(), false);
  assert.equal(rooms, 0);
  link.setHeld(false);
  assert.equal(rooms, 1);
  assert.ok(offer());
  link.setHeld(false);
  assert.equal(rooms, 1, 'it was not held');
  await link.close();
});
