import assert from 'node:assert/strict';
import { test } from 'node:test';
import { limits } from '../../../../src/base/limits.ts';
import { Producers } from '../../../../src/produce/intake/producers.ts';
import type { BatchHeader } from '../../../../src/store/batch-header.ts';
import { fc } from '../../../support/fast-check.ts';
import { ManualClock } from '../../store/support.ts';
import { check } from '../support.ts';

const open = { session: 1, producerId: 5n, epoch: 2, ordered: true, owner: 'a' };

function headerOf(segments: BatchHeader['segments']): BatchHeader {
  const messages = segments.reduce((sum, { count }) => sum + count, 0);
  const nothing = { crc: 0, previousCrc: 0, acceptedMs: 0, payloadBytes: 0, payloadCrc: 0 };
  return { ...nothing, firstSequence: 1, messages, segments, topics: [], chunks: [] };
}

test('a lower epoch is fenced, a higher one begins anew, the same one takes over', () => {
  const producers = new Producers(new ManualClock());
  assert.deepEqual(producers.open(open), {
    lastSequence: 0,
    replaces: undefined,
  });
  producers.session(1)?.producer.accept(1, 9, true);
  assert.equal(producers.open({ ...open, session: 2, epoch: 1 }).refused, 'fenced');
  assert.equal(producers.session(2), undefined);
  const again = producers.open({ ...open, session: 3 });
  assert.deepEqual(again, { lastSequence: 9, replaces: 1 });
  assert.equal(producers.session(1)?.fenced, true);
  const newer = producers.open({ ...open, session: 4, epoch: 3 });
  assert.deepEqual(newer, { lastSequence: 0, replaces: 3 });
  producers.close(3);
  assert.equal(producers.open({ ...open, session: 5, epoch: 3 }).replaces, 4, 'still speaks');
});

test('a producer is that of the token that began it, whatever its epoch, as long as it is known', () => {
  const clock = new ManualClock();
  const producers = new Producers(clock);
  producers.open(open);
  producers.session(1)?.producer.accept(1, 9, true);
  const thief = { ...open, session: 2, owner: 'b' };
  const both = (epoch: number) => producers.open({ ...thief, epoch }).refused;
  assert.deepEqual([1, 2, 3].map(both), ['foreign', 'foreign', 'foreign']);
  assert.deepEqual([producers.session(1)?.fenced, producers.session(2)], [false, undefined]);
  // Between two connections of its own, too, and after the lane has opened its store again.
  producers.close(1);
  const puts = producers.checkpoint();
  const reopened = new Producers(clock);
  for (const { key, value } of puts) if (value) reopened.restore(key, value);
  reopened.adopt(producers);
  for (const all of [producers, reopened]) {
    assert.equal(all.open(thief).refused, 'foreign');
    assert.deepEqual(all.open({ ...open, epoch: 3 }), { lastSequence: 0, replaces: undefined });
    assert.equal(all.open({ ...thief, epoch: 4 }).refused, 'foreign');
  }
  // The disk holds no names: of a former run's producers the first token has it.
  const restarted = new Producers(clock);
  for (const { key, value } of puts) if (value) restarted.restore(key, value);
  assert.equal(restarted.open(open).lastSequence, 9);
  assert.equal(restarted.open(thief).refused, 'foreign');
  // Forgotten, it is anybody's.
  restarted.close(1);
  clock.advance(limits.windowIdleMs);
  restarted.evict();
  assert.equal(restarted.open(thief).refused, undefined);
});

test('checkpoint and replay bring back the same windows, however often they are applied', async () => {
  const segment = fc.record({
    producerId: fc.constantFrom(1n, 2n, 3n),
    epoch: fc.integer({ min: 0, max: 2 }),
    skip: fc.integer({ min: 0, max: 3 }),
    count: fc.integer({ min: 1, max: 5 }),
    unordered: fc.boolean(),
  });
  await check(
    fc.property(fc.array(segment, { maxLength: 30 }), fc.nat(), fc.nat(), (segments, cut, over) => {
      const clock = new ManualClock();
      const live = new Producers(clock);
      const next = new Map<string, number>();
      const headers = segments.map(({ producerId, epoch, skip, count, unordered }) => {
        const key = `${producerId}/${epoch}`;
        const firstSequence = (next.get(key) ?? 1) + (unordered ? skip : 0);
        next.set(key, firstSequence + count);
        const flags = unordered ? 1 : 0;
        return headerOf([{ producerId, epoch, flags, count, firstSequence }]);
      });
      const at = headers.length === 0 ? 0 : cut % (headers.length + 1);
      for (const header of headers.slice(0, at)) live.replay(header);
      const puts = live.checkpoint();
      assert.deepEqual(live.checkpoint(), [], 'nothing has changed since');
      for (const header of headers.slice(at)) live.replay(header);
      const restored = new Producers(clock);
      for (const { key, value } of puts) if (value) restored.restore(key, value);
      // A batch at the seam may be in the windows already: applying it again changes nothing.
      const from = Math.max(0, at - (over % 3));
      for (const header of headers.slice(from)) restored.replay(header);
      assert.equal(restored.count, live.count);
      for (const [key] of next) {
        const [id = '0', epoch = '0'] = key.split('/');
        const hello = { producerId: BigInt(id), epoch: Number(epoch), ordered: true, owner: 'a' };
        const one = live.open({ ...hello, session: 1 });
        const other = restored.open({ ...hello, session: 1 });
        assert.deepEqual(other, one, key);
        if (one.refused !== undefined) continue;
        for (let s = 1; s <= one.lastSequence; s++) {
          const looks = [restored, live].map((all) => all.session(1)?.producer.window.look(s));
          assert.equal(looks[0], looks[1], `${key}/${s}`);
        }
        for (const all of [live, restored]) all.close(1);
      }
    }),
    300,
  );
});

