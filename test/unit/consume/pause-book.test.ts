import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coded } from '../../../src/base/errors.ts';
import { limits } from '../../../src/base/limits.ts';
import { GroupAdmin } from '../../../src/consume/group-admin.ts';
import { PauseBook } from '../../../src/consume/pause-book.ts';
import { MemoryCluster } from '../../support/memory-cluster.ts';
import { EngineUnderTest } from './engine-doubles.ts';

const pause = { by: 'ops', from: 'here', atMs: 5 };

test('the first pause of a group stays until it is ended, and each change is kept first', () => {
  let kept: [string, unknown][] = [];
  const book = new PauseBook(new Map([['old', pause]]), (all) => {
    kept = [...all];
  });
  assert.deepEqual([book.get('old'), book.get('new')], [pause, undefined]);
  book.set('new', { ...pause, by: 'one' });
  book.set('new', { ...pause, by: 'two' });
  assert.equal(book.get('new')?.by, 'one');
  assert.deepEqual(
    kept.map(([name]) => name),
    ['old', 'new'],
  );
  assert.deepEqual([book.delete('old'), book.delete('old')], [true, false]);
  assert.deepEqual(
    kept.map(([name]) => name),
    ['new'],
  );
});

test('a change that cannot be kept does not count, and pauses are bounded', () => {
  const full = new Map(Array.from({ length: limits.groupsPerNodeMax }, (_, i) => [`g${i}`, pause]));
  const book = new PauseBook(full, () => {
    throw coded('DATA_DIR_REFUSED', 'the disk is full');
  });
  assert.throws(() => book.set('more', pause), /the most of a node/);
  assert.throws(() => book.delete('g0'), { code: 'DATA_DIR_REFUSED' });
  assert.equal(book.get('g0'), pause);
});

test('a group that was paused is delivered nothing when it is joined again, until it is resumed', async () => {
  const cluster = new MemoryCluster();
  cluster.addTopic('t', 1);
  cluster.append('t', 0, { value: 'a' });
  const under = new EngineUnderTest(cluster);
  const { engine, pauses, clock } = under;
  const admin = new GroupAdmin({ engine, backends: [cluster], clock, pauses, ...limits });
  const who = { by: 'ops', from: '10.0.0.1:5' };
  await assert.rejects(admin.pause('g', who), /there is no group g/);
  pauses.set('g', { ...who, atMs: clock.now() });
  const client = await under.subscribe();
  await under.pass(100);
  assert.deepEqual(client.take(), []);
  const { state, paused } = await admin.describe('g');
  assert.deepEqual([state, paused], ['paused', pauses.get('g')]);
  assert.deepEqual((await admin.list('', '')).groups[0]?.state, 'paused');
  admin.resume('g');
  await under.pass(20);
  assert.equal(client.take().length, 1);
  assert.deepEqual((await admin.describe('g')).paused, undefined);
  await admin.pause('g', who);
  cluster.append('t', 0, { value: 'b' });
  await under.pass(20);
  assert.deepEqual(client.take(), []);
});