test('producers that are silent for ten minutes leave, those with a connection stay', () => {
  const clock = new ManualClock();
  const producers = new Producers(clock);
  producers.open(open);
  producers.open({ ...open, session: 2, producerId: 6n });
  for (const session of [1, 2]) producers.session(session)?.producer.accept(1, 1, true);
  producers.checkpoint();
  producers.close(2);
  clock.advance(limits.windowIdleMs - 1);
  producers.evict();
  assert.equal(producers.count, 2);
  clock.advance(limits.windowIdleMs / 10 + 1);
  producers.evict();
  assert.equal(producers.count, 1);
  const [put] = producers.checkpoint();
  assert.deepEqual([put?.key.readBigUInt64BE(), put?.value], [6n, undefined]);
  assert.equal(producers.open({ ...open, session: 3, producerId: 6n }).lastSequence, 0);
});

test('when the gaps of all windows cost too much, windows give theirs up', () => {
  const clock = new ManualClock();
  const producers = new Producers(clock);
  const fit = limits.windowBytesMax / (limits.windowSequences / 8);
  for (let i = 1; i <= fit + 2; i++) {
    producers.open({ session: i, producerId: BigInt(i), epoch: 0, ordered: false, owner: 'a' });
    producers.session(i)?.producer.accept(1, 1, true);
    producers.session(i)?.producer.accept(5, 1, true);
  }
  clock.advance(limits.windowIdleMs / 10);
  producers.evict();
  const looks = [fit, fit + 1].map((i) => producers.session(i)?.producer.window.look(3));
  assert.deepEqual(looks, ['gap', 'too-old']);
  assert.equal(producers.session(fit + 2)?.producer.expected, 6, 'it goes on');
});

test('a producer that left and came back is stored, not dropped, by the next checkpoint', () => {
  const clock = new ManualClock();
  const producers = new Producers(clock);
  producers.open(open);
  producers.session(1)?.producer.accept(1, 1, true);
  producers.checkpoint();
  producers.close(1);
  clock.advance(limits.windowIdleMs * 2);
  producers.evict();
  producers.open({ ...open, session: 2 });
  producers.session(2)?.producer.accept(8, 1, true);
  const puts = producers.checkpoint();
  assert.notEqual(puts.at(-1)?.value, undefined);
});

test('what a former run took is told from what this one takes', () => {
  const before = new Producers(new ManualClock());
  before.open(open);
  before.session(1)?.producer.accept(1, 9, true);
  const after = new Producers(new ManualClock());
  for (const { key, value } of before.checkpoint()) if (value) after.restore(key, value);
  const more = { producerId: 5n, epoch: 2, flags: 0, count: 2, firstSequence: 10 };
  after.replay(headerOf([more]));
  after.open(open);
  after.session(1)?.producer.accept(12, 4, true);
  assert.equal(after.session(1)?.producer.forgotten, 11);
  after.open({ ...open, session: 2, epoch: 3 });
  assert.equal(after.session(2)?.producer.forgotten, 0);
});

test('producers that connect and send nothing are let go of too, and leave nothing to store', () => {
  const clock = new ManualClock();
  const producers = new Producers(clock);
  for (let session = 1; session <= limits.windowsMax * 1.5; session++) {
    producers.open({ ...open, session, producerId: BigInt(session) });
    producers.close(session);
    if (session === 1) producers.checkpoint();
  }
  assert.ok(producers.count <= limits.windowsMax, `${producers.count} producers`);
  clock.advance(limits.windowIdleMs * 2);
  producers.open(open);
  assert.equal(producers.count, 1);
  assert.equal(producers.checkpoint().length, 2, 'the one that was stored goes, the new one comes');
});

test('a connection that a reopened lane has yet to take over keeps its window', () => {
  const clock = new ManualClock();
  const before = new Producers(clock);
  const after = new Producers(clock);
  const many = limits.windowsMax + 10;
  for (let session = 1; session <= many; session++) {
    const id = BigInt(session);
    after.replay(headerOf([{ producerId: id, epoch: 2, flags: 0, count: 1, firstSequence: 1 }]));
    if (session <= 3) before.open({ ...open, session, producerId: id });
  }
  after.adopt(before);
  for (const session of [1, 2, 3]) {
    assert.equal(after.session(session)?.producer.window.highest, 1);
  }
});

test('a producer with a newer epoch takes the stored window of the older one with it', () => {
  const clock = new ManualClock();
  const producers = new Producers(clock);
  producers.open(open);
  producers.checkpoint();
  producers.open({ ...open, session: 2, epoch: 3 });
  producers.close(2);
  clock.advance(limits.windowIdleMs * 2);
  producers.evict();
  const [put] = producers.checkpoint();
  assert.deepEqual([put?.key.readBigUInt64BE(), put?.value], [open.producerId, undefined]);
});
